/**
 * Fills the device under a store, again and again: with another file, to the last byte, after so many messages. A
 * process of its own, for what this is about is also that it lives. Writes JSON to stdout.
 *
 *   node disk-full-child.mjs DIRECTORY SEGMENT_BYTES FLUSH POINT…      POINT: bytes of messages before the disk is full
 */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { MessageStore } from "#src/store/message-store.js";
import { emptyGetResult } from "#src/store/types.js";
import { messageInput } from "../unit/store/message-input.mjs";

const [directory, segmentBytes, flushDiskType, ...points] = process.argv.slice(2);
const BALLAST = `${directory}/../ballast`;
const never = 100;
const logged = [];
const log = (fields, text) => logged.push(`${text} ${fields.reason ?? fields.err?.message ?? ""}`);
const store = await MessageStore.open({
  directory,
  segmentBytes: Number(segmentBytes),
  queueFileBytes: 40_000,
  indexSizes: { maxHashSlotNum: 5000, maxIndexNum: 4001 },
  flushDiskType,
  dispatchSyncIntervalMs: 200,
  retention: {
    diskMaxUsedSpaceRatio: never,
    diskSpaceCleanForciblyRatio: never,
    diskSpaceWarningLevelRatio: never,
    fileReservedTime: 1000,
  },
  log: { debug: () => {}, info: log, warn: log, error: log },
});

const result = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
const found = emptyGetResult();
const QUEUES = 8;
const acked = Array.from({ length: QUEUES }, () => 0);
let number = 0;

async function put() {
  const queueId = number % QUEUES;
  const body = Buffer.alloc(300 + ((number * 7919) % 3000), "b");
  body.write(`${queueId}:${acked[queueId]}|`);
  const properties = Buffer.from(`KEYS\u0001k${queueId}-${acked[queueId]}\u0002`);
  const status = store.put(messageInput(store.queue("T", queueId), body, properties), result);
  if (status !== 0) return status;
  if (store.syncFlush) await store.whenFlushed(result.phyOffset + result.sizeBytes);
  if (result.queueOffset !== acked[queueId]) throw new Error(`offset ${result.queueOffset}, not ${acked[queueId]}`);
  acked[queueId]++;
  if (number++ % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  return 0;
}

/** Takes all there is: most of it without writing, then in blocks, then byte by byte. */
function fillDisk() {
  const { bavail, bsize } = statfsSync(directory);
  spawnSync("fallocate", ["-l", String(Math.max(1, bavail * bsize - (4 << 20))), BALLAST]);
  const fd = openSync(BALLAST, "a");
  for (const size of [1 << 20, 4096, 512, 1]) {
    const bytes = Buffer.alloc(size, 1);
    try {
      for (;;) writeSync(fd, bytes);
    } catch (error) {
      if (error.code !== "ENOSPC") throw error;
    }
  }
  closeSync(fd);
}

/** How many of each queue can be read, in order and whole. */
function readAll() {
  return acked.map((_, queueId) => {
    let next = 0;
    for (;;) {
      store.get(store.queue("T", queueId), next, { maxCount: 64, maxBytes: 1 << 20 }, undefined, found);
      if (found.records.length === 0) return next;
      for (const record of found.records) {
        if (!record.includes(`${queueId}:${next++}|`)) throw new Error(`queue ${queueId}: not ${next - 1}`);
      }
    }
  });
}

const report = [];
for (const point of points) {
  const until = store.maxPhyOffset + Number(point);
  while (store.maxPhyOffset < until) if ((await put()) !== 0) throw new Error("full before its time");
  fillDisk();
  const before = number;
  const refusals = new Set();
  const readableBefore = readAll();
  // Through the room that is left in the log, up to the first refusal and a moment longer.
  const endMs = performance.now() + 45_000;
  for (let refused = 0; refused < 12 && performance.now() < endMs; ) {
    const status = await put();
    if (status === 0) continue;
    refusals.add(status);
    refused++;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const readableWhileFull = readAll();
  if (readableBefore.some((count, i) => readableWhileFull[i] < count)) throw new Error("what was readable is not");
  rmSync(BALLAST);
  const startMs = performance.now();
  let resumed = (await put()) === 0;
  while (!resumed && performance.now() < startMs + 60_000) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    resumed = (await put()) === 0;
  }
  await store.settled();
  const readable = readAll();
  report.push({ taken: number - before, refusals: [...refusals], resumed, readable, acked: [...acked] });
}
const failure = store.failure?.message;
await store.close();
process.stdout.write(JSON.stringify({ report, failure, logged, acked }));
