/** The suites: what is called, and of how many things (`count` of `unit`) one call consists. */
import { rmSync, writeFileSync } from "node:fs";
import { SegmentQueue } from "../../dist/commitlog/segment-queue.js";
import { FileCache } from "../../dist/consumequeue/file-cache.js";
import { QueueContext } from "../../dist/consumequeue/queue-files.js";
import { Dispatcher } from "../../dist/dispatch/dispatcher.js";
import { loadIndex, openIndexSink } from "../../dist/dispatch/index-sink.js";
import { QueueTable } from "../../dist/dispatch/queue-table.js";
import { DEFAULT_INDEX_SIZES } from "../../dist/index/index-file.js";
import { FileDisk } from "../../dist/io/file-disk.js";
import { DEFAULT_DELAY_LEVELS, parseDelayLevels } from "../../dist/record/tags-code.js";
import { MessageStore } from "../../dist/store/message-store.js";
import { filledStore, GIB, Messages, QUEUES, WarmLog } from "./fixture.mjs";

const BODY_BYTES = 1024;
const BATCH = 32;
const WARM_SEGMENTS = 6;
const FILLED = 200_000;
const LIMITS = { maxCount: 32, maxBytes: 262144 };

function must(status) {
  if (status !== 0) throw new Error(`the store said ${status}`);
}

/** CommitLog.append into warm memory. */
function append(directory) {
  const log = new WarmLog(directory, 1);
  log.warm();
  const one = (title, bodyBytes, queueCount) => ({
    title,
    count: 1,
    unit: "records/s",
    setUp: () => {
      const messages = log.messages(bodyBytes, queueCount);
      return () => log.append(messages);
    },
  });
  const sizes = [128, 1024, 4096].map((bytes) => one(`${bytes} B, 8 queues`, bytes, QUEUES));
  const queues = [1000, 10_000].map((count) => one(`1024 B, ${count} queues`, BODY_BYTES, count));
  return { cases: [...sizes, ...queues], close: () => log.close() };
}

/** MessageStore.put with dispatch running on the other thread. */
async function put(directory) {
  const { store, queues, messages } = await filledStore(`${directory}/cold`, 1000, BODY_BYTES);
  // As much as is put in the time of one case, made ready before it.
  const warm = await filledStore(`${directory}/warm`, 1000, BODY_BYTES, {
    warmMapedFileEnable: true,
    segmentsAhead: WARM_SEGMENTS,
  });
  const batch = Array.from({ length: BATCH }, () => new Messages([queues[0]], BODY_BYTES));
  return {
    cases: [
      {
        title: "put",
        count: 1,
        unit: "records/s",
        setUp: () => () => must(store.put(messages.next(), messages.result)),
      },
      {
        title: "put, memory made ready",
        count: 1,
        unit: "records/s",
        setUp: () => () => must(warm.store.put(warm.messages.next(), warm.messages.result)),
      },
      {
        title: `put a batch of ${BATCH}`,
        count: BATCH,
        unit: "records/s",
        setUp: async () => {
          await store.settled();
          return () =>
            must(
              store.putBatch(
                batch.map((one) => one.next()),
                messages.result,
              ),
            );
        },
      },
    ],
    close: () => Promise.all([store.close(), warm.store.close()]),
  };
}

/** MessageStore.get in queue order and at random places. */
async function get(directory) {
  const { store, queues } = await filledStore(directory, FILLED, BODY_BYTES);
  const result = { records: [], queueOffsets: [] };
  const target = Buffer.alloc(512 * 1024);
  const copy = () => {
    let at = 0;
    for (const record of result.records) {
      target.set(record, at);
      at += record.length;
    }
  };
  const inOrder = (use) => () => {
    let turn = 0;
    let offset = 0;
    return () => {
      while (store.get(queues[turn % QUEUES], offset, LIMITS, undefined, result) !== 0) {
        turn++;
        offset = 0;
      }
      offset = result.nextBeginOffset;
      use();
    };
  };
  const atRandom = () => {
    const limits = { maxCount: 1, maxBytes: 262144 };
    let seed = 1;
    return () => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 1;
      must(store.get(queues[seed % QUEUES], (seed >>> 3) % (FILLED / QUEUES), limits, undefined, result));
    };
  };
  return {
    cases: [
      { title: "in order, 32 a call, no copy", count: 32, unit: "records/s", setUp: inOrder(() => {}) },
      { title: "in order, 32 a call, copied", count: 32, unit: "records/s", setUp: inOrder(copy) },
      { title: "at random, 1 a call", count: 1, unit: "records/s", setUp: atRandom },
    ],
    close: () => store.close(),
  };
}

/** Dispatcher on this thread: queues and index from a warm log, made anew on each call. */
async function dispatch(directory) {
  const { store } = await filledStore(`${directory}/store`, FILLED, BODY_BYTES);
  const endOffset = store.maxPhyOffset;
  await store.close();
  const disk = new FileDisk();
  const run = (indexEnabled) => async () => {
    const segments = new SegmentQueue({
      disk,
      directory: `${directory}/store/commitlog`,
      segmentBytes: GIB,
      writable: false,
    });
    segments.load();
    const cache = new FileCache(disk);
    const fileBytes = 6_000_000;
    const context = new QueueContext({ disk, cache, fileBytes, unitBytes: 20, sizeOption: "fileBytes" });
    const known = { slotOf: (_topic, queueId) => queueId, maxOffsetOf: () => 0, deletedBefore: () => 0 };
    const root = `${directory}/made`;
    const dispatcher = new Dispatcher({
      segments,
      queues: new QueueTable(context, `${root}/consumequeue`, known),
      index: openIndexSink(loadIndex(disk, `${root}/index`, DEFAULT_INDEX_SIZES, indexEnabled)),
      delayLevels: parseDelayLevels(DEFAULT_DELAY_LEVELS),
      position: 0,
      onFinding: () => {},
    });
    while (dispatcher.run(endOffset, 10_000) > 0) dispatcher.flushQueues(() => {});
    await dispatcher.close();
    cache.close();
    segments.close();
    rmSync(root, { recursive: true, force: true });
  };
  const one = (title, indexEnabled) => ({
    title,
    count: FILLED,
    unit: "records/s",
    setUp: () => run(indexEnabled),
  });
  return { cases: [one("queues and index", true), one("queues alone", false)] };
}

/** Opening a store that was not closed (every record is read), and one of which only the log is left. */
async function recover(directory) {
  const { store } = await filledStore(directory, 400_000, BODY_BYTES);
  const gib = store.maxPhyOffset / GIB;
  await store.close();
  // Benny tries every case while it sets them up, all at once.
  let last = Promise.resolve();
  const open = (prepare) => () => () => {
    last = last.then(async () => {
      prepare();
      const opened = await MessageStore.open({ directory });
      await opened.settled();
      await opened.close();
    });
    return last;
  };
  const drop = (...names) => {
    for (const name of names) rmSync(`${directory}/${name}`, { recursive: true, force: true });
  };
  const crashed = () => {
    drop("dispatch.checkpoint");
    writeFileSync(`${directory}/abort`, "");
  };
  const logAlone = () => drop("consumequeue", "index", "checkpoint", "dispatch.checkpoint");
  return {
    cases: [
      { title: "recover, all of the log", count: gib, unit: "s/GiB", setUp: open(crashed) },
      { title: "rebuild from the log alone", count: gib, unit: "s/GiB", setUp: open(logAlone) },
    ],
  };
}

/** Synchronous flush: so many callers at a time, each waiting for the disk. */
async function sync(directory) {
  const { store, messages } = await filledStore(directory, 1000, BODY_BYTES, { flushDiskType: "SYNC_FLUSH" });
  const { result } = messages;
  const one = (waiters) => ({
    title: waiters === 1 ? "1 waiter" : `${waiters} waiters`,
    count: waiters,
    unit: "records/s",
    setUp: () => async () => {
      const flushed = [];
      for (let i = 0; i < waiters; i++) {
        must(store.put(messages.next(), result));
        flushed.push(store.whenFlushed(result.phyOffset + result.sizeBytes));
      }
      await Promise.all(flushed);
    },
  });
  return { cases: [one(1), one(8), one(64), one(512)], close: () => store.close() };
}

export const SUITES = { append, put, get, dispatch, recover, sync };
