/** What a run of a wire benchmark is given and gives back, and what runs of all kinds do alike. */
import { setTimeout as wait } from "node:timers/promises";
import { type Cluster, hostAndPort } from "../remote/cluster.js";
import { type BenchTopic, type MaxOffsets, queueKey } from "./bench-topic.js";
import type { PullOptions } from "./pull-load.js";
import type { Receipts } from "./receipts.js";
import type { Result } from "./result.js";
import type { LaneOptions } from "./send-load.js";
import type { WindowFigures } from "./window.js";

const POLL_MS = 50;
/** Without anything more for so long, nothing more is waited for. */
const SILENCE_MS = 10_000;

export interface WirePlan {
  readonly bodyBytes: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly rate: number | undefined;
  readonly warmupSeconds: number;
  /** Whichever is given ends the window. */
  readonly durationSeconds: number | undefined;
  readonly count: number | undefined;
  /** Who receives while it is sent; with none of them it is read back afterwards. */
  readonly groups: readonly string[];
  readonly isReadBack: boolean;
  readonly serverPid: number | undefined;
  readonly run: number;
}

export interface WireWatch {
  /** The run is asked to end. */
  readonly signal: AbortSignal;
  /** Its servers say nothing more: what is known by then is told. */
  readonly silence: AbortSignal;
  readonly show: (text: () => string) => void;
}

export type WireFindings = Pick<Result, "latency" | "lateness" | "unsentDue" | "account" | "failure"> & {
  readonly window: WindowFigures | undefined;
};

/** The sending connections, which take turns among the brokers. */
export function lanesOf(
  cluster: Cluster,
  { topic, brokers, queues }: BenchTopic,
  { bodyBytes, inFlight, run, connections }: WirePlan,
  onFailure: (error: Error) => void,
): LaneOptions[] {
  const client = cluster.clientOptions;
  const { signer } = client;
  return Array.from({ length: Math.max(connections, brokers.length) }, (_, i) => {
    const { address, brokerName } = brokers[i % brokers.length]!;
    const queueIds = queues.filter((queue) => queue.brokerName === brokerName).map(({ queueId }) => queueId);
    return {
      ...hostAndPort(address),
      client,
      signer,
      onFailure,
      topic,
      brokerName,
      bodyBytes,
      run,
      inFlight,
      queueIds,
    };
  });
}

export interface PullPlan {
  readonly receipts: Receipts;
  readonly ends: { readonly from: (key: string) => number; readonly to: (key: string) => number };
  /** To each broker; its queues are divided among them. */
  readonly connections: number;
  readonly onFailure: (error: Error) => void;
}

export function pullsOf(
  cluster: Cluster,
  { topic, brokers, queues }: BenchTopic,
  { receipts, ends, connections, onFailure }: PullPlan,
): Omit<PullOptions, "inFlight">[] {
  const client = cluster.clientOptions;
  const { signer } = client;
  return brokers.flatMap(({ address, brokerName }) => {
    const stretches = queues
      .filter((queue) => queue.brokerName === brokerName)
      .map(({ queueId }) => {
        const key = queueKey({ brokerName, queueId });
        return { queueId, from: ends.from(key), to: ends.to(key) };
      });
    return Array.from({ length: Math.min(connections, stretches.length) }, (_, i) => {
      const share = stretches.filter((_stretch, j) => j % connections === i);
      return { ...hostAndPort(address), topic, queues: share, receipts, client, signer, onFailure };
    });
  });
}

export interface Stored {
  /** By which the queues grew. */
  readonly total: number;
  readonly ends: MaxOffsets;
}

/** Queues are built a little behind the log: `least` is waited for. */
export async function storedSince(topic: BenchTopic, before: MaxOffsets, least: number): Promise<Stored> {
  const endMs = performance.now() + SILENCE_MS;
  for (;;) {
    const ends = await topic.maxOffsets();
    let total = 0;
    for (const [key, end] of ends) total += end - (before.get(key) ?? 0);
    if (total >= least || performance.now() > endMs) return { total, ends };
    await wait(POLL_MS);
  }
}

/** Until it is done, or `progress` has stood still for long. */
export async function untilSettled(isDone: () => boolean, progress: () => number): Promise<void> {
  let lastMs = performance.now();
  let last = progress();
  while (!isDone() && performance.now() - lastMs < SILENCE_MS) {
    await wait(POLL_MS / 5);
    const now = progress();
    if (now !== last) lastMs = performance.now();
    last = now;
  }
}

export function grouped(value: number): string {
  return Math.round(value).toLocaleString("en-GB");
}
