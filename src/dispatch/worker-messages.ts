/** What the appending thread and the dispatch worker send each other by message: rare things; the rest is shared words. */
import type { DerivedCounts } from "./derived-counts.js";
import type { DispatchSynced, ExpiryStep, QueueSlot } from "./dispatch.js";
import type { Backend } from "../io/disk.js";
import type { IndexSizes } from "../index/index-file.js";
import type { DelayLevels } from "../record/tags-code.js";

export interface QueueAnnouncement {
  readonly kind: "queue";
  readonly topic: string;
  readonly queueId: number;
  readonly slot: number;
  /** A new chunk of the progress table, when this slot needed one. */
  readonly chunk: SharedArrayBuffer | undefined;
}

/** A topic was deleted: its queues go, and its records below `position` are passed over. */
export interface TopicDeletion {
  readonly kind: "forget";
  readonly topic: string;
  readonly position: number;
  readonly queues: readonly QueueSlot[];
}

/** Everything the worker needs to begin; sent once recovery is done. */
export interface BeginMessage {
  readonly kind: "begin";
  readonly backend: Backend;
  readonly progress: SharedArrayBuffer;
  readonly chunks: SharedArrayBuffer[];
  readonly queues: readonly { topic: string; queueId: number; slot: number }[];
  /** Topic to the place of its deletion. */
  readonly deleted: readonly (readonly [topic: string, position: number])[];
  readonly commitLogDirectory: string;
  readonly segmentBytes: number;
  readonly queueRoot: string;
  readonly queueFileBytes: number;
  /** Handles of queue files that the worker keeps open. */
  readonly openFilesMax: number;
  readonly indexDirectory: string;
  readonly indexSizes: IndexSizes;
  readonly indexEnabled: boolean;
  readonly delayLevels: DelayLevels;
  readonly position: number;
  readonly counts: DerivedCounts;
  readonly readyEnd: number;
  /** Longest time between the dispatch of a record and the sync of what came of it. */
  readonly syncIntervalMs: number;
}

export type ToWorker =
  | QueueAnnouncement
  | TopicDeletion
  | BeginMessage
  /** Segments were deleted: the log begins at `minPhyOffset`. */
  | { readonly kind: "expire"; readonly minPhyOffset: number }
  /** What is dispatched is wanted durable now. */
  | { readonly kind: "sync" };

/** Queues have grown; drain the ring of arrivals. Sent for every message that somebody waits for, so a mere number. */
export const ARRIVALS = 1;

export type FromWorker =
  | typeof ARRIVALS
  | (DispatchSynced & { readonly kind: "synced" })
  | { readonly kind: "finding"; readonly text: string; readonly phyOffset: number }
  /** These slots belong to no queue any more. */
  | { readonly kind: "forgotten"; readonly slots: readonly number[] }
  | (ExpiryStep & { readonly kind: "expiry" })
  /** A disk is full, and dispatch waits until it is not. */
  | { readonly kind: "paused"; readonly reason: string }
  | { readonly kind: "resumed" }
  /** `message` as clients may read it, `stack` for the log. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly stack: string };
