/** A namespace's settings. JSON shape: remoting/protocol/body/KVTable.java. */
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { textMapMember } from "./members.js";

export function kvTableJson(table: ReadonlyMap<string, string>): FastjsonInput {
  return { table };
}

export function readKvTable(map: FastjsonMap): Map<string, string> {
  return textMapMember(map, "table");
}
