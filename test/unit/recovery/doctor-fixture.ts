/** What the doctor's tests share: a small store the engine wrote, means to damage its files, and what the doctor says. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Clock } from "#src/base/clock.js";
import { systemClock } from "#src/base/clock.js";
import { isConfigText } from "#src/cli/store-facts.js";
import { segmentName } from "#src/commitlog/segment-queue.js";
import type { Disk } from "#src/io/disk.js";
import { FileDisk } from "#src/io/file-disk.js";
import { ReadOnlyDisk } from "#src/io/read-only-disk.js";
import { encodeHost } from "#src/record/host.js";
import { encodeProperties } from "#src/record/properties.js";
import { DEFAULT_DELAY_LEVELS, parseDelayLevels } from "#src/record/tags-code.js";
import { readDeletedTopics } from "#src/recovery/deleted-topics.js";
import type { Finding } from "#src/recovery/doctor/finding.js";
import type { StoreFacts } from "#src/recovery/doctor/store-facts.js";
import { type DoctorReport, examineStore } from "#src/recovery/doctor.js";
import { RepairPlanner, type RepairPlan } from "#src/recovery/repair/plan.js";
import { repairStore, type RepairReport } from "#src/recovery/repair/repair.js";
import { MessageStore } from "#src/store/message-store.js";
import { StorePaths } from "#src/store/store-directory.js";
import { PutStatus, type PutResult } from "#src/store/types.js";

export const SEGMENT_BYTES = 4096;
export const QUEUE_FILE_BYTES = 400;
export const INDEX_SIZES = { maxHashSlotNum: 17, maxIndexNum: 60 };
export const FIRST_TIME_MS = 1_700_000_000_000;
/** Of small stores, whatever their sizes are. */
export const USUAL_FACTS = {
  batchFileBytes: 460,
  extFileBytes: 1024,
  indexEnabled: true,
  delayLevels: parseDelayLevels(DEFAULT_DELAY_LEVELS),
  batchTopics: new Set<string>(),
  multiDispatch: true,
  propertyCrc: "unknown",
} as const;

export interface Stored {
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly phyOffset: number;
  readonly sizeBytes: number;
  readonly body: string;
}

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

export function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-doctor-"));
  directories.push(directory);
  return directory;
}

/** Each look at it is a millisecond later. */
export function tickingClock(startMs = FIRST_TIME_MS): Clock {
  let nowMs = startMs;
  return { ...systemClock, nowMs: () => nowMs++ };
}

const twoTopics = (i: number): string => (i % 3 === 0 ? "Orders" : "Payments");

/** A store with `count` messages in four queues of two topics, closed in order. */
export class SmallStore {
  readonly directory = newDirectory();
  readonly messages: Stored[] = [];
  readonly paths = new StorePaths(this.directory, undefined);

  static async make(count = 60): Promise<SmallStore> {
    const store = new SmallStore();
    await store.grow(count);
    return store;
  }

  /** Opens the store, which recovers it, and appends. */
  async grow(count: number, clock = tickingClock(), topicOf = twoTopics): Promise<void> {
    const store = await this.open(clock);
    const host = encodeHost("127.0.0.1", 10911)!;
    const result: PutResult = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
    for (let i = 0; i < count; i++) {
      const topic = topicOf(i);
      const queueId = i % 2;
      const body = `body ${i} ${"x".repeat((i * 37) % 90)}`;
      const properties = encodeProperties([
        ["KEYS", `key-${i}`],
        ["TAGS", i % 5 === 0 ? "blue" : "green"],
      ]);
      const status = store.put(
        {
          queue: store.queue(topic, queueId),
          flag: 0,
          sysFlag: 0,
          bornTimestamp: FIRST_TIME_MS,
          bornHost: host,
          storeHost: host,
          reconsumeTimes: 0,
          preparedTransactionOffset: 0,
          body: Buffer.from(body),
          bodyStart: 0,
          bodyLength: Buffer.byteLength(body),
          properties,
          propertiesStart: 0,
          propertiesLength: properties.length,
        },
        result,
      );
      if (status !== PutStatus.PUT_OK) throw new Error(`put: ${status}`);
      const { queueOffset, phyOffset, sizeBytes } = result;
      this.messages.push({ topic, queueId, queueOffset, phyOffset, sizeBytes, body });
    }
    await store.close();
  }

  open(clock?: Clock): Promise<MessageStore> {
    return MessageStore.open({
      directory: this.directory,
      disk: new FileDisk("file"),
      clock,
      threads: false,
      segmentBytes: SEGMENT_BYTES,
      queueFileBytes: QUEUE_FILE_BYTES,
      indexSizes: INDEX_SIZES,
    });
  }

  get facts(): StoreFacts {
    return {
      places: this.paths,
      segmentBytes: undefined,
      queueFileBytes: QUEUE_FILE_BYTES,
      ...USUAL_FACTS,
      indexSizes: INDEX_SIZES,
      deletedTopics: readDeletedTopics(new ReadOnlyDisk(), this.paths.deletedTopics),
    };
  }

  segmentPath(phyOffset: number): string {
    return join(this.directory, "commitlog", segmentName(phyOffset - (phyOffset % SEGMENT_BYTES)));
  }

  queuePath(topic: string, queueId: number, queueOffset: number): string {
    const position = queueOffset * 20;
    const base = position - (position % QUEUE_FILE_BYTES);
    return join(this.directory, "consumequeue", topic, String(queueId), segmentName(base));
  }

  /** Overwrites bytes of the log. */
  damage(phyOffset: number, bytes: Uint8Array): void {
    overwrite(this.segmentPath(phyOffset), phyOffset % SEGMENT_BYTES, bytes);
  }

  /** Overwrites bytes of a queue's entry. */
  damageEntry(topic: string, queueId: number, queueOffset: number, at: number, bytes: Uint8Array): void {
    overwrite(this.queuePath(topic, queueId, queueOffset), ((queueOffset * 20) % QUEUE_FILE_BYTES) + at, bytes);
  }

  /** The last message of a queue. */
  lastOf(topic: string, queueId: number): Stored {
    return this.messages.findLast((message) => message.topic === topic && message.queueId === queueId)!;
  }

  examine(facts: Partial<StoreFacts> = {}, disk: Disk = new ReadOnlyDisk()): Verdict {
    return examine({ ...this.facts, ...facts }, disk);
  }

  async repair(facts: Partial<StoreFacts> = {}): Promise<{ plan: RepairPlan; report: RepairReport }> {
    const { findings, report } = this.examine(facts);
    const planner = new RepairPlanner();
    for (const finding of findings) planner.take(finding);
    const plan = planner.finish(report);
    const options = { disk: new FileDisk("file"), clock: systemClock, facts: { ...this.facts, ...facts } };
    return { plan, report: await repairStore({ ...options, segmentBytes: report.segmentBytes, plan }) };
  }

  /** Every message the engine serves, by queue. */
  async served(): Promise<string[]> {
    const store = await this.open();
    const served: string[] = [];
    for (const { topic, queueId } of store.allQueues()) {
      const queue = store.queue(topic, queueId);
      for (let offset = store.minOffset(queue); offset < store.maxOffset(queue); offset++) {
        const record = store.lookUp.messageAt(queue, offset);
        served.push(`${topic}/${queueId}/${offset} ${record === undefined ? "nothing" : bodyOf(record)}`);
      }
    }
    await store.close();
    return served.sort();
  }
}

function bodyOf(record: Buffer): string {
  const length = record.readInt32BE(84);
  return record.toString("utf8", 88, 88 + length);
}

export interface Verdict {
  readonly findings: Finding[];
  /** Errors and warnings. */
  readonly codes: string[];
  readonly notes: string[];
  readonly report: DoctorReport;
}

export function examine(facts: StoreFacts, disk: Disk = new ReadOnlyDisk()): Verdict {
  const examination = examineStore({ disk, clock: systemClock, facts, isConfig: isConfigText });
  const findings: Finding[] = [];
  for (let step = examination.next(); ; step = examination.next()) {
    if (step.done === true) {
      const codes = findings.filter(({ severity }) => severity !== "info").map(({ code }) => code);
      const notes = findings.filter(({ severity }) => severity === "info").map(({ code }) => code);
      return { findings, codes, notes, report: step.value };
    }
    findings.push(step.value);
  }
}

export function overwrite(path: string, position: number, bytes: Uint8Array): void {
  const content = readFileSync(path);
  content.set(bytes, position);
  writeFileSync(path, content);
}

export function int64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
