import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { IndexDirectory } from "#src/index/index-directory.js";
import type { IndexSizes } from "#src/index/index-file.js";
import type { IndexKind } from "#src/index/index-key.js";
import { IndexQuery } from "#src/index/index-query.js";
import { inspectIndexFile } from "#src/index/index-repair.js";
import { IndexWriter } from "#src/index/index-writer.js";
import { FileDisk } from "#src/io/file-disk.js";
import { RecordVerdict, RecordView } from "#src/record/record-view.js";
import { StoreCheckpoint } from "#src/recovery/checkpoint.js";
import { type ExpectedLine, expectedLines, extractStore, type GoldenStore, storeNames } from "./golden-store.js";

interface IndexFileLine extends ExpectedLine {
  readonly type: "indexFile";
  readonly size: number;
  readonly beginTimestamp: number;
  readonly endTimestamp: number;
  readonly beginPhyOffset: number;
  readonly endPhyOffset: number;
  readonly hashSlotCount: number;
  readonly indexCount: number;
}

interface IndexLine extends ExpectedLine {
  readonly type: "index";
  readonly topic: string;
  readonly key: string;
  readonly kind: IndexKind;
  readonly begin: string;
  readonly end: string;
  readonly offsets: number[];
}

interface StoreLine extends ExpectedLine {
  readonly type: "store";
  readonly maxPhyOffset: number;
}

interface LogLine extends ExpectedLine {
  readonly type: "log";
  readonly offset: number;
}

interface CheckpointLine extends ExpectedLine {
  readonly type: "checkpoint";
  readonly stage: string;
  readonly missing?: boolean;
}

const disk = new FileDisk("file");
const scratch = mkdtempSync(join(tmpdir(), "cometmq-index-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function sizesOf(store: GoldenStore): IndexSizes {
  return {
    maxHashSlotNum: Number(store.conf.get("maxHashSlotNum")),
    maxIndexNum: Number(store.conf.get("maxIndexNum")),
  };
}

function indexDirectory(store: GoldenStore): string {
  return join(store.dir, "store", "index");
}

function maxPhyOffset(name: string): number {
  return expectedLines<StoreLine>(name, "store")[0]!.maxPhyOffset;
}

/** Shows every record of the log from `fromPhyOffset` on to the writer, as the dispatch does. */
function replay(name: string, store: GoldenStore, writer: IndexWriter, fromPhyOffset: number): number {
  const segmentBytes = Number(store.conf.get("mappedFileSizeCommitLog"));
  const record = new RecordView();
  let bytes = Buffer.alloc(0);
  let loadedBase = -1;
  let keyCount = 0;
  for (const { offset } of expectedLines<LogLine>(name, "log")) {
    if (offset < fromPhyOffset) continue;
    const base = offset - (offset % segmentBytes);
    if (base !== loadedBase) {
      bytes = readFileSync(join(store.dir, "store", "commitlog", String(base).padStart(20, "0")));
      loadedBase = base;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    expect(record.read(view, offset - base, bytes.length)).toBe(RecordVerdict.RECORD);
    keyCount += writer.putRecord(
      bytes,
      record.topicStart,
      record.topicStart + record.topicLength,
      record.propertiesStart,
      record.propertiesStart + record.propertiesLength,
      record.phyOffset,
      record.storeTimestamp,
      record.sysFlag,
    );
  }
  return keyCount;
}

function headers(path: string, sizes: IndexSizes): Omit<IndexFileLine, "n">[] {
  return IndexDirectory.load(disk, path, sizes).files.map(({ header, path: filePath }) => ({
    type: "indexFile",
    size: disk.sizeOf(filePath),
    beginTimestamp: header.beginTimestamp,
    endTimestamp: header.endTimestamp,
    beginPhyOffset: header.beginPhyOffset,
    endPhyOffset: header.endPhyOffset,
    hashSlotCount: header.hashSlotCount,
    indexCount: header.indexCount,
  }));
}

function expectedHeaders(name: string): object[] {
  return expectedLines<IndexFileLine & { n?: number }>(name, "indexFile").map(({ n: _, ...line }) => line);
}

/** Every look-up of the expected lines, answered from `path`. */
function answers(name: string, path: string, sizes: IndexSizes, logEnd?: number): IndexLine[] {
  const query = new IndexQuery(disk, path, sizes);
  const lines = expectedLines<IndexLine>(name, "index").map((line) => {
    const found = query.query({ ...line, countMax: 64, beginMs: Number(line.begin), endMs: Number(line.end) }, logEnd);
    expect(found.problems).toEqual([]);
    expect(found.isCutShort).toBe(false);
    return { ...line, offsets: found.phyOffsets };
  });
  query.close();
  return lines;
}

/** What recovery does about the index in these stores: nothing at all in the others. */
const REPLAYED = new Map<string, number>([
  ["abort-no-checkpoint", 0],
  ["abort-only", 0],
  ["crashed", 98304],
  ["cq-behind", 0],
  ["cq-lost", 0],
  ["cq-lost-deep", 16384],
]);
const CRASHED = ["abort-no-checkpoint", "abort-only", "crashed"];

describe("Apache's answers come out of Apache's files", () => {
  for (const name of storeNames()) {
    test(name, async () => {
      const store = extractStore(name);
      const sizes = sizesOf(store);
      const path = indexDirectory(store);
      const directory = IndexDirectory.load(disk, path, sizes);
      expect(directory.problems).toEqual([]);
      const from = REPLAYED.get(name);
      if (from !== undefined) {
        const checkpoint = StoreCheckpoint.load(disk, join(store.dir, "store", "checkpoint"), Date.now());
        if (CRASHED.includes(name)) expect(directory.discardAfter(checkpoint.indexMsgTimestamp)).toBeGreaterThan(0);
        const writer = new IndexWriter(directory, systemClock);
        expect(replay(name, store, writer, from)).toBeGreaterThan(0);
        await writer.close();
      }
      expect(headers(path, sizes)).toEqual(expectedHeaders(name));
      const expected = expectedLines<IndexLine>(name, "index");
      expect(expected.length).toBeGreaterThan(0);
      expect(answers(name, path, sizes)).toEqual(expected);
    });
  }
});

describe("the same log gives the same files, byte for byte", () => {
  for (const name of ["clean", "multi-segment", "corrupt-old", "prop-crc", "cq-ext", "broker", "broker-lmq"]) {
    test(name, async () => {
      const store = extractStore(name);
      const sizes = sizesOf(store);
      const path = join(scratch, name);
      const writer = new IndexWriter(IndexDirectory.load(disk, path, sizes), systemClock);
      const keyCount = replay(name, store, writer, 0);
      await writer.close();
      expect(answers(name, path, sizes)).toEqual(expectedLines<IndexLine>(name, "index"));
      const files = readdirSync(path).sort();
      const golden = readdirSync(indexDirectory(store)).sort();
      expect(files.length).toBe(golden.length);
      expect(keyCount).toBeGreaterThan((golden.length - 1) * (sizes.maxIndexNum - 1));
      for (const [i, file] of files.entries()) {
        const written = readFileSync(join(path, file));
        expect(written.equals(readFileSync(join(indexDirectory(store), golden[i]!)))).toBe(true);
      }
    });
  }
});

/** Look-ups without a time window: elsewhere the maximum and the file's end time play a part. */
function wholeOnly(line: IndexLine): boolean {
  return line.begin === "0" && line.end === String(2n ** 63n - 1n);
}

describe("repair", () => {
  for (const name of storeNames()) {
    test(`finds nothing to mend in ${name}`, () => {
      const store = extractStore(name);
      const path = indexDirectory(store);
      const before = disk.list(path).map((file) => readFileSync(join(path, file), "latin1"));
      const directory = IndexDirectory.load(disk, path, sizesOf(store));
      for (const file of directory.files) expect(inspectIndexFile(file)).toBe("");
      expect(directory.repairAfter(0)).toBe(0);
      expect(directory.truncateAfter(Number.MAX_SAFE_INTEGER)).toEqual({ removedFiles: 0, removedEntries: 0 });
      expect(disk.list(path).map((file) => readFileSync(join(path, file), "latin1"))).toEqual(before);
    });
  }

  // Apache leaves both indexes past the end of the log, and its answers with what is not there any more.
  for (const name of ["corrupt-middle", "corrupt-tail"]) {
    test(`cuts ${name} to what the log still has, and the log's next records are indexed`, async () => {
      const store = extractStore(name);
      const sizes = sizesOf(store);
      const path = indexDirectory(store);
      const logEnd = maxPhyOffset(name);
      const directory = IndexDirectory.load(disk, path, sizes);
      const expected = expectedLines<IndexLine>(name, "index").map((line) => {
        return { ...line, offsets: line.offsets.filter((offset) => offset < logEnd) };
      });
      expect(directory.last!.header.endPhyOffset).toBeGreaterThanOrEqual(logEnd);
      expect(answers(name, path, sizes, logEnd).filter(wholeOnly)).toEqual(expected.filter(wholeOnly));

      expect(directory.truncateAfter(logEnd).removedEntries).toBeGreaterThan(0);
      for (const file of directory.files) expect(inspectIndexFile(file)).toBe("");
      expect(directory.last!.header.endPhyOffset).toBeLessThan(logEnd);
      expect(answers(name, path, sizes).filter(wholeOnly)).toEqual(expected.filter(wholeOnly));

      const writer = new IndexWriter(directory, systemClock);
      const record = Buffer.from("NewTopicKEYS\x01new key\x02");
      expect(writer.putRecord(record, 0, 8, 8, record.length, logEnd, 1762500000000, 0)).toBe(2);
      await writer.close();
      const query = new IndexQuery(disk, path, sizes);
      expect(query.query({ topic: "NewTopic", key: "key", kind: "K", countMax: 64 }).phyOffsets).toEqual([logEnd]);
      query.close();
    });
  }

  test("keeps of a crashed store what Apache throws away", () => {
    const store = extractStore("crashed");
    const sizes = sizesOf(store);
    const path = indexDirectory(store);
    const directory = IndexDirectory.load(disk, path, sizes);
    expect(directory.repairAfter(0)).toBe(0);
    expect(directory.files.length).toBe(2);
    const apache = expectedLines<IndexLine>("crashed", "index").filter(wholeOnly);
    const ours = answers("crashed", path, sizes).filter(wholeOnly);
    const lostByApache = ours.flatMap((line, i) =>
      line.offsets.filter((offset) => !apache[i]!.offsets.includes(offset)),
    );
    expect(lostByApache.length).toBeGreaterThan(0);
    expect(lostByApache.every((offset) => offset >= 76570 && offset < 98304)).toBe(true);
  });
});

describe("checkpoint", () => {
  for (const name of storeNames()) {
    test(name, () => {
      const store = extractStore(name);
      const path = join(store.dir, "store", "checkpoint");
      const line = expectedLines<CheckpointLine>(name, "checkpoint").find(({ stage }) => stage === "file")!;
      const checkpoint = StoreCheckpoint.load(disk, path, Date.now());
      if (line.missing === true) {
        expect(checkpoint.verdict).toBe("missing");
        return;
      }
      const { physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset } =
        checkpoint;
      expect(checkpoint.verdict).toBe("ok");
      expect({
        type: "checkpoint",
        stage: "file",
        physicMsgTimestamp,
        logicsMsgTimestamp,
        indexMsgTimestamp,
        masterFlushedOffset,
        confirmPhyOffset,
      }).toEqual(line);
      const before = readFileSync(path);
      checkpoint.saveNow();
      checkpoint.close();
      expect(readFileSync(path).equals(before)).toBe(true);
    });
  }
});
