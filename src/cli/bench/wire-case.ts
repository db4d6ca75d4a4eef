/** One `cometmq bench` over the wire, from its flags to its report and its exit status. */
import { randomBytes } from "node:crypto";
import { cpus, loadavg } from "node:os";
import { systemClock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { FileDisk } from "../../io/file-disk.js";
import { checkOutputFile } from "../../io/output-file.js";
import { RequestCode } from "../../remoting/codes.js";
import { Interrupt } from "../interrupt.js";
import { LiveLine } from "../live-line.js";
import { printError } from "../output.js";
import type { Remote } from "../remote/remote-verb.js";
import { ExitCode, isTerminal, writeOut } from "../store-run.js";
import { BenchTopic } from "./bench-topic.js";
import { ConsumeRun } from "./consume-run.js";
import { resultPage } from "./report-page.js";
import { resultText } from "./report-text.js";
import { RESULT_VERSION, type Result, type RunOptions, type WireCase } from "./result.js";
import { serverUsage } from "./server-usage.js";
import { SilenceGuard } from "./silence-guard.js";
import type { WireFindings, WirePlan, WireWatch } from "./wire-plan.js";
import { WireRun } from "./wire-run.js";

export interface WireFlags {
  readonly topic?: string;
  readonly queues: number;
  readonly size: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly rate?: number | "max";
  readonly groups?: number;
  readonly warmup: number;
  readonly duration?: number;
  readonly count?: number;
  readonly readBack?: boolean;
  readonly serverPid?: number;
  readonly html?: string;
}

const DURATION_SECONDS = 10;
/** For the result of a run whose server is silent. */
const LAST_WORDS_MS = 300;

type BenchRemote = Omit<Remote<WireFlags>, "flags"> & {
  readonly flags: WireFlags & { readonly json?: boolean | string; readonly namesrv: string };
};

export async function runWireCase(remote: Remote<WireFlags>, name: WireCase): Promise<ExitCode> {
  const { cluster, flags } = remote as unknown as BenchRemote;
  if (flags.serverPid !== undefined && serverUsage(flags.serverPid) === undefined) {
    throw new CometError("COMETMQ_CONFIG", `/proc knows no process ${flags.serverPid} (--server-pid).`);
  }
  if (typeof flags.json === "string") checkOutputFile("--json", flags.json);
  checkOutputFile("--html", flags.html);
  const live = new LiveLine();
  const interrupt = new Interrupt(() => live.clear());
  const run = randomBytes(4).readUInt32BE();
  const plan = planOf(name, flags, run);
  let topic: BenchTopic | undefined;
  const ping = (): Promise<unknown> => topic?.maxOffsets() ?? cluster.askNamesrv(RequestCode.GET_BROKER_CLUSTER_INFO);
  const guard = new SilenceGuard(interrupt.signal, ping);
  guard.signal.addEventListener("abort", () => {
    cluster.giveUp(guard.signal.reason);
    setTimeout(() => endAtOnce(live), LAST_WORDS_MS).unref();
  });
  try {
    topic = await BenchTopic.open(cluster, {
      topic: flags.topic,
      queues: flags.queues,
      run,
      groups: [...plan.groups],
    });
    if (interrupt.signal.aborted) return ended(interrupt.signal);
    const startMs = systemClock.nowMs();
    const load = loadavg()[0]!;
    const watch: WireWatch = {
      signal: interrupt.signal,
      silence: guard.signal,
      show: (text) => live.show(text),
    };
    const found =
      name === "consume"
        ? await new ConsumeRun(cluster, topic, { ...plan, count: flags.count! }, watch).run()
        : await new WireRun(cluster, topic, plan, watch).run();
    live.clear();
    const result = resultOf(name, { flags, plan, topic, found, startMs, load, signal: interrupt.signal });
    await report(result, flags);
    return ended(interrupt.signal, result);
  } catch (error) {
    if (error !== guard.signal.reason) throw error;
    live.clear();
    printError(`cometmq: ${guard.signal.reason.message}`);
    return ExitCode.INTERRUPTED;
  } finally {
    live.clear();
    await topic?.drop().catch((error: unknown) => {
      printError(`cometmq: what was made for the run could not be deleted: ${(error as Error).message}`);
    });
    guard.stop();
    interrupt.forget();
  }
}

/** A connection that is still being made, perhaps: nothing takes that back. */
function endAtOnce(live: LiveLine): void {
  live.clear();
  process.exit(ExitCode.INTERRUPTED);
}

function ended(signal: AbortSignal, result?: Result): ExitCode {
  if (signal.aborted) return ExitCode.INTERRUPTED;
  const isFine = result?.failure === undefined && result?.account.problems.length === 0;
  return isFine ? ExitCode.FINE : ExitCode.FINDINGS;
}

function planOf(name: WireCase, flags: WireFlags, run: number): WirePlan {
  const groupCount = name === "fanout" ? flags.groups! : name === "e2e" ? 1 : 0;
  const isCounted = flags.count !== undefined && flags.duration === undefined && name !== "consume";
  return {
    bodyBytes: flags.size,
    connections: flags.connections,
    inFlight: flags.inFlight,
    rate: typeof flags.rate === "number" ? flags.rate : undefined,
    warmupSeconds: flags.warmup,
    durationSeconds: isCounted ? undefined : (flags.duration ?? DURATION_SECONDS),
    count: flags.count,
    groups: Array.from({ length: groupCount }, (_, i) => `cometmq-bench-${run.toString(16).padStart(8, "0")}-${i}`),
    isReadBack: flags.readBack !== false,
    serverPid: flags.serverPid,
    run,
  };
}

interface Findings {
  readonly flags: BenchRemote["flags"] & { readonly tlsConfig?: string; readonly accessKey?: string };
  readonly plan: WirePlan;
  readonly topic: BenchTopic;
  readonly found: WireFindings;
  readonly startMs: number;
  readonly load: number;
  readonly signal: AbortSignal;
}

function optionsOf(name: WireCase, { flags, plan, topic }: Findings): RunOptions {
  return {
    namesrv: flags.namesrv,
    topic: topic.topic,
    bodyBytes: plan.bodyBytes,
    connections: plan.connections,
    inFlight: plan.inFlight,
    rate: plan.rate ?? null,
    warmupSeconds: plan.warmupSeconds,
    durationSeconds: plan.durationSeconds ?? null,
    count: plan.count ?? null,
    queues: topic.queues.length,
    groups: name === "consume" ? 1 : plan.groups.length,
    tls: flags.tlsConfig !== undefined,
    signed: flags.accessKey !== undefined,
  };
}

function resultOf(name: WireCase, findings: Findings): Result {
  const { found, plan, topic, startMs, load, signal } = findings;
  const { window } = found;
  const seconds = window?.seconds ?? 0;
  const messages = (name === "consume" ? window?.received : window?.sent) ?? 0;
  const [{ model = "unknown" } = {}] = cpus();
  const each = (us: number): number | null => (messages === 0 ? null : rounded(us / messages, 3));
  const perSecond = (count: number): number => (seconds === 0 ? 0 : rounded(count / seconds, 1));
  return {
    benchmark: "cometmq",
    version: RESULT_VERSION,
    case: name,
    startTime: new Date(startMs).toISOString(),
    interrupted: signal.aborted,
    ...(found.failure !== undefined && { failure: found.failure }),
    options: optionsOf(name, findings),
    brokers: topic.brokers.map(({ brokerName }) => brokerName),
    machine: { cpu: model.trim(), cores: cpus().length, node: process.versions.node, load: rounded(load, 2) },
    seconds: rounded(seconds, 3),
    messages,
    messagesPerSecond: perSecond(messages),
    megabytesPerSecond: rounded(perSecond(messages * plan.bodyBytes) / 1e6, 3),
    receivedPerSecond: perSecond(window?.received ?? 0),
    latency: found.latency,
    unsentDue: found.unsentDue,
    ...(found.lateness !== undefined && { lateness: found.lateness }),
    generatorCpuUsPerMessage: window === undefined ? null : each(window.ownCpuUs),
    ...(window?.server !== undefined && {
      server: { ...window.server, cpuUsPerMessage: each(window.server.cpuSeconds * 1e6) },
    }),
    series: window?.series ?? [],
    account: found.account,
  };
}

function rounded(value: number, places: number): number {
  return Math.round(value * 10 ** places) / 10 ** places;
}

/** What was measured is shown also where its files cannot be written. */
async function report(result: Result, { json, html }: BenchRemote["flags"]): Promise<void> {
  const disk = new FileDisk("file");
  try {
    if (typeof json === "string") disk.writeAtomically(json, `${JSON.stringify(result, undefined, 2)}\n`);
    if (html !== undefined) disk.writeAtomically(html, resultPage(result));
  } finally {
    if (json === true) await writeOut(`${JSON.stringify(result)}\n`);
    else await writeOut(`${resultText(result, isTerminal())}\n`);
    for (const problem of result.account.problems) printError(`cometmq: ${problem}`);
    if (result.failure !== undefined) printError(`cometmq: the run ended early: ${result.failure}`);
  }
}
