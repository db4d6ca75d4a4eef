/**
 * A store on a device that becomes full: a clear refusal, no signal, reads go on, and when space returns so do writes,
 * by themselves. Apache's stayed unwritable (apache/rocketmq#331, #2398).
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend } from "#src/io/file-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { MessageStore } from "#src/store/message-store.js";
import { emptyGetResult, PutStatus } from "#src/store/types.js";
import { emptyPut, input, readAll, turns, until } from "../unit/store/harness.js";
import { mountSmallDisk, skipAloud } from "../unit/io/small-disk.js";

const MEGABYTE = 1024 * 1024;
const INDEX_SIZES = { maxHashSlotNum: 5000, maxIndexNum: 4001 };
const CHILD = join(import.meta.dirname, "disk-full-child.mjs");

interface Report {
  readonly report: {
    readonly taken: number;
    readonly refusals: number[];
    readonly resumed: boolean;
    readonly readable: number[];
    readonly acked: number[];
  }[];
  readonly failure?: string;
  readonly logged: string[];
  readonly acked: number[];
}

/** Every message of the store, checked down to its bytes; counts by queue. */
async function verify(directory: string, backend: Backend): Promise<number[]> {
  await using store = await MessageStore.open({ directory, backend, indexSizes: INDEX_SIZES });
  expect(store.recovery).toMatchObject({ aborted: false, findings: [], cutBytes: 0 });
  const result = emptyGetResult();
  return Array.from({ length: 8 }, (_, queueId) => {
    const queue = store.queue("T", queueId);
    let next = 0;
    for (;;) {
      store.get(queue, next, { maxCount: 64, maxBytes: MEGABYTE }, undefined, result);
      if (result.records.length === 0) return next;
      for (const record of result.records) {
        const { body, queueOffset } = decodeRecord(record);
        expect([queueOffset, body.toString("utf8", 0, body.indexOf("|"))]).toEqual([next, `${queueId}:${next}`]);
        next++;
      }
    }
  });
}

// Early, while segments are being made, in the middle of one, just before its end, and anywhere.
const POINTS = [0, 1000, 40_000, 300_000, 700_000, 1_040_000, 1_048_000, 2_100_000, 123_456, 3_000_001, 500_000];

// These wait for a device more than they work.
test.concurrent.for([
  ["ASYNC_FLUSH", 1, POINTS],
  ["SYNC_FLUSH", 1, POINTS.slice(0, 4)],
  ["ASYNC_FLUSH", 4, POINTS.slice(2, 7)],
] as const)(
  "disk-full-writes-resume: %s, segments of %i MiB",
  { timeout: 300_000 },
  async ([flush, segmentMegabytes, points], { skip }) => {
    const disk = mountSmallDisk(640);
    if (typeof disk === "string") {
      skipAloud("disk-full-writes-resume", disk);
      return skip();
    }
    const directory = join(disk.directory, "store");
    const child = await promisify(execFile)(
      process.execPath,
      [CHILD, directory, String(segmentMegabytes * MEGABYTE), flush, ...points.map(String)],
      { maxBuffer: 1 << 26, timeout: 200_000 },
    );
    expect(child.stderr).toBe("");
    const { report, failure, logged, acked } = JSON.parse(child.stdout) as Report;
    expect(failure).toBeUndefined();
    expect(report.length).toBe(points.length);
    for (const { refusals, resumed, readable, acked: then } of report) {
      expect(refusals).toEqual([PutStatus.DISK_FULL]);
      expect(resumed).toBe(true);
      expect(readable).toEqual(then);
    }
    expect(logged.filter((line) => /read-only/.test(line))).toEqual([]);
    expect(await verify(directory, chooseBackend())).toEqual(acked);
  },
);

test.concurrent("disk-full-oldest-go: with Apache's thresholds a small disk takes messages for ever", {
  timeout: 120_000,
}, async ({ skip }) => {
  const disk = mountSmallDisk(64);
  if (typeof disk === "string") {
    skipAloud("disk-full-oldest-go", disk);
    return skip();
  }
  await using store = await MessageStore.open({
    directory: join(disk.directory, "store"),
    segmentBytes: MEGABYTE,
    queueFileBytes: 40_000,
    indexEnabled: false,
    dispatchSyncIntervalMs: 200,
    retention: { cleanResourceInterval: 1000 },
  });
  const message = input(store, "T", 0, "x");
  message.body = Buffer.alloc(8000, "x");
  message.bodyLength = message.body.length;
  const result = emptyPut();
  const wanted = 2 * 64 * MEGABYTE;
  const deadline = performance.now() + 100_000;
  while (store.maxPhyOffset < wanted && performance.now() < deadline) {
    const status = store.put(message, result);
    if (status === PutStatus.PUT_OK) {
      if (result.queueOffset % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      continue;
    }
    expect(status).toBe(PutStatus.DISK_FULL);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(store.maxPhyOffset).toBeGreaterThanOrEqual(wanted);
  await store.settled();
  const queue = store.queue("T", 0);
  const min = store.minOffset(queue);
  expect(min).toBeGreaterThan(0);
  // Far less than all of it has gone: what is kept fills the disk to about the threshold.
  expect(store.maxPhyOffset - store.minPhyOffset).toBeGreaterThan(40 * MEGABYTE);
  const found = emptyGetResult();
  expect(store.get(queue, min, { maxCount: 1, maxBytes: 1 }, undefined, found)).toBe(0);
});

test.concurrent("disk-full-before-sync: the oldest go also where nothing of what is dispatched was ever synced", {
  timeout: 60_000,
}, async ({ skip }) => {
  const disk = mountSmallDisk(24);
  if (typeof disk === "string") {
    skipAloud("disk-full-before-sync", disk);
    return skip();
  }
  const directory = join(disk.directory, "store");
  // Nothing goes before the disk is full to the last byte.
  const retention = { cleanFileForciblyEnable: false, diskSpaceWarningLevelRatio: 100, cleanResourceInterval: 100 };
  const store = await MessageStore.open({
    directory,
    segmentBytes: MEGABYTE,
    queueFileBytes: 40_000,
    indexSizes: INDEX_SIZES,
    dispatchSyncIntervalMs: 3_600_000,
    retention,
  });
  const acked: { queueOffset: number; phyOffset: number }[] = [];
  const result = emptyPut();
  const message = input(store, "T", 0, "x");
  const putOne = (): PutStatus => {
    const status = store.put(message, result);
    if (status === PutStatus.PUT_OK) acked.push({ ...result });
    return status;
  };
  while (store.maxPhyOffset < 8 * MEGABYTE) if (putOne() !== PutStatus.PUT_OK) await turns();
  await store.settled();
  disk.fill(0);
  while (putOne() === PutStatus.PUT_OK) {}
  retention.cleanFileForciblyEnable = true;
  await until(() => store.minPhyOffset > 0, "the oldest segment to go");
  await until(() => putOne() === PutStatus.PUT_OK, "room for messages");
  await store.settled();
  expect(store.failure).toBeUndefined();
  const kept = acked.filter(({ phyOffset }) => phyOffset >= store.minPhyOffset).map(({ queueOffset }) => queueOffset);
  expect(kept.length).toBeGreaterThan(1000);
  expect(readAll(store, "T", 0, kept[0]!).map(([offset]) => offset)).toEqual(kept);
  await store.close();
});
