#!/usr/bin/env node
/**
 * Runs grpc-load.mjs against Apache's proxy in local mode and CometMQ in turn, A B A B, both up with empty stores and only
 * one of them loaded at any time. Prints every line, and last the medians with their ratios, CometMQ's to Apache's.
 *
 *   node bench/macro/grpc-against-apache.mjs [--rounds 3] [--seconds 10] [--warmup 5] [--heap 2048] [--only comet|apache]
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { APACHE_VERSION, startApache } from "./apache.mjs";
import { startComet } from "./comet.mjs";
import { killAll } from "./server-process.mjs";
import { createTopic } from "./topic.mjs";

const run = promisify(execFile);
const LOAD = join(dirname(fileURLToPath(import.meta.url)), "grpc-load.mjs");
const PORT_BASE = 24_100;
const FIGURES = ["perSecond", "cpuUsPerMessage", "p50Us", "p99Us"];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "10" },
    warmup: { type: "string", default: "5" },
    heap: { type: "string", default: "2048" },
    only: { type: "string" },
  },
});

const dir = mkdtempSync(join(tmpdir(), "cometmq-grpc-"));
process.on("exit", () => {
  killAll();
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const starts = {
  apache: () =>
    startApache({
      dir: join(dir, "apache"),
      version: APACHE_VERSION,
      heapMB: Number(values.heap),
      prefix: [],
      basePort: PORT_BASE,
      proxy: true,
    }),
  comet: () => startComet({ dir: join(dir, "comet"), prefix: [], basePort: PORT_BASE + 500 }),
};
const names = Object.keys(starts).filter((name) => values.only === undefined || values.only === name);
const servers = [];
for (const name of names) servers.push({ name, server: await starts[name]() });

const lines = [];
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const { name, server } of servers) {
    const topic = `grpc-bench-${round}`;
    await createTopic({ ...server, brokerName: "broker-a" }, topic);
    const args = [LOAD, "--grpc", server.grpc, "--pids", String(server.pid), "--topic", topic, "--group", `g-${topic}`];
    args.push("--seconds", values.seconds, "--warmup", values.warmup);
    const { stdout } = await run(process.execPath, args, { timeout: 300_000 });
    for (const text of stdout.trim().split("\n")) {
      const line = { server: name, round, ...JSON.parse(text) };
      lines.push(line);
      process.stdout.write(`${JSON.stringify(line)}\n`);
    }
  }
}
for (const { server } of servers) await server.stop();
for (const name of new Set(lines.map((line) => line.case))) summarize(name);

function summarize(name) {
  const summary = { case: name };
  for (const figure of FIGURES) {
    const [apache, comet] = ["apache", "comet"].map((server) =>
      median(lines.filter((line) => line.case === name && line.server === server).map((line) => line[figure])),
    );
    summary[figure] = { apache, comet, ratio: apache && comet ? Math.round((comet / apache) * 100) / 100 : null };
  }
  process.stdout.write(`${JSON.stringify(summary)}\n`);
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}
