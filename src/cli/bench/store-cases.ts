/**
 * The cases of `cometmq bench store`: put, fill, get, recover, rebuild, and many-queues and put-sync beside them. Each
 * prints one JSON line; what the figures are is in bench/README.md.
 */
import { systemClock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { FileDisk } from "../../io/file-disk.js";
import type { MessageStore } from "../../store/message-store.js";
import type { GetResult } from "../../store/types.js";
import { GetStatus } from "../../store/types.js";
import { printError } from "../output.js";
import { cpuSeconds, isAsked, median, now, openStore, putWhile, removeTree, rounded, turn } from "./store-measure.js";
import { StoreMessages } from "./store-messages.js";

export interface CaseOptions {
  readonly dir: string;
  readonly name: string;
  readonly size: number;
  readonly threads: number;
  readonly secs: number;
  readonly warmup: number;
  readonly gib: number;
  readonly queues: number;
  readonly waiters: number;
  readonly warm: boolean;
}

export interface CaseResult {
  readonly name: string;
  opsPerSec?: number;
  settledOpsPerSec?: number;
  MBps?: number;
  cpuSec?: number;
  secs?: number;
  loadSecs?: number;
  waiters?: number;
  queues?: number;
  cpuUsPerMessage?: number;
  /** Over the rate of one waiter in the same round. */
  timesOne?: number;
  /** Of the puts, of the settled puts: over those of few queues in the same round. */
  share?: number;
  settledShare?: number;
}

const GIB = 1024 ** 3;
const MB = 1e6;
const PULL_COUNT = 32;
const PULL_BYTES = 256 * 1024;
const SYNC_ROUNDS = 5;

async function newStore(
  options: CaseOptions,
  flushDiskType: "ASYNC_FLUSH" | "SYNC_FLUSH" = "ASYNC_FLUSH",
): Promise<MessageStore> {
  const disk = new FileDisk("file");
  if (disk.list(options.dir).length > 0) throw new CometError("COMETMQ_CONFIG", `--dir ${options.dir} is not empty.`);
  if (!options.warm) return openStore({ directory: options.dir, flushDiskType });
  // Everything that is going to be put has its place in memory before the first put.
  const segmentsAhead = Math.ceil(options.gib);
  return openStore({ directory: options.dir, flushDiskType, warmMapedFileEnable: true, segmentsAhead });
}

export async function putCase(options: CaseOptions): Promise<CaseResult[]> {
  if (options.threads !== 1) {
    throw new CometError("COMETMQ_CONFIG", "The store has one appending thread: --threads is 1.");
  }
  return [await measuredPuts(options)];
}

async function measuredPuts(options: CaseOptions): Promise<CaseResult> {
  const store = await newStore(options);
  const messages = new StoreMessages(store, options.size, options.queues);
  const warmUntil = now() + options.warmup;
  const bytesMax = options.gib * GIB;
  const warmsUp = (): boolean => now() < warmUntil && store.maxPhyOffset < bytesMax / 2;
  await putWhile(messages, () => warmsUp() || messages.count < 2 * options.queues);
  await store.settled();
  const first = messages.count;
  const startBytes = store.maxPhyOffset;
  const cpuStarted = cpuSeconds();
  const started = now();
  const until = started + options.secs;
  const secs = await putWhile(messages, () => now() < until && store.maxPhyOffset < bytesMax);
  const count = messages.count - first;
  const bytes = store.maxPhyOffset - startBytes;
  await store.settled();
  const settledSecs = now() - started;
  const cpuSec = cpuSeconds() - cpuStarted;
  await store.close();
  return {
    name: options.name,
    opsPerSec: rounded(count / secs),
    settledOpsPerSec: rounded(count / settledSecs),
    MBps: rounded(bytes / settledSecs / MB, 1),
    cpuSec: rounded(cpuSec, 2),
    secs: rounded(secs, 2),
  };
}

/** Puts of one caller and of many at a time, in turn, each waiting until its message is on the disk. */
export async function putSyncCase(options: CaseOptions): Promise<CaseResult[]> {
  const store = await newStore(options, "SYNC_FLUSH");
  const messages = new StoreMessages(store, options.size);
  const rates = [1, options.waiters].map((waiters) => ({ waiters, opsPerSec: [] as number[] }));
  for (let round = 0; round < SYNC_ROUNDS; round++) {
    for (const { waiters, opsPerSec } of rates) {
      opsPerSec.push(await syncedPuts(store, messages, waiters, options.secs / SYNC_ROUNDS));
    }
  }
  await store.close();
  const alone = rates[0]!.opsPerSec;
  return rates.map(({ waiters, opsPerSec }) => ({
    name: `${options.name}-${waiters}`,
    waiters,
    opsPerSec: rounded(median(opsPerSec)),
    timesOne: rounded(median(opsPerSec.map((rate, round) => rate / alone[round]!)), 1),
    secs: options.secs,
  }));
}

async function syncedPuts(
  store: MessageStore,
  messages: StoreMessages,
  waiters: number,
  secs: number,
): Promise<number> {
  const first = messages.count;
  const started = now();
  const caller = async (): Promise<void> => {
    while (now() - started < secs) {
      if (!messages.put(systemClock.nowMs()))
        throw new CometError("COMETMQ_STORE_READ_ONLY", "The store refused a message.");
      await store.whenFlushed(messages.result.phyOffset + messages.result.sizeBytes);
      if (isAsked()) await turn();
    }
  };
  await Promise.all(Array.from({ length: waiters }, caller));
  return (messages.count - first) / (now() - started);
}

async function fill(store: MessageStore, options: CaseOptions): Promise<number> {
  const messages = new StoreMessages(store, options.size);
  await putWhile(messages, () => store.maxPhyOffset < options.gib * GIB);
  await store.settled();
  return messages.count;
}

/** Fills a store and halts without closing it. */
export async function fillCase(options: CaseOptions): Promise<CaseResult[]> {
  const store = await newStore(options);
  const started = now();
  const count = await fill(store, options);
  const secs = now() - started;
  new FileDisk("file").writeAtomically(`${options.dir}/expect`, String(count));
  process.on("exit", () => process.kill(process.pid, "SIGKILL"));
  return [{ name: options.name, opsPerSec: rounded(count / secs), secs: rounded(secs, 2) }];
}

export async function getCase(options: CaseOptions): Promise<CaseResult[]> {
  const store = await newStore(options);
  await fill(store, options);
  const queues = new StoreMessages(store, options.size).queues;
  const limits = { maxCount: PULL_COUNT, maxBytes: PULL_BYTES };
  const result = { records: [], queueOffsets: [] } as unknown as GetResult;
  const results: CaseResult[] = [];
  for (const kind of ["nocopy", "copy"] as const) {
    const started = now();
    const cpuStarted = cpuSeconds();
    let count = 0;
    let bytes = 0;
    for (let q = 0; now() - started < options.secs; q = (q + 1) % queues.length) {
      for (let offset = 0; ; offset = result.nextBeginOffset) {
        if (store.get(queues[q]!, offset, limits, undefined, result) !== GetStatus.FOUND) break;
        count += result.records.length;
        bytes += result.totalBytes;
        if (kind === "copy") copyAll(result);
      }
      await turn();
    }
    const secs = now() - started;
    results.push({
      name: `${options.name}-${kind}`,
      opsPerSec: rounded(count / secs),
      MBps: rounded(bytes / secs / MB, 1),
      cpuSec: rounded(cpuSeconds() - cpuStarted, 2),
      secs: rounded(secs, 2),
    });
  }
  await store.close();
  return results;
}

/** One new byte array with all records, as a broker makes for its response. */
function copyAll(result: GetResult): Buffer {
  const target = Buffer.allocUnsafeSlow(result.totalBytes);
  let at = 0;
  for (const record of result.records) {
    target.set(record, at);
    at += record.length;
  }
  return target;
}

export async function recoverCase(options: CaseOptions): Promise<CaseResult[]> {
  const disk = new FileDisk("file");
  const expected = Number(disk.readFile(`${options.dir}/expect`)?.toString("utf8") ?? Number.NaN);
  if (!Number.isInteger(expected))
    throw new CometError("COMETMQ_CONFIG", `${options.dir}/expect is missing: run fill first.`);
  disk.remove(`${options.dir}/expect`);
  const cpuStarted = cpuSeconds();
  const started = now();
  const store = await openStore({ directory: options.dir });
  const loadSecs = now() - started;
  const readable = (): number => store.allQueues().reduce((sum, queue) => sum + store.maxOffset(queue), 0);
  await store.settled();
  const secs = now() - started;
  if (readable() !== expected) {
    throw new CometError(
      "COMETMQ_STORE_CORRUPT",
      `${readable()} of ${expected} messages can be read in ${options.dir}.`,
    );
  }
  const cpuSec = cpuSeconds() - cpuStarted;
  const bytes = store.maxPhyOffset - store.minPhyOffset;
  await store.close();
  disk.writeAtomically(`${options.dir}/expect`, String(expected));
  return [
    {
      name: options.name,
      opsPerSec: rounded(expected / secs),
      MBps: rounded(bytes / secs / MB, 1),
      cpuSec: rounded(cpuSec, 2),
      secs: rounded(secs, 3),
      loadSecs: rounded(loadSecs, 3),
    },
  ];
}

/** Recovery with nothing but the log. */
export async function rebuildCase(options: CaseOptions): Promise<CaseResult[]> {
  const disk = new FileDisk("file");
  for (const name of ["consumequeue", "index", "checkpoint", "dispatch.checkpoint"])
    removeTree(`${options.dir}/${name}`, disk);
  printError(`removed queues, index and checkpoint of ${options.dir}`);
  return recoverCase(options);
}
