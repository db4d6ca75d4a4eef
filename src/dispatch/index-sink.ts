/** The index as the dispatcher writes it: a real one, or none where `messageIndexEnable` is false. */
import type { Clock } from "../base/clock.js";
import { systemClock } from "../base/clock.js";
import { IndexDirectory } from "../index/index-directory.js";
import type { IndexSizes } from "../index/index-file.js";
import { IndexWriter } from "../index/index-writer.js";
import type { Disk } from "../io/disk.js";
import type { IndexedProperties } from "../record/indexed-properties.js";
import type { RecordView } from "../record/record-view.js";

export interface IndexSink {
  /** Adds the keys of the record at `phyOffset`, whose properties were scanned; nothing if the index has got past it. */
  putRecord(record: RecordView, bytes: Buffer, phyOffset: number, properties: IndexedProperties): void;
  /** Writes all there is, so that every thread's look-ups find it. */
  flush(): void;
  sync(): Promise<void>;
  /** Makes durable what is in the files by now, not what waits to be written. */
  syncWritten(): Promise<void>;
  close(): Promise<void>;
  /** Deletes files that only point before `minPhyOffset`; returns how many. */
  deleteExpired(minPhyOffset: number): number;
  /** For the checkpoint: see IndexWriter. */
  readonly indexMsgTimestamp: number;
  /** Entries there are, -1 without an index. */
  readonly entryCount: number;
  /** Those of them that are of records before `phyOffset`, all of which have been written. */
  entryCountBefore(phyOffset: number): number;
}

const NO_INDEX: IndexSink = {
  putRecord: () => {},
  flush: () => {},
  sync: () => Promise.resolve(),
  syncWritten: () => Promise.resolve(),
  close: () => Promise.resolve(),
  deleteExpired: () => 0,
  indexMsgTimestamp: 0,
  entryCount: -1,
  entryCountBefore: () => -1,
};

class FileIndexSink implements IndexSink {
  readonly #directory: IndexDirectory;
  readonly #writer: IndexWriter;

  constructor(directory: IndexDirectory, clock: Clock) {
    this.#directory = directory;
    this.#writer = new IndexWriter(directory, clock);
  }

  get entryCount(): number {
    return this.#directory.entryCount;
  }

  entryCountBefore(phyOffset: number): number {
    return this.#writer.entryCountBefore(phyOffset);
  }

  get indexMsgTimestamp(): number {
    return this.#writer.indexMsgTimestamp;
  }

  putRecord(record: RecordView, bytes: Buffer, phyOffset: number, properties: IndexedProperties): void {
    const { topicStart, propertiesStart, storeTimestamp, sysFlag } = record;
    const topicEnd = topicStart + record.topicLength;
    const propertiesEnd = propertiesStart + record.propertiesLength;
    this.#writer.putRecord(
      bytes,
      topicStart,
      topicEnd,
      propertiesStart,
      propertiesEnd,
      phyOffset,
      storeTimestamp,
      sysFlag,
      properties,
    );
  }

  flush(): void {
    this.#writer.flush();
  }

  sync(): Promise<void> {
    return this.#writer.sync();
  }

  syncWritten(): Promise<void> {
    return this.#writer.syncWritten();
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  deleteExpired(minPhyOffset: number): number {
    return this.#directory.deleteExpired(minPhyOffset);
  }
}

export function openIndexSink(directory: IndexDirectory | undefined, clock: Clock = systemClock): IndexSink {
  return directory === undefined ? NO_INDEX : new FileIndexSink(directory, clock);
}

/** The index directory as it lies on the disk, for the thread that is going to write it. */
export function loadIndex(disk: Disk, path: string, sizes: IndexSizes, enabled: boolean): IndexDirectory | undefined {
  return enabled ? IndexDirectory.load(disk, path, sizes) : undefined;
}
