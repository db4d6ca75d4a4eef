/**
 * The case `queue-counts`: what many queues cost, against the same messages over few. Two stores stand side by side in
 * one process and are put to in turn, a stretch each, so that whatever else the machine does falls on both.
 */
import type { MessageStore } from "../../store/message-store.js";
import type { CaseOptions, CaseResult } from "./store-cases.js";
import { cpuSeconds, median, now, openStore, putWhile, removeTree, rounded } from "./store-measure.js";
import { StoreMessages } from "./store-messages.js";

const FEW_QUEUES = 8;
const QUEUE_COUNTS = [1000, 10_000, 50_000] as const;
const ROUNDS = 5;

interface Side {
  readonly store: MessageStore;
  readonly messages: StoreMessages;
  readonly putRates: number[];
  readonly settledRates: number[];
  count: number;
  cpuSec: number;
}

/** Puts for `secs`, then waits until all of it can be read. */
async function stretch(side: Side, secs: number): Promise<void> {
  const { store, messages } = side;
  const first = messages.count;
  const cpuStarted = cpuSeconds();
  const started = now();
  const putSecs = await putWhile(messages, () => now() - started < secs);
  await store.settled();
  const count = messages.count - first;
  side.putRates.push(count / putSecs);
  side.settledRates.push(count / (now() - started));
  side.count += count;
  side.cpuSec += cpuSeconds() - cpuStarted;
}

async function openSide(options: CaseOptions, dir: string, queueCount: number): Promise<Side> {
  const store = await openStore({
    directory: dir,
    warmMapedFileEnable: options.warm,
    segmentsAhead: options.warm ? 1 : 0,
  });
  const messages = new StoreMessages(store, options.size, queueCount, "many topics");
  // Files of queues are made before anything is measured.
  await putWhile(messages, () => messages.count < 2 * queueCount);
  await store.settled();
  return { store, messages, putRates: [], settledRates: [], count: 0, cpuSec: 0 };
}

function shares(values: readonly number[], of: readonly number[]): number[] {
  return values.map((value, i) => value / of[i]!);
}

function resultOf(name: string, queues: number, side: Side, few: Side): CaseResult {
  return {
    name,
    queues,
    opsPerSec: rounded(median(side.putRates)),
    settledOpsPerSec: rounded(median(side.settledRates)),
    cpuUsPerMessage: rounded((side.cpuSec / side.count) * 1e6, 2),
    share: rounded(median(shares(side.putRates, few.putRates)), 2),
    settledShare: rounded(median(shares(side.settledRates, few.settledRates)), 2),
  };
}

export async function queueCountsCase(options: CaseOptions): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  const counts = options.queues === FEW_QUEUES ? QUEUE_COUNTS : [options.queues];
  for (const queueCount of counts) {
    const few = await openSide(options, `${options.dir}/few`, FEW_QUEUES);
    const many = await openSide(options, `${options.dir}/many`, queueCount);
    for (let round = 0; round < ROUNDS; round++) {
      // Neither is always the one that comes first.
      for (const side of round % 2 === 0 ? [few, many] : [many, few]) await stretch(side, options.secs);
    }
    results.push(resultOf(`${options.name}-${FEW_QUEUES}`, FEW_QUEUES, few, few));
    results.push(resultOf(`${options.name}-${queueCount}`, queueCount, many, few));
    for (const { store } of [few, many]) await store.close();
    removeTree(`${options.dir}/few`);
    removeTree(`${options.dir}/many`);
  }
  return results;
}
