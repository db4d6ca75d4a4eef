import { describe, expect, test } from "vitest";
import { int64Text } from "#src/base/int64.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { readBatchTopics } from "#src/store/batch-topics.js";
import { fileLines } from "#src/store/dump/file-lines.js";
import { canonicalJson } from "#src/store/dump/line.js";
import { dumpSettings } from "#src/store/dump/settings.js";
import { StoreDump } from "#src/store/dump/store-dump.js";
import { MessageStore } from "#src/store/message-store.js";
import { StorePaths } from "#src/store/store-directory.js";

describe("a line", () => {
  test("has its members in the order they were put in, without those that are undefined", () => {
    expect(canonicalJson({ b: 1, a: undefined, c: [true, null, -2], d: { x: "y" }, e: [] })).toBe(
      '{"b":1,"c":[true,null,-2],"d":{"x":"y"},"e":[]}',
    );
  });

  test("keeps names that look like numbers where a map has them", () => {
    const properties = new Map([
      ["10", "a"],
      ["2", "b"],
      ["\u0001", '"\\'],
    ]);
    expect(canonicalJson({ properties })).toBe('{"properties":{"10":"a","2":"b","\\u0001":"\\"\\\\"}}');
  });

  test("escapes as little as Apache's JSON does", () => {
    expect(canonicalJson("/<é青\u2028\u007f\t\u000b")).toBe('"/<é青\u2028\u007f\\t\\u000b"');
  });
});

test("an int64 is written out whatever its size", () => {
  expect(int64Text(0, 0)).toBe("0");
  expect(int64Text(-1, -1)).toBe("-1");
  expect(int64Text(-1, 5)).toBe("-4294967291");
  expect(int64Text(-(2 ** 31), 0)).toBe("-9223372036854775808");
  expect(int64Text(2 ** 31 - 1, -1)).toBe("9223372036854775807");
  expect(int64Text(0x001fffff, -1)).toBe("9007199254740991");
});

test("files come by the bytes of their whole path, the lock and RocksDB's left out", () => {
  const disk = new MemoryDisk();
  const paths = ["a/x", "a-b", "a.c", "a/b/c", "lock", "rocksdbstore/CURRENT", "é", "z"];
  for (const path of paths) disk.writeAtomically(`/s/${path}`, path);
  const lines = [...fileLines(disk, "/s")];
  expect(lines.map(({ path }) => path)).toEqual(["a-b", "a.c", "a/b/c", "a/x", "z", "é"]);
  expect(lines[1]).toEqual({
    type: "file",
    path: "a.c",
    size: 3,
    sha256: "ad4573f052ff7302a57fd72c2fa41f65cadbe842043b962738f9038a38531e84",
  });
});

describe("settings", () => {
  const paths = new StorePaths("/s", undefined);
  const settingsOf = (conf: Record<string, string>, disk = new MemoryDisk()) =>
    dumpSettings(new Map(Object.entries(conf)), disk, paths);

  test("are Apache's defaults where nothing says otherwise", () => {
    expect(settingsOf({})).toMatchObject({
      segmentBytes: 1024 ** 3,
      queueFileBytes: undefined,
      batchQueueFileBytes: 13_800_000,
      extFileBytes: undefined,
      indexSizes: { maxHashSlotNum: 5_000_000, maxIndexNum: 20_000_000 },
      messageIndexEnable: true,
      commitLogRecoverMaxNum: 10,
      lmqEnabled: false,
    });
  });

  test("round queue files up to whole units, and need both switches for light message queues", () => {
    const settings = settingsOf({
      mappedFileSizeConsumeQueue: "401",
      mapperFileSizeBatchConsumeQueue: " 47 ",
      enableLmq: "TRUE",
      enableMultiDispatch: "true",
    });
    expect(settings).toMatchObject({ queueFileBytes: 420, batchQueueFileBytes: 92, lmqEnabled: true });
    expect(settingsOf({ enableLmq: "true" }).lmqEnabled).toBe(false);
  });

  test("take an index for known only if its sizes are, or there is none", () => {
    const disk = new MemoryDisk();
    disk.makeDirectory("/s/index");
    expect(settingsOf({}, disk).indexKnown).toBe(false);
    expect(settingsOf({ maxHashSlotNum: "7" }, disk).indexKnown).toBe(true);
    expect(settingsOf({}).indexKnown).toBe(true);
  });

  test.each([
    ["mappedFileSizeCommitLog", "0"],
    ["mappedFileSizeCommitLog", "2147483648"],
    ["maxIndexNum", "-3"],
    ["maxIndexNum", "many"],
    ["enableLmq", "yes"],
  ])("refuse %s=%s by name", (name, value) => {
    expect(() => settingsOf({ [name]: value })).toThrow(`${name}=${value}`);
  });
});

describe("topics with batch queues", () => {
  const topicsIn = (text: string) => {
    const disk = new MemoryDisk();
    disk.writeAtomically("/topics.json", text);
    return [...readBatchTopics(disk, "/topics.json")];
  };

  test("are those that their attributes call so", () => {
    const table = {
      A: { attributes: { "queue.type": "BatchCQ" } },
      B: { attributes: { "queue.type": "SimpleCQ" } },
      C: { attributes: {} },
      D: {},
      __proto__x: { attributes: { "queue.type": "BatchCQ" } },
    };
    expect(topicsIn(JSON.stringify({ topicConfigTable: table }))).toEqual(["A", "__proto__x"]);
  });

  test("are none where the file is something else, or not there", () => {
    for (const text of ["", "null", "[1]", "{", '{"topicConfigTable":[]}', '{"topicConfigTable":{"A":null}}'])
      expect(topicsIn(text)).toEqual([]);
    expect([...readBatchTopics(new MemoryDisk(), "/topics.json")]).toEqual([]);
  });
});

test("a dump of CometMQ's own store, made on a disk that is let alone", async () => {
  const disk = new MemoryDisk();
  const options = { directory: "/s", disk, segmentBytes: 8192, queueFileBytes: 400 };
  const store = await MessageStore.open({ ...options, indexSizes: { maxHashSlotNum: 11, maxIndexNum: 100 } });
  await store.close();
  const before = [...fileLines(disk, "/s")];
  const conf = new Map([
    ["mappedFileSizeCommitLog", "8192"],
    ["maxHashSlotNum", "11"],
    ["maxIndexNum", "100"],
  ]);
  const dump = await StoreDump.open({ disk, directory: "/s", conf });
  const lines = [...dump.lines()];
  await dump.close();
  expect(lines.filter(({ type }) => type === "store")).toEqual([
    { type: "store", lastExit: "normal", minPhyOffset: 0, maxPhyOffset: 0, mappedFileSizeCommitLog: 8192 },
  ]);
  expect([...fileLines(disk, "/s")]).toEqual(before);
});
