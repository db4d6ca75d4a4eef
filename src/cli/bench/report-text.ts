/** A result as people read it. */
import { type Cell, type Column, renderPairs, renderTable } from "../table.js";
import type { LatencyFigures } from "./latencies.js";
import type { Account, Result, RunOptions } from "./result.js";
import { grouped } from "./wire-plan.js";

const LATENCY_COLUMNS: readonly Column[] = [
  { head: "latency, ms" },
  ...["mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"].map((head) => ({ head, align: "right" }) as const),
];

export const LATENCY_TITLES = {
  send: "send to acknowledgement",
  endToEnd: "due to arrival",
  pull: "pull to answer",
} as const;

export function resultText(result: Result, terminal: boolean): string {
  const parts = [renderPairs(pairsOf(result), terminal)];
  const rows = latenciesOf(result).map(([title, figures]) => latencyRow(title, figures));
  if (rows.length > 0) parts.push(renderTable(LATENCY_COLUMNS, rows, terminal));
  return parts.join(terminal ? "\n" : "\n\n");
}

export function latenciesOf({ latency, lateness }: Result): [title: string, figures: LatencyFigures][] {
  const named = Object.entries(LATENCY_TITLES).flatMap(([name, title]) => {
    const figures = latency[name as keyof typeof LATENCY_TITLES];
    return figures === undefined ? [] : [[title, figures] as [string, LatencyFigures]];
  });
  return lateness === undefined ? named : [...named, ["generator's own delay", lateness]];
}

function latencyRow(title: string, figures: LatencyFigures): Cell[] {
  const { meanUs, p50Us, p90Us, p99Us, p999Us, p9999Us, maxUs } = figures;
  return [title, ...[meanUs, p50Us, p90Us, p99Us, p999Us, p9999Us, maxUs].map(milliseconds)];
}

export function milliseconds(us: number): string {
  return us >= 100_000 ? grouped(us / 1000) : (us / 1000).toFixed(us >= 10_000 ? 1 : 3);
}

export function pairsOf(result: Result): [name: string, value: string][] {
  const { account, server, options } = result;
  const pairs: [string, string][] = [
    ["case", `${result.case}, ${loadText(options)}`],
    ["topic", `${options.topic} on ${result.brokers.join(", ")}, ${grouped(options.queues)} queues`],
    ["measured", `${grouped(result.messages)} messages in ${result.seconds.toFixed(2)} s`],
    ["throughput", `${grouped(result.messagesPerSecond)} messages/s, ${result.megabytesPerSecond.toFixed(1)} MB/s`],
  ];
  if (options.groups > 0 && result.case !== "consume") {
    pairs.push([
      "received",
      `${grouped(result.receivedPerSecond)} messages/s by ${grouped(options.groups)} ${options.groups === 1 ? "group" : "groups"}`,
    ]);
  }
  if (server !== undefined) {
    const { cpuSeconds, cpuUsPerMessage, rssMB, rssAnonMB, rssMaxMB, pid } = server;
    const each = cpuUsPerMessage === null ? "" : `${cpuUsPerMessage.toFixed(2)} µs CPU a message, `;
    pairs.push(["server", `${each}${cpuSeconds.toFixed(2)} s in all (process ${pid})`]);
    pairs.push(["server's memory", `RSS ${rssMB} MB (largest ${rssMaxMB}), ${rssAnonMB} MB of it not of files`]);
  }
  if (result.generatorCpuUsPerMessage !== null) {
    pairs.push(["generator", `${result.generatorCpuUsPerMessage.toFixed(2)} µs CPU a message`]);
  }
  if (result.unsentDue > 0) pairs.push(["not kept", `${grouped(result.unsentDue)} messages were due and never sent`]);
  pairs.push(["account", accountText(account)]);
  if (result.interrupted) pairs.push(["interrupted", "these are the figures up to then"]);
  return pairs;
}

function loadText(options: RunOptions): string {
  const { rate, bodyBytes, connections, inFlight, tls, signed } = options;
  const parts = [
    rate === null ? "as fast as it goes" : `${grouped(rate)} messages/s`,
    `bodies of ${grouped(bodyBytes)} bytes`,
    `${connections} × ${grouped(inFlight)} in flight`,
  ];
  if (tls) parts.push("TLS");
  if (signed) parts.push("signed");
  return parts.join(", ");
}

function accountText({ sent, acknowledged, stored, receipts, refusedInWarmup, problems }: Account): string {
  const received = receipts.map((group) => grouped(group.received));
  const distinct = new Set(received);
  const parts = [
    `sent ${grouped(sent)}`,
    `acknowledged ${grouped(acknowledged)}`,
    `stored ${stored === null ? "unknown" : grouped(stored)}`,
  ];
  if (received.length > 0) parts.push(`received ${distinct.size === 1 ? received[0] : received.join(" / ")}`);
  if (received.length > 1 && distinct.size === 1) parts.push(`by each of ${received.length} groups`);
  if (refusedInWarmup > 0) parts.push(`refused in the warm-up ${grouped(refusedInWarmup)}`);
  return `${parts.join(", ")}: ${problems.length === 0 ? "it adds up" : "IT DOES NOT ADD UP"}`;
}
