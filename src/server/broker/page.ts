/** One page of a table in the order of names, as requests 21 and 201 ask for it. */
import { parseFastjson } from "../../remoting/fastjson.js";
import type { Request } from "../../remoting/types.js";
import { optionalInt } from "../answer.js";
import { type DataVersion, readDataVersion, sameDataVersion } from "../protocol/data-version.js";
import type { BrokerConfig } from "./broker-options.js";
import type { Named } from "./name-table.js";

export interface PageNames {
  readonly sequence: string;
  readonly count: string;
}

/**
 * The items asked for: all of them from a client that does not know pages. A client whose data version is not today's
 * gets the first page, and starts anew.
 */
export function pageOf<T extends Named>(
  { header }: Request,
  names: PageNames,
  items: Iterable<T>,
  version: DataVersion,
  config: BrokerConfig,
): T[] {
  const versionText = header.text("dataVersion");
  const sequence = optionalInt(header, names.sequence);
  const count = optionalInt(header, names.count);
  const all = [...items];
  if (!config.enableSplitMetadata || (versionText === undefined && sequence === undefined && count === undefined)) {
    return all;
  }
  all.sort((a, b) => (a.name < b.name ? -1 : 1));
  const known = versionText === undefined ? undefined : parseFastjson(versionText);
  const goesOn = known instanceof Map && sameDataVersion(readDataVersion(known), version);
  const start = goesOn ? Math.max(0, sequence ?? 0) : 0;
  return all.slice(start, start + Math.max(0, Math.min(config.splitMetadataSize, count ?? config.splitMetadataSize)));
}
