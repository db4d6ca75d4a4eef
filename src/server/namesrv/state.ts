/** What the name server's handlers work on. */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { KvConfig } from "./kv-config.js";
import type { NamesrvConfig } from "./namesrv-config.js";
import type { RouteTable } from "./route-table.js";

export interface NameServerState {
  readonly routeTable: RouteTable;
  readonly kvConfig: KvConfig;
  readonly config: NamesrvConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly startedMs: number;
}
