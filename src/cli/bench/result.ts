/** What a wire benchmark finds, as its JSON file holds it. */
import { CometError } from "../../base/errors.js";
import type { LatencyFigures } from "./latencies.js";

export const WIRE_CASES = ["send", "consume", "e2e", "fanout", "many-queues"] as const;
export type WireCase = (typeof WIRE_CASES)[number];
export const RESULT_VERSION = 1;

export interface RunOptions {
  readonly namesrv: string;
  readonly topic: string;
  readonly bodyBytes: number;
  readonly connections: number;
  readonly inFlight: number;
  /** Messages a second; null for as fast as it goes. */
  readonly rate: number | null;
  readonly warmupSeconds: number;
  readonly durationSeconds: number | null;
  readonly count: number | null;
  readonly queues: number;
  readonly groups: number;
  readonly tls: boolean;
  readonly signed: boolean;
}

/** One of the seconds of the window; the last may be shorter. */
export interface Second {
  readonly atSecond: number;
  readonly seconds: number;
  readonly sent: number;
  /** By all groups together. */
  readonly received: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** Of the server, a processor's worth is 1. */
  readonly serverCpu?: number;
  readonly serverRssMB?: number;
}

export interface ServerFigures {
  readonly pid: number;
  readonly cpuSeconds: number;
  /** A message sent, however many groups receive it; in `consume` one received. */
  readonly cpuUsPerMessage: number | null;
  readonly rssMB: number;
  readonly rssAnonMB: number;
  readonly rssMaxMB: number;
}

export interface GroupReceipts {
  readonly group: string;
  readonly received: number;
  readonly duplicates: number;
  readonly corrupt: number;
}

/** Every message of the run, warm-up included. */
export interface Account {
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly refusedInWarmup: number;
  readonly refusals: Readonly<Record<string, number>>;
  /** Whether they are stored nobody knows. */
  readonly unanswered: number;
  /** By which the queues grew; null where nobody could be asked any more. */
  readonly stored: number | null;
  /** Empty where nothing was read back. */
  readonly receipts: readonly GroupReceipts[];
  /** Messages of others in the topic meanwhile. */
  readonly foreign: number;
  /** Sentences; none where sent = stored = received. */
  readonly problems: readonly string[];
}

export interface Result {
  readonly benchmark: "cometmq";
  readonly version: typeof RESULT_VERSION;
  readonly case: WireCase;
  readonly startTime: string;
  readonly interrupted: boolean;
  /** What ended the run before its time. */
  readonly failure?: string;
  readonly options: RunOptions;
  readonly brokers: readonly string[];
  readonly machine: { readonly cpu: string; readonly cores: number; readonly node: string; readonly load: number };
  /** Of the measured window. */
  readonly seconds: number;
  readonly messages: number;
  readonly messagesPerSecond: number;
  readonly megabytesPerSecond: number;
  /** By all groups together. */
  readonly receivedPerSecond: number;
  readonly latency: {
    /** To the acknowledgement: from when a message was due, or, as fast as it goes, from its writing. */
    readonly send?: LatencyFigures;
    /** To the arrival at a consumer, of all groups together. */
    readonly endToEnd?: LatencyFigures;
    /** From the writing of a pull to its answer. */
    readonly pull?: LatencyFigures;
  };
  /** Due, and never sent: the rate was more than the server took, and each of them counts as one that still waits. */
  readonly unsentDue: number;
  /** How late the generator itself wrote what was due. */
  readonly lateness?: LatencyFigures;
  readonly generatorCpuUsPerMessage: number | null;
  readonly server?: ServerFigures;
  readonly series: readonly Second[];
  readonly account: Account;
}

/** Throws COMETMQ_CONFIG for what is no such file. */
export function parseResult(text: string, path: string): Result {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new CometError("COMETMQ_CONFIG", `${path} is not JSON; cometmq bench … --json ${path} writes such a file.`);
  }
  const result = parsed as Partial<Result> | null;
  const isResult =
    typeof result === "object" &&
    result?.benchmark === "cometmq" &&
    typeof result.messagesPerSecond === "number" &&
    typeof result.latency === "object" &&
    typeof result.options === "object";
  if (!isResult) throw new CometError("COMETMQ_CONFIG", `${path} holds no result of cometmq bench.`);
  if (result.version !== RESULT_VERSION) {
    throw new CometError(
      "COMETMQ_CONFIG",
      `${path} is of version ${result.version}; this one reads ${RESULT_VERSION}.`,
    );
  }
  return result as Result;
}
