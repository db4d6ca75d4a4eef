/**
 * A store on a file system of some megabytes that fills up: writers are told, readers go on, nothing that was
 * acknowledged is lost, no signal kills the process, and all goes on by itself when there is room again.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend } from "#src/io/file-disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import type { StoreOptions } from "#src/store/options.js";
import { PutStatus } from "#src/store/types.js";
import { FakeLog } from "../broker/harness.js";
import { mountSmallDisk, skipAloud } from "../io/small-disk.js";
import { until } from "../remoting/peers.js";
import { bodiesIn, openStore as openAny, put, SEGMENT_BYTES } from "./fixture.js";

const MEBIBYTE = 1024 * 1024;
/** A file that is deleted gives its blocks back when its map is collected, so the one without maps comes first. */
const BACKENDS: Backend[] = (["file", "koffi", "mmap-io"] as const).filter((backend) => {
  try {
    return chooseBackend(backend) === backend;
  } catch {
    return false;
  }
});

/** The disk is to become full to the last byte. */
const retention = { cleanFileForciblyEnable: false, diskSpaceWarningLevelRatio: 100 };
const openStore = (options: StoreOptions) => openAny({ retention, ...options });

const small = mountSmallDisk(64);
skipAloud("stores on a full disk", typeof small === "string" ? small : undefined);

describe.skipIf(typeof small === "string")("on a disk that fills up", () => {
  if (typeof small === "string") return;
  const directory = join(small.directory, "store");

  beforeEach(() => rmSync(directory, { recursive: true, force: true }));

  /** Puts messages of `bodyBytes` until one is refused, at most a disk full of them; returns the bodies taken. */
  function putUntilRefused(store: MessageStore, taken: string[], bodyBytes: number): PutStatus {
    for (let i = 0; i * bodyBytes < 128 * MEBIBYTE; i++) {
      const body = `${taken.length} ${"x".repeat(bodyBytes)}`;
      const status = put(store, "T", 0, body);
      if (status !== PutStatus.PUT_OK) return status;
      taken.push(body);
    }
    return PutStatus.PUT_OK;
  }

  /** Writers try again, and have to get through within five seconds. */
  async function untilTaken(store: MessageStore, taken: string[]): Promise<void> {
    const deadline = performance.now() + 5000;
    for (;;) {
      const body = `${taken.length} resumed`;
      if (put(store, "T", 0, body) === PutStatus.PUT_OK) {
        taken.push(body);
        return;
      }
      expect(performance.now()).toBeLessThan(deadline);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  test("not a byte left: what is taken is safe in the log, and read as soon as queues can be written", async () => {
    small.fill(8 * MEBIBYTE);
    const log = new FakeLog();
    const store = await openStore({ directory, log, backend: "file" });
    const taken: string[] = ["first"];
    put(store, "T", 0, "first");
    await store.settled();
    small.fill(0);
    expect(putUntilRefused(store, taken, 1000)).toBe(PutStatus.DISK_FULL);
    expect(taken.length).toBeGreaterThan(500);
    await until(() => log.at("error", /cannot be read before there is room/).length > 0, "word of the full disk");
    await store.whenFlushed(store.maxPhyOffset);
    const seen = bodiesIn(store, "T", 0);
    expect(seen).toEqual(taken.slice(0, seen.length));
    expect(seen.length).toBeLessThan(taken.length);
    expect(store.failure).toBeUndefined();

    small.fill(8 * MEBIBYTE);
    await store.settled();
    expect(bodiesIn(store, "T", 0)).toEqual(taken);
    await untilTaken(store, taken);
    await store.settled();
    expect(bodiesIn(store, "T", 0)).toEqual(taken);
    expect(log.at("error", /./)).toHaveLength(1);
  });

  test("a store closed on a full disk has everything once it is opened with some room", async () => {
    small.fill(8 * MEBIBYTE);
    const store = await openStore({ directory, backend: "file" });
    const taken: string[] = [];
    small.fill(0);
    expect(putUntilRefused(store, taken, 1000)).toBe(PutStatus.DISK_FULL);
    expect(taken.length).toBeGreaterThan(500);
    await store.close();
    small.fill(8 * MEBIBYTE);
    const again = await openStore({ directory, backend: "file" });
    expect(bodiesIn(again, "T", 0)).toEqual(taken);
    expect(put(again, "T", 0, "x")).toBe(PutStatus.PUT_OK);
  });

  test("a store is not made where there is no room for it, and leaves no half of one", async () => {
    small.fill(512 * 1024);
    await expect(openStore({ directory, backend: "file" })).rejects.toMatchObject({ code: "COMETMQ_DISK_FULL" });
    small.fill(8 * MEBIBYTE);
    const store = await openStore({ directory, backend: "file" });
    expect(put(store, "T", 0, "x")).toBe(PutStatus.PUT_OK);
  });

  test.each(BACKENDS)("%s: writers are told, readers go on, writing resumes with the room", async (backend) => {
    small.fill(6.5 * MEBIBYTE);
    const store = await openStore({ directory, backend });
    const taken: string[] = [];
    expect(putUntilRefused(store, taken, 10_000)).toBe(PutStatus.DISK_FULL);
    // Room for the queue is left, though none for another segment.
    expect(taken.length * 10_000).toBeGreaterThan(3 * SEGMENT_BYTES);
    expect(store.failure).toBeUndefined();
    for (let i = 0; i < 3; i++) expect(put(store, "T", 0, "x")).toBe(PutStatus.DISK_FULL);
    await store.settled();
    expect(bodiesIn(store, "T", 0)).toEqual(taken);
    await store.whenFlushed(store.maxPhyOffset);

    small.fill(6.5 * MEBIBYTE);
    await untilTaken(store, taken);
    expect(putUntilRefused(store, taken, 10_000)).toBe(PutStatus.DISK_FULL);
    await store.settled();
    expect(bodiesIn(store, "T", 0)).toEqual(taken);
    await store.close();

    const again = await openStore({ directory, backend });
    expect(again.recovery).toMatchObject({ aborted: false, cutBytes: 0 });
    expect(bodiesIn(again, "T", 0)).toEqual(taken);
  });
});
