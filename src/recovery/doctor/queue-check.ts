/**
 * Checks every entry of every queue against the log, in one walk over the log. Records of a queue come by in the order
 * of its entries, so each queue needs no more than a cursor: how far its entries are accounted for. When a record comes,
 * the entries between the cursor and the record's own are ones without a message, and its own must point at it; what is
 * left when the log ends lies beyond it. Nothing is kept of what was seen, and thousands of queues share handles and
 * blocks (see queue-units).
 */
import { queueFileName } from "../../consumequeue/queue-files.js";
import { ConsumeQueueExt, emptyExtUnit } from "../../consumequeue/consume-queue-ext.js";
import { EXT_QUEUE_DIRECTORY_NAME, listQueues } from "../../consumequeue/queue-directory.js";
import { isExtAddress, UNIT_BYTES } from "../../consumequeue/unit.js";
import type { Disk } from "../../io/disk.js";
import type { FindingCode, Findings } from "./finding.js";
import type { OffsetRanges } from "./offset-ranges.js";
import { QueueOrder } from "./queue-order.js";
import type { QueueTarget } from "./queue-targets.js";
import { isTagsCode, QueueReading, QueueUnits } from "./queue-units.js";
import { relativePath, type StoreFacts } from "./store-facts.js";

/** Entries of one queue that follow one another and have the same fault. */
interface Run {
  readonly code: FindingCode;
  readonly from: number;
  to: number;
  /** Log offsets of the messages, or of what the entries point at. */
  readonly firstPhyOffset: number;
  lastPhyOffset: number;
  readonly detail: string;
}

interface QueueState {
  readonly units: QueueUnits;
  /** Of the records that came by. */
  readonly order: QueueOrder;
  /** Offset of the first entry not yet accounted for. */
  next: number;
  /** The queue's last record that came by. */
  lastPhyOffset: number;
  lastSizeBytes: number;
  run: Run | undefined;
}

/** What the log has lost, and where it begins; shared by all checkers. */
export interface LogKnowledge {
  readonly beginOffset: number;
  /** Bytes that are no records. */
  readonly damaged: OffsetRanges;
  /** Fillers that repairs have put there. */
  readonly filled: OffsetRanges;
}

export class QueueCheck {
  /** Entries that were found in order. */
  entryCount = 0;
  /** Files that hold nothing but entries for messages that retention has removed. */
  expiredFiles = 0;
  /** Queues with an entry for damaged bytes: "topic/queueId". */
  readonly intoDamage = new Set<string>();
  readonly #facts: StoreFacts;
  readonly #log: LogKnowledge;
  readonly #findings: Findings;
  readonly #reading: QueueReading;
  readonly #disk: Disk;
  readonly #byTopic = new Map<string, Map<number, QueueState>>();
  readonly #extUnit = emptyExtUnit();

  constructor(disk: Disk, facts: StoreFacts, log: LogKnowledge, findings: Findings) {
    this.#disk = disk;
    this.#facts = facts;
    this.#log = log;
    this.#findings = findings;
    this.#reading = new QueueReading(disk, facts.queueFileBytes);
    const listing = listQueues(disk, facts.places.consumeQueue);
    for (const path of listing.unknown) {
      findings.add("queue.foreign", { path: this.#relative(path) }, "this is no queue's directory");
    }
    for (const { topic, queueId, directory } of listing.queues) this.#open(directory, topic, queueId);
  }

  get queueCount(): number {
    let count = 0;
    for (const queues of this.#byTopic.values()) count += queues.size;
    return count;
  }

  #relative(path: string): string {
    return relativePath(this.#facts.places, path);
  }

  #open(directory: string, topic: string, queueId: number): QueueState {
    const units = new QueueUnits(this.#reading, directory, topic, queueId);
    for (const { name, kind, detail } of units.problems) {
      const path = this.#relative(`${directory}/${name}`);
      this.#findings.add(`queue.${kind}`, { path, topic, queueId }, detail);
    }
    const state: QueueState = {
      units,
      order: new QueueOrder(),
      next: units.firstOffset,
      lastPhyOffset: -1,
      lastSizeBytes: -1,
      run: undefined,
    };
    const queues = this.#byTopic.get(topic);
    if (queues === undefined) this.#byTopic.set(topic, new Map([[queueId, state]]));
    else queues.set(queueId, state);
    return state;
  }

  #openMissing(topic: string, queueId: number): QueueState {
    return this.#open(`${this.#facts.places.consumeQueue}/${topic}/${queueId}`, topic, queueId);
  }

  /** A sound record at `phyOffset` that belongs to this queue. */
  put(target: QueueTarget, phyOffset: number, sizeBytes: number, tagsCode: number): void {
    const { topic, queueId, queueOffset } = target;
    const state = this.#byTopic.get(topic)?.get(queueId) ?? this.#openMissing(topic, queueId);
    const { units } = state;
    // Said already; a repair makes such a queue anew.
    if (!units.isReadable) return;
    if (!this.#fitsOrder(state, queueOffset, phyOffset)) return;
    state.order.accept(queueOffset, phyOffset);
    this.#judgeOrphans(state, queueOffset, phyOffset, sizeBytes);
    state.next = queueOffset + 1;
    state.lastPhyOffset = phyOffset;
    state.lastSizeBytes = sizeBytes;
    if (!units.read(queueOffset) || !units.counts || units.isBlank) {
      this.#fault(state, "queue.entries-missing", queueOffset, phyOffset);
    } else if (units.phyOffset !== phyOffset || units.sizeBytes !== sizeBytes) {
      const detail = `entry ${queueOffset} says ${units.sizeBytes} bytes at ${units.phyOffset}, it is ${sizeBytes} bytes at ${phyOffset}`;
      this.#fault(state, "queue.wrong-entries", queueOffset, phyOffset, detail);
    } else {
      this.#judgeTags(state, queueOffset, phyOffset, tagsCode);
    }
  }

  /** False when the record's offset says nothing about which entry comes next. */
  #fitsOrder(state: QueueState, queueOffset: number, phyOffset: number): boolean {
    const { units, order } = state;
    const hasFiles = units.filesEnd > units.firstOffset;
    const isInFiles = queueOffset >= units.firstOffset && queueOffset < units.filesEnd;
    if (hasFiles && order.next < 0 && !isInFiles) {
      this.#fault(state, "queue.entries-missing", queueOffset, phyOffset);
      return false;
    }
    const verdict = order.judge(queueOffset, phyOffset);
    if (verdict === "restarts") {
      state.run = undefined;
      this.#fault(state, "queue.impossible-offset", order.next - 1, state.lastPhyOffset);
      order.restart();
      state.next = units.firstOffset;
    } else if (verdict === "taken") this.#fault(state, "queue.taken-offsets", queueOffset, phyOffset);
    else if (verdict === "impossible") this.#fault(state, "queue.impossible-offset", queueOffset, phyOffset);
    return verdict === "follows" || verdict === "restarts";
  }

  #judgeTags(state: QueueState, queueOffset: number, phyOffset: number, tagsCode: number): void {
    const { units } = state;
    let { tagsHigh, tagsLow } = units;
    if (isExtAddress(tagsHigh, tagsLow)) {
      if (!this.#readExt(units, tagsHigh, tagsLow)) {
        this.#fault(state, "queue.ext", queueOffset, phyOffset);
        return;
      }
      tagsHigh = this.#extUnit.tagsCodeHigh;
      tagsLow = this.#extUnit.tagsCodeLow;
    }
    if (isTagsCode(tagsHigh, tagsLow, tagsCode)) this.#sound(state);
    else this.#fault(state, "queue.tags", queueOffset, phyOffset);
  }

  #readExt(units: QueueUnits, high: number, low: number): boolean {
    const directory = `${this.#facts.places.root}/${EXT_QUEUE_DIRECTORY_NAME}/${units.topic}/${units.queueId}`;
    const ext = new ConsumeQueueExt(this.#reading.context.cache, directory, this.#facts.extFileBytes);
    return ext.get(high, low, this.#extUnit);
  }

  #sound(state: QueueState): void {
    this.entryCount++;
    this.#endRun(state);
  }

  /** Entries from the cursor up to that of the record at `phyOffset`: no record claims them. */
  #judgeOrphans(state: QueueState, queueOffset: number, phyOffset: number, sizeBytes: number): void {
    const { units } = state;
    const end = Math.min(queueOffset, units.filesEnd);
    let expired = 0;
    for (let offset = Math.max(state.next, units.firstOffset); offset < end; offset++) {
      if (!units.read(offset)) break;
      const code = this.#orphanCode(state, phyOffset, sizeBytes);
      if (code !== undefined) this.#fault(state, code, offset, units.phyOffset);
      else if (units.phyOffset < this.#log.beginOffset && !units.isBlank) expired++;
    }
    this.expiredFiles += Math.floor(expired / units.unitsPerFile);
  }

  /** Undefined when there is nothing wrong with it. `phyOffset` is that of the queue's next record. */
  #orphanCode(state: QueueState, phyOffset: number, sizeBytes: number): FindingCode | undefined {
    const { damaged, filled, beginOffset } = this.#log;
    const { units, lastPhyOffset, lastSizeBytes } = state;
    if (!units.counts) return "queue.wrong-entries";
    // In front of a queue's first message they are what Apache fills up with, later what recovery leads over losses with.
    if (units.isBlank) {
      if (lastPhyOffset < 0) return undefined;
      if (damaged.count > 0) this.intoDamage.add(`${units.topic}/${units.queueId}`);
      return "queue.lost-message";
    }
    // Repairs let the entry of a lost message point at the message behind it, or in front of it.
    if (units.phyOffset === phyOffset && units.sizeBytes === sizeBytes) return "queue.lost-message";
    if (units.phyOffset === lastPhyOffset && units.sizeBytes === lastSizeBytes) return "queue.lost-message";
    const deletedBefore = this.#facts.deletedTopics.get(units.topic) ?? 0;
    if (units.phyOffset < Math.max(beginOffset, deletedBefore)) return undefined;
    if (damaged.contains(units.phyOffset)) {
      this.intoDamage.add(`${units.topic}/${units.queueId}`);
      return undefined;
    }
    return filled.contains(units.phyOffset) ? "queue.wrong-entries" : "queue.no-record";
  }

  #fault(state: QueueState, code: FindingCode, queueOffset: number, phyOffset: number, detail = ""): void {
    const { run } = state;
    if (run !== undefined && run.code === code && queueOffset === run.to + 1) {
      run.to = queueOffset;
      run.lastPhyOffset = phyOffset;
      return;
    }
    this.#endRun(state);
    state.run = {
      code,
      from: queueOffset,
      to: queueOffset,
      firstPhyOffset: phyOffset,
      lastPhyOffset: phyOffset,
      detail,
    };
  }

  #endRun(state: QueueState): void {
    const { run, units } = state;
    if (run === undefined) return;
    state.run = undefined;
    const { topic, queueId } = units;
    const isMissing = !this.#disk.isDirectory(units.directory);
    const code = isMissing && run.code === "queue.entries-missing" ? "queue.missing" : run.code;
    const inFile = run.from % units.unitsPerFile;
    const file = `${units.directory}/${queueFileName((run.from - inFile) * UNIT_BYTES)}`;
    const place = {
      path: this.#relative(isMissing ? units.directory : file),
      position: isMissing ? 0 : inFile * UNIT_BYTES,
      lengthBytes: (run.to - run.from + 1) * UNIT_BYTES,
      phyOffset: run.firstPhyOffset,
      topic,
      queueId,
    };
    this.#findings.add(code, place, describe(code, run));
  }

  /** The log ends at `endOffset`: what the queues still hold lies beyond it. One queue a step. */
  *finish(endOffset: number): Generator<void> {
    for (const queues of this.#byTopic.values()) {
      for (const state of queues.values()) {
        this.#finishQueue(state, endOffset);
        this.#endRun(state);
        state.units.release();
        yield;
      }
    }
    if (this.expiredFiles > 0) {
      const what = `${this.expiredFiles} queue files hold only entries for messages before the log's beginning`;
      this.#findings.add("queue.expired", { path: this.#relative(this.#facts.places.consumeQueue) }, what);
    }
    this.#reading.close();
  }

  #finishQueue(state: QueueState, endOffset: number): void {
    const { units } = state;
    let offset = Math.max(state.next, units.firstOffset);
    let expired = 0;
    for (; units.read(offset) && units.counts; offset++) {
      if (units.isBlank) continue;
      if (units.phyOffset >= endOffset) this.#fault(state, "queue.beyond-log", offset, units.phyOffset);
      else {
        const code = this.#orphanCode(state, -1, -1);
        if (code !== undefined) this.#fault(state, code, offset, units.phyOffset);
        else if (units.phyOffset < this.#log.beginOffset) expired++;
      }
    }
    this.expiredFiles += Math.floor(expired / units.unitsPerFile);
    const stray = units.strayBehind(offset);
    if (stray < 0) return;
    this.#endRun(state);
    const inFile = stray % units.unitsPerFile;
    const path = this.#relative(`${units.directory}/${queueFileName((stray - inFile) * UNIT_BYTES)}`);
    const { topic, queueId } = units;
    const what = `the queue ends at offset ${offset}, but something lies at offset ${stray}`;
    this.#findings.add("queue.stray", { path, position: inFile * UNIT_BYTES, topic, queueId }, what);
  }
}

function describe(code: FindingCode, run: Run): string {
  const { from, to, firstPhyOffset, lastPhyOffset, detail } = run;
  const entries = from === to ? `entry ${from}` : `entries ${from} to ${to}`;
  const messages =
    from === to ? `the message at ${firstPhyOffset}` : `the messages from ${firstPhyOffset} to ${lastPhyOffset}`;
  switch (code) {
    case "queue.missing":
      return `there is no such queue, but the log holds ${to - from + 1} of its messages: ${entries}`;
    case "queue.entries-missing":
      return `no ${entries}: ${messages} cannot be consumed`;
    case "queue.wrong-entries":
      return `${entries} point elsewhere than at their messages${detail === "" ? "" : `: ${detail}`}`;
    case "queue.no-record":
      return `${entries}: at ${firstPhyOffset} lies no message of this queue`;
    case "queue.beyond-log":
      return `${entries} point beyond the log's end, at ${firstPhyOffset} and behind`;
    case "queue.tags":
      return `${entries}: another tags code than that of ${messages}`;
    case "queue.ext":
      return `${entries}: nothing lies where the tags code leads`;
    case "queue.impossible-offset":
      return `${messages}: says that its offset is ${from}, which no queue can have got to`;
    case "queue.taken-offsets":
      return `${messages}: another message was given offset ${from === to ? from : `${from} to ${to}`} before`;
    default:
      return `${entries} ${from === to ? "stands for a lost message" : "stand for lost messages"}`;
  }
}
