/** What opening a store makes, for the object that is the open store. */
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import type { CommitLog } from "../commitlog/commit-log.js";
import type { Flusher } from "../commitlog/flusher.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import type { Dispatch } from "../dispatch/dispatch.js";
import type { Disk } from "../io/disk.js";
import type { RecoveryReport } from "../recovery/recover.js";
import type { Checkpoints } from "./checkpoints.js";
import type { DiskWatch } from "./disk-watch.js";
import type { LookUp } from "./look-up.js";
import type { MessageReader } from "./message-reader.js";
import type { QueueUnits } from "./queue-units.js";
import type { Retention } from "./retention.js";
import type { StorePaths } from "./store-directory.js";
import type { StoreQueues } from "./store-queue.js";

export interface StoreParts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Logger;
  readonly paths: StorePaths;
  readonly segments: SegmentQueue;
  readonly commitLog: CommitLog;
  readonly flusher: Flusher;
  readonly dispatch: Dispatch;
  readonly queues: StoreQueues;
  readonly units: QueueUnits;
  readonly reader: MessageReader;
  readonly lookUp: LookUp;
  /** As in the file: topic to the log offset before which its records do not count. */
  readonly deletedTopics: Map<string, number>;
  readonly checkpoints: Checkpoints;
  readonly watch: DiskWatch;
  readonly retention: Retention;
  readonly recovery: RecoveryReport;
  readonly syncFlush: boolean;
  /** Closes what is open, in order; `clean` when everything is durable. */
  readonly release: (clean: boolean) => Promise<void>;
}
