/**
 * Which state of its topics a broker has told. JSON shape: remoting/protocol/DataVersion.java; every change of the
 * topics makes a new version, and equal versions mean that nothing is to be told again.
 */
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { longMember } from "./members.js";

export interface DataVersion {
  readonly stateVersion: number;
  /** Milliseconds since 1970 of the last change. */
  readonly timestamp: number;
  readonly counter: number;
}

export const NO_DATA_VERSION: DataVersion = { stateVersion: 0, timestamp: 0, counter: 0 };

export function readDataVersion(map: FastjsonMap | undefined): DataVersion {
  if (map === undefined) return NO_DATA_VERSION;
  return {
    stateVersion: longMember(map, "stateVersion", 0),
    timestamp: longMember(map, "timestamp", 0),
    counter: longMember(map, "counter", 0),
  };
}

export function dataVersionJson(version: DataVersion): FastjsonInput {
  return { counter: version.counter, stateVersion: version.stateVersion, timestamp: version.timestamp };
}

export function sameDataVersion(a: DataVersion, b: DataVersion): boolean {
  return a.stateVersion === b.stateVersion && a.timestamp === b.timestamp && a.counter === b.counter;
}

export function nextDataVersion(version: DataVersion, nowMs: number, stateVersion = 0): DataVersion {
  return { stateVersion, timestamp: nowMs, counter: version.counter + 1 };
}
