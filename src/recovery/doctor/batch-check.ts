/**
 * The same for batch consume queues: their units carry the queue offset and are searched, not counted, so the cursor is
 * a position and what is looked for is the unit of a record, by its log offset.
 */
import { BATCH_UNIT_BYTES, type BatchUnit, batchUnitCounts, readBatchUnit } from "../../consumequeue/batch-unit.js";
import { FileCache } from "../../consumequeue/file-cache.js";
import { listQueues } from "../../consumequeue/queue-directory.js";
import { queueFileName } from "../../consumequeue/queue-files.js";
import type { Disk } from "../../io/disk.js";
import type { FindingCode, Findings } from "./finding.js";
import type { LogKnowledge } from "./queue-check.js";
import type { QueueTarget } from "./queue-targets.js";
import { isTagsCode, listQueueFiles } from "./queue-units.js";
import { relativePath, type StoreFacts } from "./store-facts.js";

const OPEN_FILES_MAX = 32;

interface BatchState {
  readonly topic: string;
  readonly queueId: number;
  readonly directory: string;
  readonly isReadable: boolean;
  /** Byte position of the next unit, and behind the files. */
  next: number;
  readonly end: number;
  missing: { count: number; firstPhyOffset: number; lastPhyOffset: number } | undefined;
}

export class BatchCheck {
  entryCount = 0;
  readonly intoDamage = new Set<string>();
  readonly #disk: Disk;
  readonly #facts: StoreFacts;
  readonly #log: LogKnowledge;
  readonly #findings: Findings;
  readonly #cache: FileCache;
  readonly #states = new Map<string, BatchState>();
  readonly #bytes = Buffer.alloc(BATCH_UNIT_BYTES);
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, BATCH_UNIT_BYTES);

  constructor(disk: Disk, facts: StoreFacts, log: LogKnowledge, findings: Findings) {
    this.#disk = disk;
    this.#facts = facts;
    this.#log = log;
    this.#findings = findings;
    this.#cache = new FileCache(disk, OPEN_FILES_MAX);
    const listing = listQueues(disk, this.#root);
    for (const path of listing.unknown) {
      findings.add("queue.foreign", { path: relativePath(facts.places, path) }, "this is no queue's directory");
    }
    for (const { topic, queueId } of listing.queues) this.#open(topic, queueId);
  }

  get #root(): string {
    return this.#facts.places.batchConsumeQueue;
  }

  get queueCount(): number {
    return this.#states.size;
  }

  #open(topic: string, queueId: number): BatchState {
    const directory = `${this.#root}/${topic}/${queueId}`;
    const { batchFileBytes, places } = this.#facts;
    const { bases, problems } = listQueueFiles(this.#disk, directory, batchFileBytes);
    for (const { name, kind, detail } of problems) {
      const path = relativePath(places, `${directory}/${name}`);
      this.#findings.add(`queue.${kind}`, { path, topic, queueId }, detail);
    }
    const state: BatchState = {
      topic,
      queueId,
      directory,
      isReadable: problems.every(({ kind }) => kind === "foreign"),
      next: bases[0] ?? 0,
      end: bases.length === 0 ? 0 : bases.at(-1)! + batchFileBytes,
      missing: undefined,
    };
    this.#states.set(`${topic}/${queueId}`, state);
    return state;
  }

  put(target: QueueTarget, phyOffset: number, sizeBytes: number, tagsCode: number, storeTimestamp: number): void {
    const { topic, queueId, queueOffset, count } = target;
    const state = this.#states.get(`${topic}/${queueId}`) ?? this.#open(topic, queueId);
    if (!state.isReadable) return;
    let unit = this.#unitAt(state);
    while (unit !== undefined && unit.phyOffset < phyOffset) {
      this.#judgeOrphan(state, unit);
      state.next += BATCH_UNIT_BYTES;
      unit = this.#unitAt(state);
    }
    if (unit === undefined || unit.phyOffset > phyOffset) {
      state.missing ??= { count: 0, firstPhyOffset: phyOffset, lastPhyOffset: phyOffset };
      state.missing.count++;
      state.missing.lastPhyOffset = phyOffset;
      return;
    }
    this.#endMissing(state);
    const fits =
      unit.sizeBytes === sizeBytes &&
      unit.queueOffset === queueOffset &&
      unit.count === count &&
      unit.storeTimestamp === storeTimestamp;
    if (!fits) this.#add(state, "queue.wrong-entries", "an entry's fields differ from its message's", phyOffset);
    else if (!isTagsCode(unit.tagsCodeHigh, unit.tagsCodeLow, tagsCode)) {
      this.#add(state, "queue.tags", "another tags code than that of the message", phyOffset);
    } else this.entryCount++;
    state.next += BATCH_UNIT_BYTES;
  }

  /** The next unit of the queue; undefined at its end. */
  #unitAt(state: BatchState): BatchUnit | undefined {
    if (state.next >= state.end) return undefined;
    const inFile = state.next % this.#facts.batchFileBytes;
    const file = this.#cache.find(`${state.directory}/${queueFileName(state.next - inFile)}`);
    if (file === undefined || file.readAt(this.#bytes, 0, BATCH_UNIT_BYTES, inFile) < BATCH_UNIT_BYTES)
      return undefined;
    return batchUnitCounts(this.#view, 0) ? readBatchUnit(this.#view, 0) : undefined;
  }

  #judgeOrphan(state: BatchState, unit: BatchUnit): void {
    const { damaged, filled, beginOffset } = this.#log;
    if (unit.phyOffset < beginOffset) return;
    if (damaged.contains(unit.phyOffset)) this.intoDamage.add(`${state.topic}/${state.queueId}`);
    else if (filled.contains(unit.phyOffset)) {
      this.#add(state, "queue.wrong-entries", "an entry points at a filler", unit.phyOffset);
    } else this.#add(state, "queue.no-record", "an entry points at no message of this queue", unit.phyOffset);
  }

  #endMissing(state: BatchState): void {
    const { missing } = state;
    if (missing === undefined) return;
    state.missing = undefined;
    const { count, firstPhyOffset, lastPhyOffset } = missing;
    const isMissing = !this.#disk.isDirectory(state.directory);
    const what = `${count} messages, from ${firstPhyOffset} to ${lastPhyOffset}, have no entry`;
    this.#add(state, isMissing ? "queue.missing" : "queue.entries-missing", what, firstPhyOffset);
  }

  #add(state: BatchState, code: FindingCode, what: string, phyOffset: number): void {
    const { topic, queueId, directory, next } = state;
    const inFile = next % this.#facts.batchFileBytes;
    const path = code === "queue.missing" ? directory : `${directory}/${queueFileName(next - inFile)}`;
    const place = { path: relativePath(this.#facts.places, path), position: inFile, phyOffset, topic, queueId };
    this.#findings.add(code, place, what);
  }

  *finish(endOffset: number): Generator<void> {
    for (const state of this.#states.values()) {
      this.#endMissing(state);
      for (let unit = this.#unitAt(state); unit !== undefined; unit = this.#unitAt(state)) {
        if (unit.phyOffset >= endOffset) {
          this.#add(state, "queue.beyond-log", "an entry points beyond the log's end", unit.phyOffset);
          break;
        }
        this.#judgeOrphan(state, unit);
        state.next += BATCH_UNIT_BYTES;
      }
      yield;
    }
    this.#cache.close();
  }
}
