/** Retention on real files with the dispatch thread: what is handed out stays, what is not is given back. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, test } from "vitest";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend } from "#src/io/file-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { MessageStore } from "#src/store/message-store.js";
import type { StoreOptions } from "#src/store/options.js";
import { GetStatus } from "#src/store/types.js";
import { fill, pull, put, readAll, SEGMENT_BYTES, until } from "./harness.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-retention-"));
  directories.push(directory);
  return directory;
}

function open(directory: string, options: Partial<StoreOptions> = {}): Promise<MessageStore> {
  return MessageStore.open({
    directory,
    segmentBytes: SEGMENT_BYTES,
    queueFileBytes: 400,
    indexSizes: { maxHashSlotNum: 64, maxIndexNum: 101 },
    // What is closed has expired; but only who asks deletes it.
    retention: { fileReservedTime: 0, deleteWhen: "04", cleanResourceInterval: 3_600_000 },
    ...options,
  });
}

const BACKENDS: Backend[] = ["mmap-io", "koffi", "file"];
const usable = BACKENDS.filter((backend) => {
  try {
    return chooseBackend(backend) === backend;
  } catch {
    process.stderr.write(`retention: the backend ${backend} does not load here and is not tested\n`);
    return false;
  }
});

/** Deleted files of `directory` that this process still holds by a map or a handle. */
function heldDeleted(directory: string): string[] {
  if (process.platform !== "linux") return [];
  const maps = readFileSync("/proc/self/maps", "utf8").split("\n");
  const handles = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return [...maps, ...handles].filter((line) => line.includes(directory) && line.endsWith("(deleted)"));
}

test.each(usable)(
  "%s: a Buffer handed out reads the same after its segment is gone, and then lets go of it",
  async (backend) => {
    const directory = freshDirectory();
    await using store = await open(directory, { backend });
    fill(store, 4);
    await store.settled();
    let records: Buffer[] | undefined = pull(store, "T", 0, 0).records;
    expect(records.length).toBe(32);
    const copies = records.map((record) => Buffer.from(record));
    expect(await store.deleteExpired()).toBe(3);
    expect(existsSync(join(directory, "commitlog", "0".repeat(20)))).toBe(false);
    for (let round = 0; round < 5; round++) {
      const garbage = Array.from({ length: 50 }, () => Buffer.allocUnsafeSlow(1 << 20).fill(round));
      expect(garbage.length).toBe(50);
      collect();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(records.every((record, i) => record.equals(copies[i]!))).toBe(true);
    expect(decodeRecord(records[31]!).body.toString("utf8", 0, 4)).toBe("m31|");
    records = undefined;
    await until(() => {
      collect();
      return heldDeleted(directory).length === 0;
    }, "maps and handles of deleted files");
  },
);

test("the dispatch thread lets queues, open or not, and the index follow", async () => {
  const directory = freshDirectory();
  const before = await open(directory);
  for (let queueId = 0; queueId < 450; queueId++) put(before, "many", queueId, `q${queueId}`);
  const puts = fill(before, 12);
  await before.close();

  await using store = await open(directory);
  const more = put(store, "T", 0, "more");
  for (let queueId = 0; queueId < 450; queueId += 50) expect(pull(store, "many", queueId, 0).status).toBe(0);
  expect(readAll(store, "T", 0, 0).length).toBeGreaterThanOrEqual(puts.length);
  expect(await store.deleteExpired()).toBe(11);
  expect(store.minPhyOffset).toBe(11 * SEGMENT_BYTES);
  for (let queueId = 0; queueId < 450; queueId++) expect(store.minOffset(store.queue("many", queueId))).toBe(1);
  const first = puts.findIndex(({ phyOffset }) => phyOffset >= store.minPhyOffset);
  expect(store.minOffset(store.queue("T", 0))).toBe(first);
  expect(pull(store, "T", 0, first - 1).status).toBe(GetStatus.OFFSET_TOO_SMALL);
  await store.settled();
  expect(readAll(store, "T", 0, first).at(-1)).toEqual([more.queueOffset, "more"]);
  expect(readdirSync(join(directory, "consumequeue/T/0"))[0]).toBe(
    String(Math.floor(first / 20) * 400).padStart(20, "0"),
  );
  expect(readdirSync(join(directory, "consumequeue/many/449")).length).toBe(1);
  expect(readdirSync(join(directory, "index")).length).toBe(1);
  const byKey = (key: string) => store.lookUp.queryByKey({ topic: "T", key, kind: "K", countMax: 9 }).records.length;
  await until(() => byKey("more") === 1, "the index");
  expect(byKey("m0")).toBe(0);
  await until(() => {
    collect();
    return heldDeleted(directory).length === 0;
  }, "maps and handles of deleted files");
});

test("deleting, appending and reading go on together; the next start finds the same", async () => {
  const directory = freshDirectory();
  const store = await open(directory, { dispatchSyncIntervalMs: 50 });
  let next = 0;
  let deleted = 0;
  for (let round = 0; round < 12; round++) {
    const deleting = store.deleteExpired();
    for (let i = 0; i < 150; i++)
      expect(put(store, "T", i % 3, `n${next++}`).queueOffset).toBe(Math.floor((next - 1) / 3));
    deleted += await deleting;
    await store.settled();
    for (const queueId of [0, 1, 2]) {
      const min = store.minOffset(store.queue("T", queueId));
      const wanted = Array.from({ length: next / 3 - min }, (_, i) => [min + i, `n${(min + i) * 3 + queueId}`]);
      expect(readAll(store, "T", queueId, min)).toEqual(wanted);
    }
  }
  expect(deleted).toBeGreaterThan(15);
  const mins = [0, 1, 2].map((queueId) => store.minOffset(store.queue("T", queueId)));
  await store.close();
  await using again = await open(directory);
  expect([0, 1, 2].map((queueId) => again.minOffset(again.queue("T", queueId)))).toEqual(mins);
  expect(again.maxOffset(again.queue("T", 2))).toBe(next / 3);
});
