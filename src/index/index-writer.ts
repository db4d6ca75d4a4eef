/**
 * Adds keys to the last index file; only the dispatch thread has one. What a message is indexed under, and what of a
 * replayed message is taken for known, is Apache's rule (store/index/IndexService#buildIndex, IndexFile#putKey).
 *
 * Nothing reaches the file key by key: slots are held in a SlotTable, entries in a buffer that goes out when it is full,
 * and `flush` writes the rest. Entries go first, then the header, then slots. Whatever of this a killed process left
 * undone, no slot points at an entry that is not there; entries that no slot has been told of are linked by
 * IndexDirectory's repair, and what the header does not count is added again by the replay of the log.
 *
 * A failed write throws and leaves everything as it was, to be tried again. A failed sync is for good.
 */
import type { Clock } from "../base/clock.js";
import { writeInt64 } from "../base/int64.js";
import { IndexedProperties, KEYS, TAGS, UNIQ_KEY } from "../record/indexed-properties.js";
import { TRANSACTION_ROLLBACK_TYPE, transactionType } from "../record/sys-flag.js";
import { entriesBefore } from "./entry-reader.js";
import type { IndexDirectory } from "./index-directory.js";
import {
  ENTRY_PHY_OFFSET,
  ENTRY_PREVIOUS,
  ENTRY_TIME_DIFF,
  entryPosition,
  INDEX_ENTRY_BYTES,
  type IndexFile,
} from "./index-file.js";
import { extendHash, extendHashSign, extendTagSign, storedHash } from "./index-key.js";
import { SlotTable } from "./slot-table.js";

const PENDING_ENTRIES_MAX = 3276;
const INT32_MAX = 0x7fffffff;

const SPACE = 0x20;

export class IndexWriter {
  readonly #directory: IndexDirectory;
  readonly #clock: Clock;
  readonly #maxHashSlotNum: number;
  readonly #maxIndexNum: number;
  #file: IndexFile | undefined;
  #slots: SlotTable | undefined;
  /** Entries [indexCount - pendingCount, indexCount), not in the file yet. */
  #pending: DataView | undefined;
  #pendingCount = 0;
  #isChanged = false;
  /** The record at which a write failed, which will come again, and how many of its keys are in. */
  #recordPhyOffset = -1;
  #recordKeyCount = 0;
  #indexMsgTimestamp = 0;
  #failure: unknown;
  readonly #sealing = new Set<Promise<void>>();

  readonly #properties = new IndexedProperties();

  constructor(directory: IndexDirectory, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
    this.#maxHashSlotNum = directory.sizes.maxHashSlotNum;
    this.#maxIndexNum = directory.sizes.maxIndexNum;
  }

  /** Offset of the last record indexed. Records before it are known; the one at it may have been cut short. */
  get endPhyOffset(): number {
    return this.#directory.last?.header.endPhyOffset ?? 0;
  }

  /** End timestamp of the newest file that has become full and is synced; 0 as long as none has. For the checkpoint. */
  get indexMsgTimestamp(): number {
    return this.#indexMsgTimestamp;
  }

  /**
   * Indexes a record of the log: topic and properties are ranges of `bytes`. Returns the number of keys. A record before
   * `endPhyOffset` is known, and a rolled back one gets no keys. `scanned` has been through the properties already. When it throws, the same call may be made again.
   */
  putRecord(
    bytes: Buffer,
    topicStart: number,
    topicEnd: number,
    propertiesStart: number,
    propertiesEnd: number,
    phyOffset: number,
    storeTimestamp: number,
    sysFlag: number,
    scanned?: IndexedProperties,
  ): number {
    const file = this.#writable();
    if (phyOffset < file.header.endPhyOffset) return 0;
    if (transactionType(sysFlag) === TRANSACTION_ROLLBACK_TYPE) return 0;
    if (scanned === undefined) this.#properties.scan(bytes, propertiesStart, propertiesEnd);
    const { starts, ends } = scanned ?? this.#properties;
    const topicHash = extendHashSign(extendHash(0, bytes, topicStart, topicEnd));
    if (phyOffset !== this.#recordPhyOffset) this.#recordKeyCount = 0;
    this.#recordPhyOffset = phyOffset;
    let count = 0;
    if (starts[UNIQ_KEY]! >= 0) {
      const hash = extendHash(topicHash, bytes, starts[UNIQ_KEY]!, ends[UNIQ_KEY]!);
      this.#putKey(++count, storedHash(hash), phyOffset, storeTimestamp);
    }
    if (starts[KEYS]! >= 0) {
      const keysEnd = ends[KEYS]!;
      for (let start = starts[KEYS]!; start < keysEnd; ) {
        let end = start;
        while (end < keysEnd && bytes[end] !== SPACE) end++;
        if (end > start) {
          this.#putKey(++count, storedHash(extendHash(topicHash, bytes, start, end)), phyOffset, storeTimestamp);
        }
        start = end + 1;
      }
    }
    if (starts[TAGS]! >= 0) {
      const hash = extendHash(extendTagSign(topicHash), bytes, starts[TAGS]!, ends[TAGS]!);
      this.#putKey(++count, storedHash(hash), phyOffset, storeTimestamp);
    }
    this.#recordPhyOffset = -1;
    return count;
  }

  #putKey(keyNumber: number, keyHash: number, phyOffset: number, storeTimestamp: number): void {
    if (keyNumber <= this.#recordKeyCount) return;
    this.put(keyHash, phyOffset, storeTimestamp);
    this.#recordKeyCount = keyNumber;
  }

  /** Adds one entry, in a new file when the last is full. `keyHash` is as `storedHash` makes it. */
  put(keyHash: number, phyOffset: number, storeTimestamp: number): void {
    const header = this.#writable().header;
    if (this.#pendingCount === PENDING_ENTRIES_MAX) this.#writePending();
    const entryNumber = header.indexCount;
    const slotValue = this.#slots!.exchange(keyHash % this.#maxHashSlotNum, entryNumber);
    const previous = slotValue > 0 && slotValue < entryNumber ? slotValue : 0;

    // Of the first entry this is the time since the file before, which is what Apache stores.
    const seconds = Math.trunc((storeTimestamp - header.beginTimestamp) / 1000);
    const timeDiff = header.beginTimestamp <= 0 || seconds < 0 ? 0 : Math.min(seconds, INT32_MAX);
    const view = this.#pending!;
    const at = this.#pendingCount++ * INDEX_ENTRY_BYTES;
    view.setInt32(at, keyHash);
    writeInt64(view, at + ENTRY_PHY_OFFSET, phyOffset);
    view.setInt32(at + ENTRY_TIME_DIFF, timeDiff);
    view.setInt32(at + ENTRY_PREVIOUS, previous);

    if (entryNumber === 1) {
      header.beginPhyOffset = phyOffset;
      header.beginTimestamp = storeTimestamp;
    }
    if (previous === 0) header.hashSlotCount++;
    header.indexCount = entryNumber + 1;
    header.endPhyOffset = phyOffset;
    header.endTimestamp = storeTimestamp;
    this.#isChanged = true;
  }

  /** Writes all there is, so that every thread's look-ups find it. Not durable yet. */
  flush(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#isChanged) return;
    this.#writePending();
    this.#file!.writeHeader();
    this.#slots!.writeBack();
    this.#isChanged = false;
  }

  /** Entries of records before `phyOffset`; the last of these records was put before the last flush. */
  entryCountBefore(phyOffset: number): number {
    let count = this.#directory.entryCount;
    for (const file of this.#directory.files.toReversed()) {
      if (file.header.endPhyOffset < phyOffset) break;
      const inFile = file.header.indexCount - 1;
      const isOpen = file === this.#file;
      count -= inFile - entriesBefore(file, isOpen ? inFile - this.#pendingCount : inFile, phyOffset);
      if (!isOpen) file.close();
    }
    return count;
  }

  /** Flush and fdatasync. */
  async sync(): Promise<void> {
    this.flush();
    await this.syncWritten();
  }

  /**
   * Makes durable what is in the files by now. Before the checkpoint says that records are dispatched whose keys were
   * flushed, this must have ended.
   */
  async syncWritten(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    if (this.#failure !== undefined) throw this.#failure;
    try {
      await Promise.all([file.sync(), ...this.#sealing]);
    } catch (error) {
      this.#failure ??= error;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Syncs and lets go of the files. The files are closed even when it throws. */
  async close(): Promise<void> {
    try {
      await this.sync();
    } finally {
      await Promise.all(this.#sealing);
      this.#file = this.#slots = this.#pending = undefined;
      this.#directory.close();
    }
  }

  #writable(): IndexFile {
    const file = this.#file;
    if (file !== undefined && file.header.indexCount < this.#maxIndexNum) return file;
    return this.#nextFile();
  }

  #nextFile(): IndexFile {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#file !== undefined) this.flush();
    const last = this.#directory.last;
    const isBlank = last === undefined || last.isFull;
    const file = isBlank ? this.#directory.append(this.#clock.nowMs()) : last;
    // The full one may also be an earlier process's, which did not come to sync it.
    if (isBlank && last !== undefined) this.#seal(last);
    this.#file = file;
    this.#slots = new SlotTable(file.handle, this.#maxHashSlotNum, isBlank);
    this.#pending ??= new DataView(new ArrayBuffer(PENDING_ENTRIES_MAX * INDEX_ENTRY_BYTES));
    return file;
  }

  /** Syncs and closes a full file without making the dispatch wait for it. */
  #seal(file: IndexFile): void {
    const { endTimestamp } = file.header;
    const sealing = file
      .sync()
      .then(
        () => {
          this.#indexMsgTimestamp = Math.max(this.#indexMsgTimestamp, endTimestamp);
        },
        (error: unknown) => {
          this.#failure ??= error;
        },
      )
      .then(() => {
        file.close();
        this.#sealing.delete(sealing);
      });
    this.#sealing.add(sealing);
  }

  #writePending(): void {
    if (this.#pendingCount === 0) return;
    const file = this.#file!;
    const first = file.header.indexCount - this.#pendingCount;
    const bytes = new Uint8Array(this.#pending!.buffer, 0, this.#pendingCount * INDEX_ENTRY_BYTES);
    file.handle.writeAt(bytes, 0, bytes.length, entryPosition(file.sizes, first));
    this.#pendingCount = 0;
  }
}
