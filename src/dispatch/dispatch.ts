/**
 * How a store drives dispatch, whether on a worker or inline: the appender's side of it.
 */
import type { SegmentSource } from "../commitlog/segment-source.js";
import type { CometError } from "../base/errors.js";
import type { DerivedCounts } from "./derived-counts.js";
import type { QueueProgress, SharedProgress } from "./shared-progress.js";

/** Queues and index have in their files everything below `position`, which is a record boundary. */
export interface DispatchWritten {
  readonly position: number;
  /** Queues alone, without the index, have everything below this. */
  readonly queuesPosition: number;
  /** See Dispatcher.tailFrom. */
  readonly tailFrom: number;
  /** Of the last record before `position`; 0 when this dispatcher has dispatched none. */
  readonly storeTimestamp: number;
  /** What queues and index hold of the log before `position`. */
  readonly counts: DerivedCounts;
}

/** The same is durable. */
export interface DispatchSynced extends DispatchWritten {
  /** End timestamp of the newest index file that is full and synced. */
  readonly indexMsgTimestamp: number;
}

/** A queue of some topic, and its place in the shared tables. */
export interface QueueSlot {
  readonly queueId: number;
  readonly slot: number;
}

/** Some queues have followed the log's new beginning. */
export interface ExpiryStep {
  /** Slot and first offset of one queue after the other. */
  readonly minOffsets: Float64Array;
  /** Set with the last step: all queues and the index have followed the log up to here. */
  readonly minPhyOffset: number | undefined;
  /** Files deleted of queues and of the index. */
  readonly queueFiles: number;
  readonly indexFiles: number;
}

export interface DispatchEvents {
  /** Queues have grown; `SharedProgress.takeArrival` names them. Called only while there is interest. */
  onArrivals: () => void;
  onSynced: (synced: DispatchSynced) => void;
  onFinding: (text: string, phyOffset: number) => void;
  /** The disk is full: what was put is safe in the log, but is not seen by readers until there is room. */
  onPaused: (reason: string) => void;
  /** There is room again. */
  onResumed: () => void;
  onExpiry: (step: ExpiryStep) => void;
  /** The thread has not ended its turn for so long: it may be waiting for the disk. */
  onSlow: (seconds: number) => void;
  /** Queues of a deleted topic are gone, and their slots can be given to others. */
  onForgotten: (slots: readonly number[]) => void;
  /** Dispatch has stopped for good. */
  onFailure: (error: CometError) => void;
}

export interface Dispatch {
  /** True when it runs beside the caller and `wake` only tells it to. */
  readonly threaded: boolean;
  readonly progress: SharedProgress;
  readonly queueProgress: QueueProgress;
  readonly source: SegmentSource;
  /** A queue that gets its first message: to be called before that message is confirmed. */
  announce(topic: string, queueId: number, slot: number): void;
  /** Whether the process shall stay for what dispatch will say. */
  holdProcess(hold: boolean): void;
  /**
   * The topic was deleted, and the list of deleted topics says so: its queues are deleted, its records below `position`
   * passed over. Queues of a topic of that name are announced anew. `onForgotten` tells when that is done.
   */
  forget(topic: string, position: number, queues: readonly QueueSlot[]): void;
  /** There may be work below `progress.confirmed`. */
  wake(): void;
  /** `DispatchSynced.queuesPosition` of the last sync, or where dispatch began. */
  readonly queuesSyncedPosition: number;
  /**
   * Has what is dispatched made durable now; while dispatch waits for room, what has been written. Resolves after a sync,
   * or when there will be none.
   */
  sync(): Promise<void>;
  /** The log begins at `minPhyOffset` now: queues and index follow, a few at a time (see `onExpiry`). */
  expire(minPhyOffset: number): void;
  /** Works off everything confirmed, syncs it, and ends. */
  stop(): Promise<void>;
}
