/** Consume queues that Apache wrote, read here; and the same queues written here, byte for byte. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { BatchConsumeQueue } from "#src/consumequeue/batch-consume-queue.js";
import { BatchConsumeQueueReader } from "#src/consumequeue/batch-consume-queue-reader.js";
import { BATCH_UNIT_BYTES } from "#src/consumequeue/batch-unit.js";
import { BlockPool } from "#src/consumequeue/block-pool.js";
import { ConsumeQueue } from "#src/consumequeue/consume-queue.js";
import { ConsumeQueueExt, emptyExtUnit } from "#src/consumequeue/consume-queue-ext.js";
import { ConsumeQueueReader } from "#src/consumequeue/consume-queue-reader.js";
import { FileCache } from "#src/consumequeue/file-cache.js";
import { listQueues, queueDirectory } from "#src/consumequeue/queue-directory.js";
import { QueueContext } from "#src/consumequeue/queue-files.js";
import { isExtAddress, UNIT_BYTES, UnitBatch } from "#src/consumequeue/unit.js";
import type { Disk } from "#src/io/disk.js";
import { FileDisk } from "#src/io/file-disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { type ExpectedLine, expectedLines, extractStore } from "./golden-store.js";

interface QueueLine {
  topic: string;
  queueId: number;
  cqType: "SimpleCQ" | "BatchCQ";
  minOffset: number;
  maxOffset: number;
  maxPhysicOffset: number;
}
interface MessageLine {
  topic: string;
  queueId: number;
  queueOffset: number;
  commitLogOffset: number;
  size: number;
  tagsCode: string;
  rawTagsCode?: string;
  ext?: { size: number; tagsCode: string; msgStoreTime: number; bitMap: string | null };
  batchNum?: number;
  compactedOffset?: number;
  storeTimestamp: number;
}
interface LogLine {
  offset: number;
  size: number;
  topic: string;
  queueId: number;
  queueOffset: number;
  sysFlag: number;
  tagsCode: string;
  storeTimestamp: number;
}
interface TimeLine {
  topic: string;
  queueId: number;
  timestamp: number;
  lower: number;
  upper: number;
}

/** An extracted store and what Apache saw in it. */
class StoreOfQueues {
  readonly disk: Disk = new FileDisk("file");
  readonly cache = new FileCache(this.disk, 8);
  readonly blocks = new BlockPool(3);
  readonly directory: string;
  readonly lines: ExpectedLine[];
  readonly minPhyOffset: number;
  readonly maxPhyOffset: number;
  readonly #conf: ReadonlyMap<string, string>;
  readonly #times = new Map<number, number>();

  constructor(name: string) {
    const { dir, conf } = extractStore(name);
    this.directory = join(dir, "store");
    this.#conf = conf;
    this.lines = expectedLines(name);
    const [store] = this.of<{ minPhyOffset: number; maxPhyOffset: number }>("store");
    this.minPhyOffset = store!.minPhyOffset;
    this.maxPhyOffset = store!.maxPhyOffset;
    for (const record of this.of<LogLine>("log")) this.#times.set(record.offset, record.storeTimestamp);
  }

  size(option: string): number {
    return Number(this.#conf.get(option));
  }

  of<T>(type: string): T[] {
    return this.lines.filter((line) => line.type === type) as unknown[] as T[];
  }

  messagesOf(queue: { topic: string; queueId: number }): MessageLine[] {
    return this.of<MessageLine>("message").filter((m) => m.topic === queue.topic && m.queueId === queue.queueId);
  }

  timesOf(queue: { topic: string; queueId: number }): TimeLine[] {
    return this.of<TimeLine>("offsetByTime").filter((t) => t.topic === queue.topic && t.queueId === queue.queueId);
  }

  storeTimestampOf = (phyOffset: number, sizeBytes: number): number =>
    phyOffset + sizeBytes <= this.maxPhyOffset ? (this.#times.get(phyOffset) ?? -1) : -1;

  directoryOf(line: QueueLine): string {
    const kind = line.cqType === "BatchCQ" ? "batchconsumequeue" : "consumequeue";
    return queueDirectory(`${this.directory}/${kind}`, line.topic, line.queueId);
  }

  context(batch: boolean, disk: Disk = this.disk): QueueContext {
    const sizeOption = batch ? "mapperFileSizeBatchConsumeQueue" : "mappedFileSizeConsumeQueue";
    const unitBytes = batch ? BATCH_UNIT_BYTES : UNIT_BYTES;
    const cache = disk === this.disk ? this.cache : new FileCache(disk, 8);
    return new QueueContext({ disk, cache, fileBytes: this.size(sizeOption), unitBytes, sizeOption });
  }

  open(line: QueueLine, mode: "abnormal" | "normal" | "trusted"): ConsumeQueue | BatchConsumeQueue {
    const batch = line.cqType === "BatchCQ";
    const Kind = batch ? BatchConsumeQueue : ConsumeQueue;
    const queue = new Kind(this.context(batch), this.directoryOf(line), line.topic, line.queueId);
    expect(queue.load()).toEqual([]);
    queue.recover(mode);
    return queue;
  }

  reader(line: QueueLine): ConsumeQueueReader {
    const { disk, cache, blocks } = this;
    const fileBytes = this.size("mappedFileSizeConsumeQueue");
    return new ConsumeQueueReader({ disk, cache, blocks, fileBytes }, this.directoryOf(line));
  }

  bounds(line: QueueLine) {
    return { minOffset: line.minOffset, maxOffset: line.maxOffset, minPhyOffset: this.minPhyOffset };
  }
}

const int64 = (high: number, low: number): string => String((BigInt(high) << 32n) | BigInt(low >>> 0));

function offsetsOf(queue: ConsumeQueue | BatchConsumeQueue): Partial<QueueLine> {
  return { minOffset: queue.minOffset, maxOffset: queue.maxOffset, maxPhysicOffset: queue.maxPhyOffset };
}

function wantedOf(line: QueueLine): Partial<QueueLine> {
  return { minOffset: line.minOffset, maxOffset: line.maxOffset, maxPhysicOffset: line.maxPhysicOffset };
}

/** Every message line of a queue through its reader, `step` at a time. */
function expectUnits(store: StoreOfQueues, line: QueueLine, step: number): void {
  const reader = store.reader(line);
  const batch = new UnitBatch(step);
  const wanted = store.messagesOf(line).filter((message) => message.queueOffset < line.maxOffset);
  for (let i = 0; i < wanted.length; i++) {
    const at = i % step;
    if (at === 0) reader.read(wanted[i]!.queueOffset, step, line.maxOffset, batch);
    const { queueOffset, commitLogOffset, size, tagsCode, rawTagsCode } = wanted[i]!;
    expect({
      queueOffset: batch.firstOffset + at,
      commitLogOffset: batch.phyOffset[at],
      size: batch.sizeBytes[at],
      tagsCode: int64(batch.tagsCodeHigh[at]!, batch.tagsCodeLow[at]!),
    }).toEqual({ queueOffset, commitLogOffset, size, tagsCode: rawTagsCode ?? tagsCode });
  }
}

function expectTimes(store: StoreOfQueues, line: QueueLine): void {
  const reader = store.reader(line);
  for (const { timestamp, lower, upper } of store.timesOf(line)) {
    const answer = {
      lower: reader.offsetByTime(timestamp, "LOWER", store.bounds(line), store.storeTimestampOf),
      upper: reader.offsetByTime(timestamp, "UPPER", store.bounds(line), store.storeTimestampOf),
    };
    expect({ topic: line.topic, timestamp, ...answer }).toEqual({ topic: line.topic, timestamp, lower, upper });
  }
}

/** Stores whose queue files already hold all that Apache sees. */
const WHOLE = [
  "clean",
  "multi-segment",
  "broker",
  "broker-lmq",
  "abort-only",
  "abort-no-checkpoint",
  "index-lost",
  "corrupt-old",
  "head-lost",
  "head-deleted",
  "prop-crc",
  "cq-ext",
];

describe.each(WHOLE)("%s", (name) => {
  let store: StoreOfQueues;
  let lines: QueueLine[];
  beforeAll(() => {
    store = new StoreOfQueues(name);
    lines = store.of<QueueLine>("queue");
  });

  it("has the queues Apache lists", () => {
    const found = ["consumequeue", "batchconsumequeue"].flatMap((kind) => {
      const listing = listQueues(store.disk, `${store.directory}/${kind}`);
      expect(listing.unknown).toEqual([]);
      return listing.queues.map((queue) => `${queue.topic} ${queue.queueId}`);
    });
    expect(lines.length).toBeGreaterThan(3);
    expect(found.sort()).toEqual(lines.map((line) => `${line.topic} ${line.queueId}`).sort());
  });

  it.each(["normal", "trusted", "abnormal"] as const)("has the offsets Apache sees (%s)", (mode) => {
    for (const line of lines) {
      const queue = store.open(line, mode);
      queue.correctMinOffset(store.minPhyOffset);
      expect({ topic: line.topic, ...offsetsOf(queue) }).toEqual({ topic: line.topic, ...wantedOf(line) });
    }
  });

  it("gives every unit and every offset by time", () => {
    const simple = lines.filter((line) => line.cqType === "SimpleCQ");
    for (const line of simple) {
      for (const step of [1, 7, 1000]) expectUnits(store, line, step);
      expectTimes(store, line);
    }
  });
});

describe("stores whose queues follow the log", () => {
  /** Log records that get a unit: not the prepared and the rolled back ones. */
  const dispatched = (record: LogLine): boolean => (record.sysFlag & 0xc) === 0 || (record.sysFlag & 0xc) === 8;

  it.each(["corrupt-tail", "corrupt-middle"])("%s: units behind the log's end are cut off", (name) => {
    const store = new StoreOfQueues(name);
    let cut = 0;
    for (const line of store.of<QueueLine>("queue")) {
      const queue = store.open(line, "normal");
      const before = queue.maxOffset;
      queue.truncateAfter(store.maxPhyOffset);
      queue.correctMinOffset(store.minPhyOffset);
      cut += before - queue.maxOffset;
      expect(offsetsOf(queue)).toEqual(wantedOf(line));
      expect(offsetsOf(store.open(line, "normal"))).toEqual(wantedOf(line));
      expectUnits(store, line, 9);
      expectTimes(store, line);
    }
    expect(cut).toBeGreaterThan(0);
  });

  it.each(["crashed", "cq-lost", "cq-lost-deep"])("%s: dispatching the log again completes them", (name) => {
    const store = new StoreOfQueues(name);
    const queues = store
      .of<QueueLine>("queue")
      .map((line) => ({ line, queue: store.open(line, "abnormal") as ConsumeQueue }));
    const begin = Math.min(...store.of<MessageLine>("message").map((message) => message.commitLogOffset));
    let appended = 0;
    for (const record of store.of<LogLine>("log").filter(dispatched)) {
      if (record.offset < begin) continue;
      const { queue } = queues.find(({ line }) => line.topic === record.topic && line.queueId === record.queueId)!;
      const outcome = queue.append(record.offset, record.size, Number(record.tagsCode), record.queueOffset);
      expect(["appended", "known"]).toContain(outcome);
      if (outcome === "appended") appended++;
    }
    expect(appended).toBeGreaterThan(15);
    for (const { line, queue } of queues) {
      queue.flush();
      queue.correctMinOffset(store.minPhyOffset);
      expect(offsetsOf(queue)).toEqual(wantedOf(line));
      const again = store.open(line, "normal");
      again.correctMinOffset(store.minPhyOffset);
      expect(offsetsOf(again)).toEqual(wantedOf(line));
      expectUnits(store, line, 9);
      expectTimes(store, line);
    }
  });

  it("cq-behind: the units that are left are those of the log, and what is missing is a gap", () => {
    const store = new StoreOfQueues("cq-behind");
    for (const line of store.of<QueueLine>("queue")) {
      const queue = store.open(line, "normal") as ConsumeQueue;
      const records = store.of<LogLine>("log").filter((r) => r.topic === line.topic && r.queueId === line.queueId);
      expect(queue.maxOffset).toBe(records.length - 9);
      expectUnits(store, { ...line, maxOffset: queue.maxOffset }, 1000);
      const last = records.at(-1)!;
      expect(queue.append(last.offset, last.size, Number(last.tagsCode), last.queueOffset)).toBe("gap");
    }
  });

  it.each(["clean", "multi-segment", "broker"])("%s: written anew, the files are Apache's to the byte", (name) => {
    const store = new StoreOfQueues(name);
    const disk = new MemoryDisk();
    let files = 0;
    for (const line of store.of<QueueLine>("queue")) {
      const batch = line.cqType === "BatchCQ";
      const directory = queueDirectory("/s", line.topic, line.queueId);
      const Kind = batch ? BatchConsumeQueue : ConsumeQueue;
      const queue = new Kind(store.context(batch, disk), directory, line.topic, line.queueId);
      for (const message of store.messagesOf(line)) {
        const { commitLogOffset: phyOffset, size: sizeBytes, queueOffset, batchNum, storeTimestamp } = message;
        const tagsCode = Number(message.tagsCode);
        const entry = { phyOffset, sizeBytes, tagsCode, storeTimestamp, baseOffset: queueOffset, count: batchNum ?? 1 };
        if (queue instanceof BatchConsumeQueue) expect(queue.append(entry)).toBe("appended");
        else expect(queue.append(phyOffset, sizeBytes, tagsCode, queueOffset)).toBe("appended");
      }
      queue.flush();
      const original = store.directoryOf(line);
      expect(disk.list(directory)).toEqual(readdirSync(original).sort());
      for (const file of disk.list(directory)) {
        expect(disk.readFile(`${directory}/${file}`)!.equals(readFileSync(join(original, file)))).toBe(true);
        files++;
      }
    }
    expect(files).toBeGreaterThan(30);
  });
});

describe("batch queues", () => {
  it.each(["clean", "broker", "broker-lmq"])("%s: every unit and every offset by time", (name) => {
    const store = new StoreOfQueues(name);
    const lines = store.of<QueueLine>("queue").filter((line) => line.cqType === "BatchCQ");
    expect(lines.length).toBeGreaterThan(1);
    for (const line of lines) {
      const fileBytes = store.size("mapperFileSizeBatchConsumeQueue");
      const reader = new BatchConsumeQueueReader(store.disk, store.cache, store.directoryOf(line), fileBytes);
      for (const message of store.messagesOf(line)) {
        for (const offset of [message.queueOffset, message.queueOffset + message.batchNum! - 1]) {
          const [unit] = reader.read(offset, 1, line.maxOffset);
          expect({
            queueOffset: unit!.queueOffset,
            batchNum: unit!.count,
            commitLogOffset: unit!.phyOffset,
            size: unit!.sizeBytes,
            tagsCode: int64(unit!.tagsCodeHigh, unit!.tagsCodeLow),
            compactedOffset: unit!.compactedOffset,
            storeTimestamp: unit!.storeTimestamp,
          }).toEqual({
            queueOffset: message.queueOffset,
            batchNum: message.batchNum,
            commitLogOffset: message.commitLogOffset,
            size: message.size,
            tagsCode: message.tagsCode,
            compactedOffset: message.compactedOffset,
            storeTimestamp: message.storeTimestamp,
          });
        }
      }
      expect(reader.read(line.minOffset, 1000, line.maxOffset)).toHaveLength(store.messagesOf(line).length);
      for (const { timestamp, lower, upper } of store.timesOf(line)) {
        const answer = {
          lower: reader.offsetByTime(timestamp, "LOWER", store.bounds(line)),
          upper: reader.offsetByTime(timestamp, "UPPER", store.bounds(line)),
        };
        expect({ timestamp, ...answer }).toEqual({ timestamp, lower, upper });
      }
    }
  });
});

describe("extended queues", () => {
  it("cq-ext: every address leads to Apache's unit", () => {
    const store = new StoreOfQueues("cq-ext");
    const into = emptyExtUnit();
    let units = 0;
    for (const line of store.of<QueueLine>("queue")) {
      const directory = queueDirectory(`${store.directory}/consumequeue_ext`, line.topic, line.queueId);
      const ext = new ConsumeQueueExt(store.cache, directory, store.size("mappedFileSizeConsumeQueueExt"));
      const reader = store.reader(line);
      const batch = new UnitBatch(1);
      for (const message of store.messagesOf(line)) {
        reader.read(message.queueOffset, 1, line.maxOffset, batch);
        expect(isExtAddress(batch.tagsCodeHigh[0]!, batch.tagsCodeLow[0]!)).toBe(true);
        expect(ext.get(batch.tagsCodeHigh[0]!, batch.tagsCodeLow[0]!, into)).toBe(true);
        const found = {
          size: into.sizeBytes,
          tagsCode: int64(into.tagsCodeHigh, into.tagsCodeLow),
          msgStoreTime: into.storeTimestamp,
          bitMap: into.bitmap?.toString("hex") ?? null,
        };
        expect(found).toEqual(message.ext);
        expect(found.tagsCode).toBe(message.tagsCode);
        units++;
      }
    }
    expect(units).toBe(120);
  });
});
