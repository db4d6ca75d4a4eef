/**
 * The cases of `cometmq bench store`: put, fill, get, recover, rebuild, and many-queues and put-sync beside them. Each
 * prints one JSON line; what the figures are is in bench/README.md.
 */
import { systemClock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { FileDisk } from "../../io/file-disk.js";
import { MessageStore } from "../../store/message-store.js";
import type { GetResult } from "../../store/types.js";
import { GetStatus } from "../../store/types.js";
import { printError } from "../output.js";
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
  /** Of the puts, of the settled puts: over those of the fewest queues in the same round. */
  share?: number;
  settledShare?: number;
}

const GIB = 1024 ** 3;
const MB = 1e6;
/** The event loop gets its turn after so many puts: timers, syncs and the end of the case depend on it. */
const PUTS_A_TURN = 512;
const PULL_COUNT = 32;
const PULL_BYTES = 256 * 1024;

const now = (): number => systemClock.monotonicMs() / 1000;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const rounded = (value: number, digits = 0): number => Number(value.toFixed(digits));

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / MB;
}

async function newStore(
  options: CaseOptions,
  flushDiskType: "ASYNC_FLUSH" | "SYNC_FLUSH" = "ASYNC_FLUSH",
): Promise<MessageStore> {
  const disk = new FileDisk("file");
  if (disk.list(options.dir).length > 0) throw new CometError("COMETMQ_CONFIG", `--dir ${options.dir} is not empty.`);
  return MessageStore.open({ directory: options.dir, flushDiskType });
}

/** Puts until `stop` says so; returns the seconds it took. */
async function putWhile(messages: StoreMessages, goOn: () => boolean): Promise<number> {
  const started = now();
  while (goOn()) {
    const nowMs = systemClock.nowMs();
    for (let i = 0; i < PUTS_A_TURN; i++) {
      if (!messages.put(nowMs)) throw new CometError("COMETMQ_STORE_READ_ONLY", "The store refused a message.");
    }
    await turn();
  }
  return now() - started;
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
  await putWhile(messages, () => now() < warmUntil || messages.count < 2 * options.queues);
  await store.settled();
  const first = messages.count;
  const startBytes = store.maxPhyOffset;
  const cpuStarted = cpuSeconds();
  const started = now();
  const until = started + options.secs;
  const secs = await putWhile(messages, () => now() < until && store.maxPhyOffset - startBytes < options.gib * GIB);
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

const QUEUE_COUNTS = [8, 1000, 10_000, 50_000] as const;
const QUEUE_COUNT_ROUNDS = 3;

function shareOf(value = 0, whole = 1): number {
  return rounded(value / whole, 2);
}

/** `put` over few and many queues in turn, a new store each time, so that the figures stand in one run. */
export async function queueCountsCase(options: CaseOptions): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (let round = 0; round < QUEUE_COUNT_ROUNDS; round++) {
    let fewest: CaseResult | undefined;
    for (const queues of QUEUE_COUNTS) {
      const dir = `${options.dir}/${queues}`;
      const name = `${options.name}-${queues}`;
      const result = await measuredPuts({ ...options, dir, queues, name });
      removeTree(new FileDisk("file"), dir);
      fewest ??= result;
      const share = shareOf(result.opsPerSec, fewest.opsPerSec);
      const settledShare = shareOf(result.settledOpsPerSec, fewest.settledOpsPerSec);
      results.push({ ...result, queues, share, settledShare });
    }
  }
  return results;
}

/** Puts of one caller, then of many at a time, each waiting until its message is on the disk. */
export async function putSyncCase(options: CaseOptions): Promise<CaseResult[]> {
  const store = await newStore(options, "SYNC_FLUSH");
  const messages = new StoreMessages(store, options.size);
  const results: CaseResult[] = [];
  for (const waiters of [1, options.waiters]) {
    const until = now() + options.secs;
    const first = messages.count;
    const started = now();
    const caller = async (): Promise<void> => {
      while (now() < until) {
        if (!messages.put(systemClock.nowMs()))
          throw new CometError("COMETMQ_STORE_READ_ONLY", "The store refused a message.");
        await store.whenFlushed(messages.result.phyOffset + messages.result.sizeBytes);
      }
    };
    await Promise.all(Array.from({ length: waiters }, caller));
    const secs = now() - started;
    results.push({
      name: `${options.name}-${waiters}`,
      waiters,
      opsPerSec: rounded((messages.count - first) / secs),
      secs: rounded(secs, 2),
    });
  }
  await store.close();
  return results;
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
  const store = await MessageStore.open({ directory: options.dir });
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
    removeTree(disk, `${options.dir}/${name}`);
  printError(`removed queues, index and checkpoint of ${options.dir}`);
  return recoverCase(options);
}

function removeTree(disk: FileDisk, path: string): void {
  if (disk.isDirectory(path)) for (const name of disk.list(path)) removeTree(disk, `${path}/${name}`);
  disk.remove(path);
}
