/** How long messages are kept and how full a disk may become, under the names of Apache's MessageStoreConfig. */
import type { Clock } from "../base/clock.js";
import { CometError } from "../base/errors.js";

/** The object is read anew for each decision: a change of a member counts from then on. */
export interface RetentionSettings {
  /** Hours a segment is kept after it was last written to: 72. */
  readonly fileReservedTime: number;
  /** Hours of the day, local time, at which expired segments are deleted: `04`, the default, or `04;16`. */
  readonly deleteWhen: string;
  /** Per cent of the disk; above it expired segments are deleted at any hour: 75. */
  readonly diskMaxUsedSpaceRatio: number;
  /** Per cent; above it the oldest segments are deleted though they have not expired: 85. */
  readonly diskSpaceCleanForciblyRatio: number;
  /** Per cent; above it messages are refused (DISK_FULL), until the disk is below it again: 90. */
  readonly diskSpaceWarningLevelRatio: number;
  /** False: only expired segments are ever deleted. True by default. */
  readonly cleanFileForciblyEnable: boolean;
  /** Milliseconds between two looks at the disk and the segments: 10,000. */
  readonly cleanResourceInterval: number;
  /** Most segments deleted at one of them: 10. */
  readonly deleteFileBatchMax: number;
  /** Most bytes of the log, 0, the default, for no bound: above it the oldest segments are deleted. CometMQ's own. */
  readonly maxLogBytes: number;
}

export const DEFAULT_RETENTION: RetentionSettings = {
  fileReservedTime: 72,
  deleteWhen: "04",
  diskMaxUsedSpaceRatio: 75,
  diskSpaceCleanForciblyRatio: 85,
  diskSpaceWarningLevelRatio: 90,
  cleanFileForciblyEnable: true,
  cleanResourceInterval: 10_000,
  deleteFileBatchMax: 10,
  maxLogBytes: 0,
};

const HOURS = /^([01]?\d|2[0-3])(;([01]?\d|2[0-3]))*$/;
const NUMBERS = [
  ["fileReservedTime", 0],
  ["diskMaxUsedSpaceRatio", 0],
  ["diskSpaceCleanForciblyRatio", 0],
  ["diskSpaceWarningLevelRatio", 0],
  ["cleanResourceInterval", 10],
  ["deleteFileBatchMax", 1],
  ["maxLogBytes", 0],
] as const;

const NAMES = Object.keys(DEFAULT_RETENTION) as (keyof RetentionSettings)[];

/** What counts now: `given`, which may be a broker's whole configuration, and defaults for what it leaves open. */
export function currentRetention(given: Partial<RetentionSettings>): RetentionSettings {
  return Object.fromEntries(
    NAMES.map((name) => [name, given[name] ?? DEFAULT_RETENTION[name]]),
  ) as unknown as RetentionSettings;
}

/** Throws COMETMQ_CONFIG. */
export function checkRetention(settings: RetentionSettings): void {
  if (!HOURS.test(settings.deleteWhen)) {
    throw new CometError("COMETMQ_CONFIG", `deleteWhen is ${JSON.stringify(settings.deleteWhen)}, not hours as 04;16.`);
  }
  for (const [name, min] of NUMBERS) {
    const value = settings[name];
    if (!(Number.isFinite(value) && value >= min)) {
      throw new CometError("COMETMQ_CONFIG", `${name} is ${value}, it must be at least ${min}.`);
    }
  }
}

/** True in each of the hours that `deleteWhen` names. */
export function isTimeToDelete(deleteWhen: string, clock: Clock): boolean {
  const hour = new Date(clock.nowMs()).getHours();
  return deleteWhen.split(";").some((text) => Number(text) === hour);
}
