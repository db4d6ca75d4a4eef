/** The doctor, queues and index: every entry is held against the record it stands for. */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { encodeProperties } from "#src/record/properties.js";
import { encodeRecord } from "#src/record/encode.js";
import { examine, int32, int64, newDirectory, overwrite, SEGMENT_BYTES, SmallStore } from "./doctor-fixture.js";

const COUNT = 60;
let store: SmallStore;

beforeEach(async () => {
  store = await SmallStore.make(COUNT);
});

/** Entry 3 of a queue that has thirteen. */
const ENTRY = { topic: "Payments", queueId: 0, queueOffset: 3 } as const;
const stored = (queueOffset: number) =>
  store.messages.find((m) => m.topic === ENTRY.topic && m.queueId === ENTRY.queueId && m.queueOffset === queueOffset)!;
const damageEntry = (queueOffset: number, at: number, bytes: Uint8Array) =>
  store.damageEntry(ENTRY.topic, ENTRY.queueId, queueOffset, at, bytes);

describe("queue entries", () => {
  test.each([
    ["another log offset", 0, int64(0), "queue.wrong-entries"],
    ["another size", 8, int32(99), "queue.wrong-entries"],
    ["another tags code", 12, int64(123), "queue.tags"],
    ["a tags code whose upper half differs", 12, int32(1), "queue.tags"],
    ["an address into an extended queue that is not there", 12, int64(-(2 ** 62) * 2 + 2048), "queue.ext"],
    ["nothing", 0, new Uint8Array(20), "queue.entries-missing"],
  ])("%s", (_, at, bytes, code) => {
    damageEntry(ENTRY.queueOffset, at, bytes);
    const { findings, codes, report } = store.examine();
    expect(codes).toEqual([code]);
    expect(findings[0]).toMatchObject({
      path: "consumequeue/Payments/0/00000000000000000000",
      position: 60,
      lengthBytes: 20,
      phyOffset: stored(3).phyOffset,
      topic: "Payments",
      queueId: 0,
    });
    expect(report.queueEntryCount).toBe(COUNT - 1);
  });

  test("a stretch of them is one finding, two stretches are two", () => {
    for (const offset of [2, 3, 4, 9]) damageEntry(offset, 0, new Uint8Array(20));
    const { findings } = store.examine();
    expect(findings.map(({ what }) => what)).toEqual([
      `no entries 2 to 4: the messages from ${stored(2).phyOffset} to ${stored(4).phyOffset} cannot be consumed`,
      `no entry 9: the message at ${stored(9).phyOffset} cannot be consumed`,
    ]);
  });

  test("a queue whose entries are all one place off", () => {
    const path = store.queuePath("Payments", 0, 0);
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.concat([bytes.subarray(20), bytes.subarray(0, 20)]));
    const { codes } = store.examine();
    expect(codes[0]).toBe("queue.wrong-entries");
    expect(codes.length).toBeLessThan(4);
  });

  test("entries beyond the log", () => {
    const { queueOffset } = store.lastOf("Orders", 0);
    const beyond = Buffer.concat([int64(10 * SEGMENT_BYTES), int32(100), int64(0)]);
    store.damageEntry("Orders", 0, queueOffset + 1, 0, beyond);
    store.damageEntry("Orders", 0, queueOffset + 2, 0, beyond);
    const { findings, codes } = store.examine();
    expect(codes).toEqual(["queue.beyond-log"]);
    expect(findings[0]!.what).toContain(`entries ${queueOffset + 1} to ${queueOffset + 2}`);
  });

  test("an entry more, for a message of another queue", () => {
    const { queueOffset } = store.lastOf("Orders", 0);
    const { phyOffset, sizeBytes } = store.lastOf("Orders", 1);
    store.damageEntry("Orders", 0, queueOffset + 1, 0, Buffer.concat([int64(phyOffset), int32(sizeBytes)]));
    expect(store.examine().codes).toEqual(["queue.no-record"]);
  });

  test("something behind a queue's end", () => {
    const { queueOffset } = store.lastOf("Orders", 0);
    store.damageEntry("Orders", 0, queueOffset + 3, 10, Uint8Array.of(1));
    const { findings, codes } = store.examine();
    expect(codes).toEqual(["queue.stray"]);
    expect(findings[0]!.position).toBe((queueOffset + 3) * 20);
  });

  test("a queue that is not there", () => {
    rmSync(join(store.directory, "consumequeue", "Orders", "0"), { recursive: true });
    const { findings, codes } = store.examine();
    expect(codes).toEqual(["queue.missing"]);
    expect(findings[0]).toMatchObject({ path: "consumequeue/Orders/0", topic: "Orders", queueId: 0 });
    expect(findings[0]!.what).toContain("10 of its messages: entries 0 to 9");
  });

  test("a message whose offset another one has", () => {
    const [first, second] = store.messages.filter(({ topic, queueId }) => topic === "Orders" && queueId === 0);
    overwrite(
      store.segmentPath(second!.phyOffset),
      (second!.phyOffset % SEGMENT_BYTES) + 20,
      int64(first!.queueOffset),
    );
    const { codes } = store.examine();
    expect(codes).toEqual(["queue.taken-offsets", "queue.no-record"]);
  });
});

describe("a deleted topic", () => {
  beforeEach(async () => {
    const open = await store.open();
    await open.deleteTopics(["Orders"]);
    await open.close();
  });

  test("has no entries, and lacks none", () => {
    const { codes, notes, report } = store.examine();
    expect({ codes, notes }).toEqual({ codes: [], notes: [] });
    expect(report.recordCount).toBe(COUNT);
    expect(report.queueEntryCount).toBe(store.messages.filter(({ topic }) => topic === "Payments").length);
  });

  test("begins anew, and a repair brings nothing back", async () => {
    await store.grow(6);
    expect(store.examine().codes).toEqual([]);
    rmSync(store.paths.consumeQueue, { recursive: true });
    await store.repair();
    expect(store.examine().codes).toEqual([]);
    const served = await store.served();
    const orders = store.messages.slice(COUNT).filter(({ topic }) => topic === "Orders");
    expect(orders.length).toBe(2);
    expect(served.filter((text) => text.startsWith("Orders"))).toEqual(
      orders.map(({ queueId, queueOffset, body }) => `Orders/${queueId}/${queueOffset} ${body}`).sort(),
    );
  });

  test("the file that says so, cut short", () => {
    const facts = store.facts;
    truncateSync(store.paths.deletedTopics, 10);
    expect(examine(facts).codes).toEqual(["deleted-topics"]);
  });
});

test("a topic that is no text can be no queue's", () => {
  const { phyOffset } = stored(3);
  const topicAt = readFileSync(store.segmentPath(phyOffset)).indexOf("Payments", phyOffset % SEGMENT_BYTES);
  overwrite(store.segmentPath(phyOffset), topicAt, Uint8Array.of(0xff, 0xfe));
  expect(store.examine().codes.filter((code) => code.startsWith("queue."))).toEqual(["queue.name", "queue.no-record"]);
});

test("a blank among a queue's entries is what recovery leaves of a lost message", async () => {
  store.damage(stored(3).phyOffset + 90, Uint8Array.of(0));
  await (await store.open()).close();
  const { codes, notes } = store.examine();
  expect(codes).toEqual(["log.crc"]);
  expect(notes).toEqual(["queue.lost-message"]);
  await store.repair();
  expect(store.examine().codes).toEqual([]);
});

describe("queue files", () => {
  test("of another length, with a hole between them, and strange ones", async () => {
    const many = await SmallStore.make(120);
    truncateSync(many.queuePath("Orders", 0, 0), 380);
    renameSync(many.queuePath("Payments", 0, 20), `${many.directory}/consumequeue/Payments/0/00000000000000001200`);
    writeFileSync(`${many.directory}/consumequeue/Payments/1/notes`, "");
    writeFileSync(`${many.directory}/consumequeue/notes`, "");
    mkdirSync(`${many.directory}/consumequeue/Orders/x`);
    const { codes, findings } = many.examine();
    expect(codes.toSorted()).toEqual(["queue.foreign", "queue.foreign", "queue.foreign", "queue.hole", "queue.size"]);
    expect(findings.find(({ code }) => code === "queue.size")!.what).toBe("380 bytes, expected 400");
  });

  test("entries of before the log are what retention leaves", () => {
    rmSync(store.segmentPath(0));
    const { codes, notes, report } = store.examine();
    expect(codes).toEqual([]);
    expect(notes).toEqual([]);
    expect(report.queueEntryCount).toBe(report.recordCount);
  });
});

test("queues that a property names are held against it, unless the store does without them", () => {
  const directory = newDirectory();
  const facts = {
    ...store.facts,
    places: { ...store.facts.places, root: directory, commitLog: `${directory}/commitlog` },
  };
  mkdirSync(`${directory}/commitlog`);
  const properties = encodeProperties([
    ["INNER_MULTI_DISPATCH", "%LMQ%a,%LMQ%b"],
    ["INNER_MULTI_QUEUE_OFFSET", "0,4"],
  ]);
  const segment = Buffer.alloc(SEGMENT_BYTES);
  encodeRecord({ topic: "Parent", storeTimestamp: 1, properties }).copy(segment);
  writeFileSync(`${directory}/commitlog/00000000000000000000`, segment);
  const places = { ...facts.places, consumeQueue: `${directory}/consumequeue`, index: `${directory}/index` };
  const missing = (multiDispatch: boolean) =>
    store
      .examine({ ...facts, places, multiDispatch })
      .findings.filter(({ code }) => code === "queue.missing")
      .map(({ path }) => path);
  expect(missing(true)).toEqual(["consumequeue/Parent/0", "consumequeue/%LMQ%a/0", "consumequeue/%LMQ%b/0"]);
  expect(missing(false)).toEqual(["consumequeue/Parent/0"]);
});

describe("the index", () => {
  const files = () => readdirSync(join(store.directory, "index")).map((name) => join(store.directory, "index", name));
  /** Byte of an entry's field in a file. */
  const entryAt = (number: number, field: number) => 40 + 17 * 4 + 20 * number + field;

  test("no index file at all", () => {
    rmSync(join(store.directory, "index"), { recursive: true });
    const { codes, findings } = store.examine();
    expect(codes).toEqual(["index.missing"]);
    expect(findings[0]!.what).toContain(`${COUNT} messages with keys`);
    expect(store.examine({ indexEnabled: false }).codes).toEqual([]);
  });

  test("a file lost in the middle", () => {
    rmSync(files()[1]!);
    const { codes, report } = store.examine();
    expect(codes).toEqual(["index.missing"]);
    expect(report.indexEntryCount).toBeLessThan(2 * COUNT);
  });

  test.each([
    ["the hash of another key", 0, int32(4712), ["index.key", "index.missing", "index.structure"]],
    ["another log offset", 4, int64(3), ["index.no-record", "index.missing", "index.structure"]],
    ["a chain that leads elsewhere", 16, int32(3), ["index.structure"]],
    ["a chain that leads to itself", 16, int32(19), ["index.structure"]],
  ])("%s", (_, field, bytes, wanted) => {
    // Odd entries are for a key, even ones for a tag.
    overwrite(files()[0]!, entryAt(19, field), bytes);
    expect(store.examine().codes.toSorted()).toEqual(wanted.toSorted());
  });

  test("a slot, and a header", () => {
    overwrite(files()[0]!, 40 + 4 * 3, int32(1));
    overwrite(files()[1]!, 32, int32(-7));
    const { codes } = store.examine();
    expect(codes.filter((code) => code === "index.structure")).toHaveLength(2);
    expect(codes.filter((code) => code === "index.header")).toHaveLength(1);
  });

  test("files of other sizes than were said are not judged, but told", () => {
    const { codes, report } = store.examine({ indexSizes: { maxHashSlotNum: 18, maxIndexNum: 60 } });
    expect(new Set(codes)).toEqual(new Set(["index.size"]));
    expect(report.queueEntryCount).toBe(COUNT);
  });

  test("strange and empty files", () => {
    copyFileSync(files()[0]!, join(store.directory, "index", "notes"));
    writeFileSync(join(store.directory, "index", "29991231235959999"), "");
    const { codes, notes } = store.examine();
    expect(codes).toEqual(["index.empty"]);
    expect(notes).toEqual(["index.foreign"]);
  });
});

describe("beside the log", () => {
  test.each([
    ["abort", "abort", "4711", "abort"],
    ["a short checkpoint", "checkpoint", "xxx", "checkpoint"],
    ["a checkpoint of noise", "checkpoint", Buffer.alloc(4096, 0xee), "checkpoint"],
    [
      "a checkpoint of later",
      "checkpoint",
      Buffer.concat([int64(1_750_000_000_000), Buffer.alloc(4088)]),
      "checkpoint.ahead",
    ],
    [
      "an offset confirmed beyond the end",
      "checkpoint",
      Buffer.concat([Buffer.alloc(32), int64(1 << 30), Buffer.alloc(8)]),
      "checkpoint.ahead",
    ],
    ["a dispatch.checkpoint that is none", "dispatch.checkpoint", "{}", "dispatch-checkpoint"],
    ["a config file cut short", "config/topics.json", '{"dataVersion":{', "config"],
    ["an empty config file", "config/topics.json", "", "config"],
  ])("%s", (_, name, content, code) => {
    mkdirSync(join(store.directory, "config"), { recursive: true });
    writeFileSync(join(store.directory, name), content);
    const { findings } = store.examine();
    expect(findings).toMatchObject([{ code, path: name, position: 0 }]);
    expect(findings[0]!.remedy).not.toBe("");
  });

  test("no checkpoint; Apache's JSON with bare keys; parts that are not examined, and strangers", () => {
    rmSync(store.paths.checkpoint);
    mkdirSync(join(store.directory, "config"));
    mkdirSync(join(store.directory, "timerlog"));
    writeFileSync(join(store.directory, "config", "delayOffset.json"), '{"offsetTable":{1:5,2:1}}');
    writeFileSync(join(store.directory, "config", "delayOffset.json.bak"), "{");
    writeFileSync(join(store.directory, "shopping.list"), "milk");
    const { codes, notes } = store.examine();
    expect(codes).toEqual(["checkpoint"]);
    expect(notes).toEqual(["config.bak", "file.foreign", "file.other"]);
  });

  test("segments lost at the end show in both checkpoints", () => {
    const { segmentCount } = store.examine().report;
    rmSync(store.segmentPath((segmentCount - 1) * SEGMENT_BYTES));
    const { codes } = store.examine();
    expect(codes.filter((code) => code === "checkpoint.ahead")).toHaveLength(2);
    expect(codes).toContain("queue.beyond-log");
    expect(codes).toContain("index.beyond-log");
  });
});
