/**
 * Makes queues and index anew from the log, in one walk, beside those that are there; then the old ones go to lost+found
 * and the new ones take their place. A process that is killed meanwhile leaves the old ones, or, for some queues, the new
 * ones: the same repair can be run again.
 *
 * Where the log has lost a message, the queue's entry for it becomes a copy of the entry behind it, or, at the queue's
 * end, of the one in front of it: no offset is given out again, and consumers get a message twice rather than never. A
 * blank entry would not do: a broker of Apache's passes over what follows in the same segment when an entry leads nowhere.
 */
import { basename, dirname } from "node:path";
import type { Clock } from "../../base/clock.js";
import { BatchConsumeQueue } from "../../consumequeue/batch-consume-queue.js";
import { BATCH_UNIT_BYTES } from "../../consumequeue/batch-unit.js";
import { FileCache } from "../../consumequeue/file-cache.js";
import { BATCH_QUEUE_DIRECTORY_NAME, QUEUE_DIRECTORY_NAME } from "../../consumequeue/queue-directory.js";
import { QueueContext, QueueFiles } from "../../consumequeue/queue-files.js";
import { BLANK_SIZE_BYTES, UNIT_BYTES, writeUnit } from "../../consumequeue/unit.js";
import { IndexDirectory } from "../../index/index-directory.js";
import { isIndexFileName } from "../../index/index-file.js";
import { IndexWriter } from "../../index/index-writer.js";
import type { Disk } from "../../io/disk.js";
import { type LogLayout, filesEnd } from "../doctor/log-files.js";
import { type LogWalk, WalkStep } from "../doctor/log-walk.js";
import { openWalk } from "../doctor/open-walk.js";
import { QueueOrder } from "../doctor/queue-order.js";
import { type QueueTarget, QueueTargets } from "../doctor/queue-targets.js";
import { OffsetRanges } from "../doctor/offset-ranges.js";
import { QueueReading, QueueUnits } from "../doctor/queue-units.js";
import type { StoreFacts } from "../doctor/store-facts.js";
import { isFiller } from "../quarantine.js";
import type { QueueName } from "./plan.js";

const OPEN_FILES_MAX = 256;
const FLUSH_RECORDS = 4096;
/** The event loop has its turn after so long, looked at every so many records: signals are heard there. */
const TURN_MS = 50;
const LOOK_RECORDS = 64;

export interface RebuildOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly facts: StoreFacts;
  readonly layout: LogLayout;
  readonly queues: readonly QueueName[] | "all";
  readonly index: boolean;
  /** New files grow here; emptied first. */
  readonly staging: string;
  /** Old files go here. */
  readonly lost: string;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface RebuildReport {
  readonly recordCount: number;
  readonly queueCount: number;
  readonly queueEntryCount: number;
  /** Entries that stand for messages the log has lost. */
  readonly lostEntryCount: number;
  /** Messages whose offset another one has, or none can have: they are in no queue. */
  readonly leftOutCount: number;
  readonly indexKeyCount: number;
  readonly lastStoreTimestamp: number;
  /** For the checkpoint; undefined when the index was not made anew. */
  readonly indexMsgTimestamp: number | undefined;
}

export async function rebuild(options: RebuildOptions): Promise<RebuildReport> {
  const { disk, staging } = options;
  removeTree(disk, staging);
  const work = new Rebuild(options);
  await work.walk();
  const report = await work.finish();
  removeTree(disk, staging);
  return report;
}

/** One queue in the making. */
class NewQueue {
  readonly files: QueueFiles;
  readonly directory: string;
  readonly target: QueueName;
  entryCount = 0;
  lostCount = 0;
  readonly #order = new QueueOrder();
  #last: Buffer = Buffer.alloc(UNIT_BYTES);

  constructor(context: QueueContext, directory: string, target: QueueName) {
    this.files = new QueueFiles(context, directory);
    this.directory = directory;
    this.target = target;
  }

  /** False when the offset is taken, or none that can be. */
  put(phyOffset: number, sizeBytes: number, tagsCode: number, queueOffset: number): boolean {
    const { files } = this;
    const verdict = this.#order.judge(queueOffset, phyOffset);
    if (verdict === "taken" || verdict === "impossible") return false;
    if (verdict === "restarts") this.#restart();
    this.#order.accept(queueOffset, phyOffset);
    const position = queueOffset * UNIT_BYTES;
    if (this.entryCount === 0) files.fill(unitOf(0, BLANK_SIZE_BYTES, 0), position);
    else if (position > files.nextBytes) {
      this.lostCount += (position - files.nextBytes) / UNIT_BYTES;
      files.fill(unitOf(phyOffset, sizeBytes, tagsCode), position);
    }
    const at = files.claim();
    writeUnit(files.pendingView, at, phyOffset, sizeBytes, tagsCode);
    this.#last = unitOf(phyOffset, sizeBytes, tagsCode);
    this.entryCount++;
    return true;
  }

  #restart(): void {
    this.files.removeAll(0);
    this.#order.restart();
    this.entryCount = 0;
  }

  /** Offset of the next entry. */
  get next(): number {
    return this.files.nextBytes / UNIT_BYTES;
  }

  /** Goes on to `end` with copies of the last entry. */
  lengthen(end: number): void {
    this.lostCount += end - this.next;
    this.files.fill(this.#last, end * UNIT_BYTES);
  }

  /** Takes over an old queue's entry as it is. */
  copy(unit: QueueUnits, queueOffset: number): void {
    const { files } = this;
    if (this.entryCount === 0) files.fill(unitOf(0, BLANK_SIZE_BYTES, 0), queueOffset * UNIT_BYTES);
    const at = files.claim();
    const view = files.pendingView;
    writeUnit(view, at, unit.phyOffset, unit.sizeBytes, 0);
    view.setInt32(at + UNIT_BYTES - 8, unit.tagsHigh);
    view.setInt32(at + UNIT_BYTES - 4, unit.tagsLow);
    this.entryCount++;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function unitOf(phyOffset: number, sizeBytes: number, tagsCode: number): Buffer {
  const unit = Buffer.alloc(UNIT_BYTES);
  writeUnit(new DataView(unit.buffer, unit.byteOffset, UNIT_BYTES), 0, phyOffset, sizeBytes, tagsCode);
  return unit;
}

class Rebuild {
  readonly #options: RebuildOptions;
  readonly #walk: LogWalk;
  readonly #targets: QueueTargets;
  readonly #context: QueueContext;
  readonly #batchContext: QueueContext;
  readonly #cache: FileCache;
  readonly #chosen: ReadonlySet<string> | undefined;
  readonly #queues = new Map<string, NewQueue>();
  readonly #batches = new Map<string, BatchConsumeQueue>();
  readonly #index: IndexDirectory | undefined;
  readonly #writer: IndexWriter | undefined;
  /** What is no message: fillers, and damage where a queue alone is made anew. */
  readonly #lostRanges = new OffsetRanges();
  #recordCount = 0;
  #leftOutCount = 0;
  #keyCount = 0;
  #batchEntryCount = 0;

  constructor(options: RebuildOptions) {
    const { disk, clock, facts, layout, queues, staging } = options;
    this.#options = options;
    this.#walk = openWalk({ disk, clock, facts, layout });
    this.#targets = new QueueTargets(facts);
    this.#cache = new FileCache(disk, OPEN_FILES_MAX);
    const shared = { disk, cache: this.#cache };
    this.#context = new QueueContext({
      ...shared,
      fileBytes: facts.queueFileBytes,
      unitBytes: UNIT_BYTES,
      sizeOption: "mappedFileSizeConsumeQueue",
    });
    this.#batchContext = new QueueContext({
      ...shared,
      fileBytes: facts.batchFileBytes,
      unitBytes: BATCH_UNIT_BYTES,
      sizeOption: "mapperFileSizeBatchConsumeQueue",
    });
    this.#chosen = queues === "all" ? undefined : new Set(queues.map(keyOf));
    if (!options.index) return;
    this.#index = IndexDirectory.load(disk, `${staging}/index`, facts.indexSizes);
    this.#writer = new IndexWriter(this.#index, clock);
  }

  async walk(): Promise<void> {
    const walk = this.#walk;
    const { clock, layout, onProgress } = this.#options;
    await turn();
    let turnEndMs = clock.monotonicMs() + TURN_MS;
    const begin = layout.files[0]?.base ?? 0;
    for (let step = walk.next(); step !== WalkStep.END; step = walk.next()) {
      if (step === WalkStep.BLANK) continue;
      if (step !== WalkStep.RECORD || isFiller(walk.record, walk.bytes)) {
        this.#lostRanges.add(walk.from, walk.to);
        continue;
      }
      this.#putRecord();
      if (++this.#recordCount % LOOK_RECORDS === 0 && clock.monotonicMs() > turnEndMs) {
        await turn();
        turnEndMs = clock.monotonicMs() + TURN_MS;
      }
      if (this.#recordCount % FLUSH_RECORDS !== 0) continue;
      for (const { files } of this.#queues.values()) files.flush();
      onProgress?.(walk.to - begin, filesEnd(layout) - begin);
    }
  }

  #putRecord(): void {
    const walk = this.#walk;
    const { record, bytes, from } = walk;
    this.#targets.visit(record, bytes, (target) => {
      if (this.#chosen !== undefined && !this.#chosen.has(keyOf(target))) return;
      const { tagsCode } = this.#targets;
      if (target.isBatch) this.#putBatch(target, from, tagsCode);
      else if (!this.#queueOf(target).put(from, record.totalSize, tagsCode, target.queueOffset)) this.#leftOutCount++;
    });
    if (this.#writer === undefined) return;
    const topicEnd = record.topicStart + record.topicLength;
    const propertiesEnd = record.propertiesStart + record.propertiesLength;
    const { topicStart, propertiesStart, storeTimestamp, sysFlag } = record;
    this.#keyCount += this.#writer.putRecord(
      bytes,
      topicStart,
      topicEnd,
      propertiesStart,
      propertiesEnd,
      from,
      storeTimestamp,
      sysFlag,
    );
  }

  #queueOf({ topic, queueId }: QueueName): NewQueue {
    const key = keyOf({ topic, queueId });
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      const directory = `${this.#options.staging}/${QUEUE_DIRECTORY_NAME}/${topic}/${queueId}`;
      queue = new NewQueue(this.#context, directory, { topic, queueId });
      this.#queues.set(key, queue);
    }
    return queue;
  }

  #putBatch({ topic, queueId, queueOffset, count }: QueueTarget, phyOffset: number, tagsCode: number): void {
    const key = keyOf({ topic, queueId });
    let queue = this.#batches.get(key);
    if (queue === undefined) {
      const directory = `${this.#options.staging}/${BATCH_QUEUE_DIRECTORY_NAME}/${topic}/${queueId}`;
      queue = new BatchConsumeQueue(this.#batchContext, directory, topic, queueId);
      this.#batches.set(key, queue);
    }
    const { totalSize, storeTimestamp } = this.#walk.record;
    const entry = { phyOffset, sizeBytes: totalSize, tagsCode, storeTimestamp, baseOffset: queueOffset, count };
    if (queue.append(entry) === "appended") this.#batchEntryCount++;
  }

  async finish(): Promise<RebuildReport> {
    this.#takeOverOld();
    for (const { files } of this.#queues.values()) {
      files.flush();
      files.syncNow();
    }
    for (const queue of this.#batches.values()) {
      queue.flush();
      queue.syncNow();
    }
    this.#cache.close();
    await this.#writer?.close();
    this.#swapQueues();
    if (this.#writer !== undefined) this.#swapIndex();
    const queues = [...this.#queues.values()];
    return {
      recordCount: this.#recordCount,
      queueCount: this.#queues.size + this.#batches.size,
      queueEntryCount: queues.reduce((sum, queue) => sum + queue.entryCount, this.#batchEntryCount),
      lostEntryCount: queues.reduce((sum, queue) => sum + queue.lostCount, 0),
      leftOutCount: this.#leftOutCount,
      indexKeyCount: this.#keyCount,
      lastStoreTimestamp: this.#walk.lastStoreTimestamp,
      indexMsgTimestamp: this.#writer?.indexMsgTimestamp,
    };
  }

  /** What only the old queues know. */
  #takeOverOld(): void {
    const { disk, facts, queues } = this.#options;
    const reading = new QueueReading(disk, facts.queueFileBytes);
    const chosen = queues === "all" ? [...this.#queues.values()].map(({ target }) => target) : queues;
    for (const name of chosen) {
      if (facts.batchTopics.has(name.topic)) continue;
      const directory = `${facts.places.consumeQueue}/${name.topic}/${name.queueId}`;
      const units = new QueueUnits(reading, directory, name.topic, name.queueId);
      const made = this.#queues.get(keyOf(name));
      if (made === undefined) this.#keepExpired(units, this.#queueOf(name));
      else this.#keepLength(units, made);
      units.release();
    }
    reading.close();
  }

  /**
   * A queue of which the log holds no message any more keeps its entries from before, for they are all there is to say
   * which offset comes next.
   */
  #keepExpired(old: QueueUnits, made: NewQueue): void {
    const beginOffset = this.#options.layout.files[0]?.base ?? 0;
    for (let offset = old.firstOffset; old.read(offset) && old.counts; offset++) {
      if (old.phyOffset >= beginOffset) break;
      if (!old.isBlank) made.copy(old, offset);
    }
  }

  /** Offsets of messages that were lost at the queue's end are not given to others. */
  #keepLength(old: QueueUnits, made: NewQueue): void {
    let end = made.next;
    while (old.read(end) && old.counts && this.#lostRanges.contains(old.phyOffset)) end++;
    if (end > made.next) made.lengthen(end);
  }

  /** First all old ones go, then the new ones come: a topic that is not there is moved as a whole. */
  #swapQueues(): void {
    const { facts } = this.#options;
    const { consumeQueue, batchConsumeQueue } = facts.places;
    const swaps = [
      ...[...this.#queues.values()].map(({ target, directory }) => ({
        ...target,
        made: directory,
        root: consumeQueue,
      })),
      ...[...this.#batches.values()].map(({ topic, queueId, directory }) => {
        return { topic, queueId, made: directory, root: batchConsumeQueue };
      }),
    ];
    for (const { topic, queueId, root } of swaps) this.#setAside(root, topic, queueId);
    this.#setAsideWithoutMessages();
    for (const { topic, queueId, root, made } of swaps) this.#bringIn(made, root, topic, queueId);
  }

  /** Batch queues of which the log holds no message any more: all their units lead nowhere. */
  #setAsideWithoutMessages(): void {
    const { facts, queues } = this.#options;
    if (queues === "all") return;
    for (const { topic, queueId } of queues.filter((name) => facts.batchTopics.has(name.topic)))
      if (!this.#batches.has(keyOf({ topic, queueId }))) this.#setAside(facts.places.batchConsumeQueue, topic, queueId);
  }

  #setAside(root: string, topic: string, queueId: number): void {
    const { disk, lost } = this.#options;
    const place = `${root}/${topic}/${queueId}`;
    if (!disk.isDirectory(place)) return;
    const aside = `${lost}/${basename(root)}/${topic}`;
    disk.makeDirectory(aside);
    disk.rename(place, `${aside}/${queueId}`);
  }

  #bringIn(made: string, root: string, topic: string, queueId: number): void {
    const { disk } = this.#options;
    if (!disk.isDirectory(made)) return;
    if (disk.isDirectory(`${root}/${topic}`)) {
      disk.rename(made, `${root}/${topic}/${queueId}`);
      return;
    }
    disk.makeDirectory(root);
    disk.rename(dirname(made), `${root}/${topic}`);
  }

  #swapIndex(): void {
    const { disk, facts, lost, staging } = this.#options;
    const { index } = facts.places;
    for (const name of disk.list(index).filter(isIndexFileName)) {
      disk.makeDirectory(`${lost}/index`);
      disk.rename(`${index}/${name}`, `${lost}/index/${name}`);
    }
    disk.makeDirectory(index);
    for (const name of disk.list(`${staging}/index`)) disk.rename(`${staging}/index/${name}`, `${index}/${name}`);
  }
}

function keyOf({ topic, queueId }: QueueName): string {
  return `${topic}/${queueId}`;
}

export function removeTree(disk: Disk, path: string): void {
  if (disk.isDirectory(path)) for (const name of disk.list(path)) removeTree(disk, `${path}/${name}`);
  disk.remove(path);
}
