/** What a store does when the disk, or its own other thread, lets it down: it says so, takes no more, and lies to nobody. */
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { afterEach, expect, test, vi } from "vitest";
import { CometError } from "#src/base/errors.js";
import type { Segment } from "#src/io/disk.js";
import { FileDisk } from "#src/io/file-disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { appendMessage } from "#src/store/append-message.js";
import type { MessageStore } from "#src/store/message-store.js";
import { encodeProperties } from "#src/record/properties.js";
import { emptyGetResult, PutStatus } from "#src/store/types.js";
import { imageOf } from "../../property/store-fixture.js";
import { FakeLog } from "../broker/harness.js";
import { FailingDisk } from "../index/failing-disk.js";
import { until } from "../remoting/peers.js";
import { bodiesIn, messageOf, newDirectory, newPutResult, openStore, put, writtenStore } from "./fixture.js";
import { turns } from "./harness.js";

const BROKEN = new CometError("COMETMQ_IO", "The disk is broken.");

/** Lets segments fail as it is told. */
class FaultyDisk extends MemoryDisk {
  syncFails = false;
  writeFails = false;
  syncCount = 0;

  override openSegment(path: string, baseOffset: number, sizeBytes: number): Segment {
    const segment = super.openSegment(path, baseOffset, sizeBytes);
    segment.sync = async () => {
      this.syncCount++;
      if (this.syncFails) throw BROKEN;
    };
    const write = segment.write.bind(segment);
    segment.write = (...piece) => {
      if (this.writeFails) throw BROKEN;
      write(...piece);
    };
    return segment;
  }
}

/** It has failed, said so once, and takes nothing any more, but is read as before. */
function expectReadOnly(store: MessageStore, log: FakeLog, readable: string[]): void {
  expect(store.failure).toMatchObject({ code: "COMETMQ_STORE_READ_ONLY" });
  expect(log.at("error", /the store is read-only from now on/)).toHaveLength(1);
  const before = store.maxPhyOffset;
  for (let i = 0; i < 3; i++) {
    expect(put(store, "T", 0, "refused")).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
    expect(store.putBatch([messageOf(store, "T", 0, "refused")], newPutResult())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  }
  expect(store.maxPhyOffset).toBe(before);
  expect(bodiesIn(store, "T", 0)).toEqual(readable);
}

test.each(["ASYNC_FLUSH", "SYNC_FLUSH"] as const)(
  "%s: a sync that fails is the end of writing",
  async (flushDiskType) => {
    const disk = new FaultyDisk();
    const log = new FakeLog();
    const store = await openStore({ directory: "/s", disk, log, flushDiskType, flushIntervalMs: 1 });
    const failures: CometError[] = [];
    store.onFailure((error) => failures.push(error));
    expect(put(store, "T", 0, "good")).toBe(PutStatus.PUT_OK);
    await store.whenFlushed(store.maxPhyOffset);
    disk.syncFails = true;
    const syncsBefore = disk.syncCount;
    expect(put(store, "T", 0, "not durable")).toBe(PutStatus.PUT_OK);
    const position = store.maxPhyOffset;
    await expect(store.whenFlushed(position)).rejects.toMatchObject({
      code: "COMETMQ_STORE_READ_ONLY",
      message: expect.stringContaining("The disk is broken."),
    });
    disk.syncFails = false;
    // What was visible before its sync stays so; what waits for its sync never is.
    expectReadOnly(store, log, flushDiskType === "ASYNC_FLUSH" ? ["good", "not durable"] : ["good"]);
    await expect(store.whenFlushed(position)).rejects.toMatchObject({ code: "COMETMQ_STORE_READ_ONLY" });
    expect(store.flushedPosition).toBeLessThan(position);
    expect(disk.syncCount).toBe(syncsBefore + 1);
    expect(failures).toEqual([store.failure]);
    const late: CometError[] = [];
    store.onFailure((error) => late.push(error));
    expect(late).toEqual([store.failure]);

    await store.close();
    expect(disk.sizeOf("/s/abort")).toBeGreaterThan(0);
    const again = await openStore({ directory: "/s", disk });
    expect(again.recovery.aborted).toBe(true);
    expect(bodiesIn(again, "T", 0)).toEqual(["good", "not durable"]);
    expect(put(again, "T", 0, "better")).toBe(PutStatus.PUT_OK);
  },
);

test("what cannot be written is told to nobody, and costs no queue offset", async () => {
  const disk = new FaultyDisk();
  const log = new FakeLog();
  const store = await openStore({ directory: "/s", disk, log });
  const result = newPutResult();
  put(store, "T", 0, "good", result);
  await store.settled();
  disk.writeFails = true;
  expect(put(store, "T", 0, "lost")).toBe(PutStatus.PUT_OK);
  expect(put(store, "T", 1, "lost too")).toBe(PutStatus.PUT_OK);
  expect(store.publish()).toBe(false);
  disk.writeFails = false;
  expect(store.publish()).toBe(false);
  expectReadOnly(store, log, ["good"]);
  expect(store.maxPhyOffset).toBe(result.phyOffset + result.sizeBytes);
  // Who is answered in a later turn was told of nothing that is lost: a store that is read-only goes on serving.
  await new Promise((resolve) => setImmediate(resolve));
  expect(store.publish()).toBe(true);
  await store.close();

  const again = await openStore({ directory: "/s", disk });
  expect(bodiesIn(again, "T", 0)[0]).toBe("good");
  expect(put(again, "T", 0, "next", result)).toBe(PutStatus.PUT_OK);
  await again.settled();
  expect(bodiesIn(again, "T", 0).at(-1)).toBe("next");
});

test("a log that finds no room for a write though its blocks are reserved is read-only until the next start, which has nothing of that turn", async () => {
  let writesLeft = Number.POSITIVE_INFINITY;
  const disk = new (class extends MemoryDisk {
    override openSegment(path: string, baseOffset: number, sizeBytes: number): Segment {
      const segment = super.openSegment(path, baseOffset, sizeBytes);
      const write = segment.write.bind(segment);
      segment.write = (...piece) => {
        if (writesLeft-- <= 0) throw new CometError("COMETMQ_DISK_FULL", "Full.");
        write(...piece);
      };
      return segment;
    }
  })();
  const log = new FakeLog();
  const store = await openStore({ directory: "/s", disk, log });
  put(store, "T", 0, "good");
  await store.settled();
  // All but the first page of the turn finds room.
  writesLeft = 1;
  for (let i = 0; i < 20; i++) expect(put(store, "T", i % 2, `lost ${i}`.padEnd(1000))).toBe(PutStatus.PUT_OK);
  expect(store.publish()).toBe(false);
  writesLeft = Number.POSITIVE_INFINITY;
  expect(store.failure).toMatchObject({ cause: { code: "COMETMQ_DISK_FULL" } });
  expectReadOnly(store, log, ["good"]);
  await store.close();
  const again = await openStore({ directory: "/s", disk });
  expect(again.recovery).toMatchObject({ damages: [], cutReason: "torn-write" });
  const result = newPutResult();
  expect(put(again, "T", 0, "next", result)).toBe(PutStatus.PUT_OK);
  await again.settled();
  expect([result.queueOffset, bodiesIn(again, "T", 0), bodiesIn(again, "T", 1)]).toEqual([1, ["good", "next"], []]);
});

test.each([
  ["the turn's end", "small"],
  ["a full window", "x".repeat(60_000)],
])("an append whose write fails at %s is refused, and so is every one of its turn", async (_, body) => {
  const disk = new FaultyDisk();
  const store = await openStore({ directory: "/s", disk });
  const queue = store.queue("T", 0);
  await appendMessage(store, queue, { body: "good" });
  disk.writeFails = true;
  const appended = await Promise.allSettled(Array.from({ length: 8 }, () => appendMessage(store, queue, { body })));
  for (const append of appended) {
    expect(append).toMatchObject({ status: "rejected", reason: { code: "COMETMQ_STORE_READ_ONLY" } });
  }
  expect(bodiesIn(store, "T", 0)).toEqual(["good"]);
});

test("a segment that cannot be made is no failure of the store: writing goes on when one can", async () => {
  let failing = true;
  const disk = new (class extends MemoryDisk {
    override createSegment(path: string, sizeBytes: number): void {
      if (failing && this.list("/s/commitlog").length > 0) throw BROKEN;
      super.createSegment(path, sizeBytes);
    }
  })();
  const store = await openStore({ directory: "/s", disk, segmentBytes: 64 * 1024 });
  const body = "x".repeat(30_000);
  expect([put(store, "T", 0, body), put(store, "T", 0, body)]).toEqual([PutStatus.PUT_OK, PutStatus.PUT_OK]);
  await store.settled();
  expect(put(store, "T", 0, body)).toBe(PutStatus.CREATE_MAPPED_FILE_FAILED);
  expect(store.failure).toBeUndefined();
  // The blank that ended the first segment is all there is behind the last message.
  await store.settled();
  expect(store.dispatchedPosition).toBe(store.maxPhyOffset);
  failing = false;
  expect(put(store, "T", 0, body)).toBe(PutStatus.PUT_OK);
  await store.settled();
  expect(bodiesIn(store, "T", 0)).toEqual([body, body, body]);
});

const workers: Worker[] = [];
const noteWorker = (worker: Worker) => workers.push(worker);

afterEach(() => {
  process.off("worker", noteWorker);
  workers.length = 0;
});

/** A store on files, and its dispatch thread. */
async function openThreaded(
  directory: string,
  log: FakeLog,
  disk = new FileDisk(),
): Promise<{ store: MessageStore; worker: Worker }> {
  process.on("worker", noteWorker);
  const store = await openStore({ directory, log, disk });
  // Node tells of a thread in a later turn.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("worker", noteWorker);
  expect(workers).toHaveLength(1);
  return { store, worker: workers[0]! };
}

test("a dispatch thread that dies is noticed, and nothing that was put is lost", async () => {
  const directory = newDirectory();
  const log = new FakeLog();
  const { store, worker } = await openThreaded(directory, log);
  const failed = vi.fn();
  store.onFailure(failed);
  for (let i = 0; i < 100; i++) put(store, "T", 0, `m${i}`);
  await store.settled();
  await worker.terminate();
  await until(() => store.failure !== undefined, "the failure");
  expect(store.failure!.message).toContain("The dispatch thread died.");
  expect(store.failure!.cause).toMatchObject({ code: "COMETMQ_THREAD" });
  expect(failed).toHaveBeenCalledTimes(1);
  const bodies = Array.from({ length: 100 }, (_, i) => `m${i}`);
  expectReadOnly(store, log, bodies);
  await store.close();
  expect(existsSync(join(directory, "abort"))).toBe(true);
  const again = await openStore({ directory });
  expect(bodiesIn(again, "T", 0)).toEqual(bodies);
});

test("a log that can not be synced when the store is closed leaves no thread behind", async () => {
  class UnsyncedDisk extends FileDisk {
    override openSegment(...file: Parameters<FileDisk["openSegment"]>): Segment {
      const segment = super.openSegment(...file);
      segment.sync = () => Promise.reject(BROKEN);
      return segment;
    }
  }
  const log = new FakeLog();
  const { store, worker } = await openThreaded(newDirectory(), log, new UnsyncedDisk());
  put(store, "T", 0, "not durable");
  await store.close();
  expect(log.at("error", /could not be closed in order/)).toHaveLength(1);
  expect(worker.threadId).toBe(-1);
});

test("a queue that cannot be written ends writing, and is built anew once it can", async () => {
  const directory = newDirectory();
  const log = new FakeLog();
  const { store } = await openThreaded(directory, log);
  put(store, "T", 0, "good");
  await store.settled();
  // A file where the queue's directory has to be.
  mkdirSync(join(directory, "consumequeue"), { recursive: true });
  writeFileSync(join(directory, "consumequeue", "Broken"), "in the way");
  expect(put(store, "Broken", 0, "acknowledged")).toBe(PutStatus.PUT_OK);
  await expect(store.settled()).rejects.toMatchObject({ code: "COMETMQ_STORE_READ_ONLY" });
  expect(store.failure!.message).toMatch(/consumequeue\/Broken\/0 \(ENOTDIR\)/);
  // Clients read it: one line, and no stack.
  expect(store.failure!.message).not.toMatch(/\n|\.js:/);
  expect(store.failure!.cause).toMatchObject({ code: "COMETMQ_IO" });
  expectReadOnly(store, log, ["good"]);
  await store.close();
  rmSync(join(directory, "consumequeue", "Broken"));
  const again = await openStore({ directory });
  expect(bodiesIn(again, "Broken", 0)).toEqual(["acknowledged"]);
  expect(bodiesIn(again, "T", 0)).toEqual(["good"]);
});

test("who waits for the disk is told when a place is never reached: nothing was put there, its write failed, the store is closed", async () => {
  const disk = new FaultyDisk();
  const store = await openStore({ directory: "/s", disk });
  put(store, "T", 0, "kept");
  const end = store.maxPhyOffset;
  await expect(store.whenFlushed(end + 1)).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
  const waiting = store.whenFlushed(end);
  await store.close();
  await waiting;
  await store.whenFlushed(end);
  await expect(store.whenFlushed(end + 1)).rejects.toMatchObject({ code: "COMETMQ_STORE_CLOSED" });

  const failing = await openStore({ directory: "/s", disk });
  disk.writeFails = true;
  put(failing, "T", 0, "lost");
  const lost = failing.whenFlushed(failing.maxPhyOffset);
  await expect(lost).rejects.toMatchObject({ code: "COMETMQ_STORE_READ_ONLY" });
  await expect(failing.whenFlushed(end + 1)).rejects.toMatchObject({ code: "COMETMQ_STORE_READ_ONLY" });
});

test("a closed store takes nothing, and closing twice is closing once", async () => {
  const store = await openStore({ directory: newDirectory() });
  put(store, "T", 0, "x");
  const closing = store.close();
  expect(put(store, "T", 0, "late")).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  expect(store.close()).toBe(closing);
  await closing;
  expect(put(store, "T", 0, "later")).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  expect(existsSync(`${store.paths.root}/abort`)).toBe(false);
});

/** What this process has open of the directory. */
function heldIn(directory: string): string[] {
  const paths = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return paths.filter((path) => path.startsWith(directory));
}

test.runIf(existsSync("/proc/self/fd"))("a closed store reads nothing, and opens no file again", async () => {
  const directory = newDirectory();
  const indexSizes = { maxHashSlotNum: 4, maxIndexNum: 3 };
  const store = await openStore({ directory, backend: "file", threads: false, indexSizes });
  const queue = store.queue("T", 0);
  for (let i = 0; i < 110; i++) {
    await appendMessage(store, queue, { body: "x", properties: { KEYS: "k other" } });
  }
  await Promise.all([store.settled(), store.indexed()]);
  const { lookUp } = store;
  const result = emptyGetResult();
  const byKey = { topic: "T", key: "k", kind: "K", countMax: 1000 } as const;
  const reads: (() => unknown)[] = [
    () => store.get(queue, 0, { maxCount: 1, maxBytes: 1 }, undefined, result),
    () => store.get(queue, 109, { maxCount: 1, maxBytes: 1 }, undefined, result),
    () => lookUp.recordAt(0),
    () => lookUp.messageAt(queue, 0),
    () => lookUp.phyOffsetOf(queue, 109),
    () => lookUp.messageTimestamp(queue, 0),
    () => lookUp.firstTimestamp(),
    () => lookUp.offsetByTime(queue, 0, "LOWER"),
    () => lookUp.queryByKey(byKey),
  ];
  for (const read of reads) read();
  expect((await lookUp.queryByKeyInTurns(byKey)).records).toHaveLength(110);
  const underWay = lookUp.queryByKeyInTurns(byKey);
  lookUp.close();
  await expect(underWay).rejects.toMatchObject({ code: "COMETMQ_STORE_CLOSED" });
  await store.close();
  for (const read of reads) expect(read, String(read)).toThrow(/COMETMQ_STORE_CLOSED|The store was closed/);
  await expect(lookUp.queryByKeyInTurns(byKey)).rejects.toMatchObject({ code: "COMETMQ_STORE_CLOSED" });
  for await (const _ of store.tail(queue)) expect.unreachable();
  expect(heldIn(directory)).toEqual([]);
});

test.runIf(existsSync("/proc/self/fd"))("a store that can not be opened holds no file open", async () => {
  class WriteProtected extends FileDisk {
    override writeAtomically(): void {
      throw BROKEN;
    }
  }
  const directory = newDirectory();
  await writtenStore(directory, 10);
  // So that recovery has something to do before anything is written.
  writeFileSync(join(directory, "abort"), "");
  for (const threads of [false, true]) {
    await expect(openStore({ directory, disk: new WriteProtected(), threads })).rejects.toBe(BROKEN);
    expect(heldIn(directory)).toEqual([]);
  }
});

test.each(["list", "remove"] as const)(
  "a %s that fails at the very end leaves nobody the store's lock",
  async (failing) => {
    let fails = false;
    const disk = new (class extends MemoryDisk {
      override list(directory: string): string[] {
        if (fails && failing === "list") throw BROKEN;
        return super.list(directory);
      }

      override remove(path: string): void {
        if (fails && failing === "remove") throw BROKEN;
        super.remove(path);
      }
    })();
    const log = new FakeLog();
    const store = await openStore({ directory: "/s", disk, log });
    put(store, "T", 0, "kept");
    await store.settled();
    fails = true;
    await store.close();
    fails = false;
    expect(log.at("error", /could not be closed in order/)).toHaveLength(1);
    const again = await openStore({ directory: "/s", disk });
    expect([again.recovery.aborted, bodiesIn(again, "T", 0)]).toEqual([true, ["kept"]]);
  },
);

test("a store that has failed is not closed before the note that is being saved: who has the directory next would get it", async () => {
  let letGo = (): void => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let isNoted = false;
  let isSaving = false;
  let syncFails = false;
  const disk = new (class extends FileDisk {
    override async replace(path: string, content: Uint8Array | string): Promise<void> {
      if (isNoted) {
        isSaving = true;
        await gate;
      }
      return super.replace(path, content);
    }

    override openSegment(...args: Parameters<FileDisk["openSegment"]>): Segment {
      const segment = super.openSegment(...args);
      const sync = segment.sync.bind(segment);
      segment.sync = () => (syncFails ? Promise.reject(BROKEN) : sync());
      return segment;
    }
  })("file");
  const directory = newDirectory();
  const store = await openStore({ directory, disk, dispatchSyncIntervalMs: 1, flushIntervalMs: 1 });
  isNoted = true;
  put(store, "T", 0, "noted");
  await until(() => isSaving, "a note");
  syncFails = true;
  put(store, "T", 0, "lost");
  await until(() => store.failure !== undefined, "the failure");
  let wasLetGo = false;
  setTimeout(() => {
    wasLetGo = true;
    letGo();
  }, 100);
  await store.close();
  expect(wasLetGo).toBe(true);
});

test("an open that fails half-way holds no file", async () => {
  const image = new MemoryDisk();
  const sizes = { segmentBytes: 64 * 1024, queueFileBytes: 400, indexSizes: { maxHashSlotNum: 20, maxIndexNum: 30 } };
  const properties = encodeProperties([["KEYS", "a b c"]]);
  const store = await openStore({ directory: "/s", disk: image, ...sizes });
  for (let i = 0; i < 40; i++) {
    const message = { ...messageOf(store, `T${i % 3}`, 0, "m"), properties, propertiesLength: properties.length };
    store.put(message, newPutResult());
  }
  await store.indexed();
  const files = imageOf(image, "/s");
  let refusals = 0;
  for (let left = 0; ; left++) {
    const disk = new FailingDisk();
    for (const [path, bytes] of files) if (!path.includes("/consumequeue/")) disk.writeAtomically(path, bytes);
    disk.writesLeft = left;
    const opening = openStore({ directory: "/s", disk, ...sizes });
    const opened = await opening.catch(() => undefined);
    if (opened !== undefined) break;
    refusals++;
    await turns();
    expect([left, disk.openCount]).toEqual([left, 0]);
  }
  expect(refusals).toBeGreaterThan(10);
});
