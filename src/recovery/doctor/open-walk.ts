/** A walk over the log of a store that nobody uses, which ends where the log of the opened store would end. */
import type { Clock } from "../../base/clock.js";
import type { Disk } from "../../io/disk.js";
import { liveRecords } from "./live-records.js";
import type { LogFile, LogLayout } from "./log-files.js";
import { LogWalk } from "./log-walk.js";
import { outlookOf } from "./outlook.js";
import type { StoreFacts } from "./store-facts.js";

export interface OpenWalkOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly facts: StoreFacts;
  readonly layout: LogLayout;
  readonly onUnreadable?: (file: LogFile, position: number) => void;
}

export function openWalk({ disk, clock, facts, layout, ...more }: OpenWalkOptions): LogWalk {
  return new LogWalk({
    disk,
    layout,
    propertyCrc: facts.propertyCrc,
    isLive: liveRecords(disk, facts),
    outlook: outlookOf(disk, facts, layout, clock.nowMs()),
    ...more,
  });
}
