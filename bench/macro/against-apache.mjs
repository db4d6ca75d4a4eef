#!/usr/bin/env node
/**
 * Runs the wire cases against Apache RocketMQ and CometMQ in turn, A B A B, and prints the medians and their ratios.
 * Both servers are started anew for each case, with empty stores, and are up together while it runs; only one of them
 * has load at any time. The raw lines go to bench/results/.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { APACHE_VERSION, javaVersion, resolveApache, startApache } from "./apache.mjs";
import { startComet } from "./comet.mjs";
import { round } from "./measure.mjs";
import { fillPageCache } from "./page-cache.mjs";
import { killAll } from "./server-process.mjs";

const run = promisify(execFile);
const HERE = dirname(fileURLToPath(import.meta.url));
const RESULTS = join(dirname(HERE), "results");
/** A record of the default size in the log and its queue entry; one more window covers preload, fill and segments. */
const STORED_MESSAGE_BYTES = 1_300;
const SYNC_TIMEOUT_MS = 120_000;

/** Where a case's stores are while it runs: an interrupted run removes it too. */
let storesDir = "";

/**
 * `gate`: what CPU per message may be at most against Apache's. `preload`: the case cannot warm the server up itself,
 * so single sends come before it.
 *
 * @type {Record<string, {gate: number | undefined, preload: boolean}>}
 */
const CASES = {
  "send-sync": { gate: 0.6, preload: false },
  "send-pipelined": { gate: 0.25, preload: false },
  "batch-16": { gate: undefined, preload: false },
  "pull-32": { gate: undefined, preload: false },
  e2e: { gate: undefined, preload: true },
  delay: { gate: 0.333, preload: false },
  transaction: { gate: 0.333, preload: false },
  pop: { gate: 0.333, preload: false },
};

/** @typedef {"apache" | "comet"} ServerName */
/** @typedef {Record<string, any>} Line one line of wire-load.mjs */
/** @typedef {{case: string, server: ServerName, round: number, startMs: number} & Line} Measured */

const OPTIONS = /** @type {const} */ ({
  cases: { type: "string", default: "all" },
  rounds: { type: "string", default: "3" },
  seconds: { type: "string", default: "10" },
  warmup: { type: "string", default: "15" },
  rewarm: { type: "string", default: "3" },
  only: { type: "string" },
  heap: { type: "string", default: "2048" },
  "apache-version": { type: "string", default: APACHE_VERSION },
  "max-messages": { type: "string", default: "2000000" },
  "port-base": { type: "string", default: "23100" },
  dir: { type: "string", default: tmpdir() },
  pin: { type: "boolean", default: false },
  "page-cache": { type: "boolean", default: false },
  check: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
});

const USAGE = `against-apache.mjs [options]
  --cases NAMES       comma list of ${Object.keys(CASES).join(", ")}, or all (all)
  --rounds N          each case against each server, medians are shown (3)
  --seconds N         measured window (10)
  --warmup N          load before the first window of a case (15); --rewarm N before its later ones (3)
  --max-messages N    ends a warm-up or window of sends early (2000000)
  --only SERVER       apache or comet
  --heap MB           of Apache's broker (2048)          --apache-version V  (${APACHE_VERSION})
  --pin               servers on CPU 0, load on CPU 1    --port-base PORT    first port tried (23100)
  --dir DIR           for the stores (the system's)      --check             exit 1 if a gate is missed
  --page-cache        fill the page cache before each case: for virtual machines that give free memory back
`;

/** @typedef {ReturnType<typeof parseOptions>} Settings */

/** @param {string[]} args */
function parseOptions(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  const cases = values.cases === "all" ? Object.keys(CASES) : values.cases.split(",");
  for (const name of cases) if (!Object.hasOwn(CASES, name)) throw new Error(`no case is called ${name}`);
  /** @type {ServerName[]} */
  let servers = ["apache", "comet"];
  if (values.only === "apache" || values.only === "comet") servers = [values.only];
  else if (values.only !== undefined) throw new Error("--only takes apache or comet");
  return {
    values,
    cases,
    servers,
    rounds: integerOf("rounds", values.rounds, 1, 99),
    messagesMax: integerOf("max-messages", values["max-messages"], 1, 1e9),
    heapMB: integerOf("heap", values.heap, 256, 65_536),
    portBase: integerOf("port-base", values["port-base"], 1_026, 60_000),
  };
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} min
 * @param {number} max
 */
function integerOf(name, text, min, max) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) throw new Error(`--${name}: ${min} to ${max}`);
  return value;
}

/**
 * @param {Settings} settings
 * @param {import("./server-process.mjs").RunningServer} server
 * @param {string} name of the case
 * @param {{warmup: string, seconds: string}} time
 * @returns {Promise<Line>}
 */
async function load({ values }, server, name, time) {
  const args = [join(HERE, "wire-load.mjs"), "--case", name, "--warmup", time.warmup, "--seconds", time.seconds];
  args.push("--broker", server.broker, "--namesrv", server.namesrv, "--pid", String(server.pid));
  args.push("--max-messages", values["max-messages"]);
  const command = [...(values.pin ? ["taskset", "-c", "1"] : []), process.execPath, ...args];
  const timeout = (Number(time.warmup) + Number(time.seconds) + 300) * 1_000;
  try {
    const { stdout } = await run(/** @type {string} */ (command[0]), command.slice(1), { timeout });
    return JSON.parse(stdout);
  } catch (error) {
    const failed = /** @type {{stdout?: string, stderr?: string, message: string}} */ (error);
    // A line with errors in it is a result too: it comes with exit code 1.
    if (failed.stdout) return JSON.parse(failed.stdout);
    throw new Error(`${name}: ${failed.stderr || failed.message}`);
  }
}

/**
 * @param {Settings} settings
 * @param {string} name of the case
 * @returns {Promise<Measured[]>}
 */
async function runCase(settings, name) {
  const { values, rounds } = settings;
  const dir = mkdtempSync(join(values.dir, "cometmq-macro-"));
  storesDir = dir;
  const started = [];
  /** @type {Measured[]} */
  const lines = [];
  try {
    if (values["page-cache"]) fillPageCache(dir);
    for (const serverName of settings.servers)
      started.push({ serverName, ...(await start(settings, serverName, dir)) });
    for (let r = 1; r <= rounds; r++) {
      for (const server of started) {
        // The other server's dirty pages are not to be written out during this one's window.
        await run("sync", [], { timeout: SYNC_TIMEOUT_MS });
        const isFirst = r === 1;
        const chosen = /** @type {(typeof CASES)[string]} */ (CASES[name]);
        if (isFirst && chosen.preload)
          await load(settings, server, "send-sync", { warmup: "0", seconds: values.warmup });
        const warmup = isFirst ? values.warmup : values.rewarm;
        const line = await load(settings, server, name, { warmup, seconds: values.seconds });
        lines.push({ ...line, case: name, server: server.serverName, round: r, startMs: server.startMs });
        process.stderr.write(`${progress(lines)}\n`);
      }
    }
  } finally {
    for (const server of started) await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  return lines;
}

/**
 * @param {Settings} settings
 * @param {ServerName} serverName
 * @param {string} dir
 */
function start({ values, heapMB, portBase }, serverName, dir) {
  const prefix = values.pin ? ["taskset", "-c", "0"] : [];
  const own = { dir: join(dir, serverName), prefix };
  if (serverName === "comet") return startComet({ ...own, basePort: portBase + 500 });
  return startApache({ ...own, basePort: portBase, version: values["apache-version"], heapMB });
}

/** @param {Measured[]} lines */
function progress(lines) {
  const line = /** @type {Measured} */ (lines.at(-1));
  const verified = line["isVerified"] ? "" : "  NOT VERIFIED";
  return (
    `${line.case} ${line.server} round ${line.round}: ${line["cpuUsPerMessage"]} us/message ` +
    `(halves ${line["cpuUsByHalf"].join(", ")}), ${line["perSecond"]}/s, p50 ${line["p50Us"]} us, ` +
    `p99 ${line["p99Us"]} us, errors ${line["errors"]}${verified}`
  );
}

const MEDIANS = [
  "cpuUsPerMessage",
  "perSecond",
  "p50Us",
  "p99Us",
  "p999Us",
  "rssAnonMB",
  "generatorCpuUsPerMessage",
  "startMs",
];

/**
 * @param {Measured[]} lines
 * @returns {Record<string, number | null>}
 */
function medians(lines) {
  /** @type {Record<string, number | null>} */
  const result = {};
  for (const field of MEDIANS) {
    const values = lines.map((line) => line[field]).filter((value) => typeof value === "number");
    values.sort((a, b) => a - b);
    const middle = values.length / 2;
    result[field] =
      values.length === 0
        ? null
        : values.length % 2
          ? values[Math.floor(middle)]
          : (values[middle - 1] + values[middle]) / 2;
  }
  result["errors"] = lines.reduce((sum, line) => sum + Number(line["errors"]), 0);
  result["notVerified"] = lines.filter((line) => !line["isVerified"]).length;
  return result;
}

/**
 * @typedef {object} Summary
 * @property {string} case
 * @property {Record<string, number | null> | undefined} apache
 * @property {Record<string, number | null> | undefined} comet
 * @property {Record<string, number | null>} ratios CometMQ against Apache
 * @property {number | null} gate
 * @property {"met" | "missed" | "-"} verdict
 */

/**
 * @param {string} name
 * @param {Measured[]} lines
 * @returns {Summary}
 */
function summarize(name, lines) {
  /** @param {ServerName} server */
  const of = (server) => {
    const own = lines.filter((line) => line.server === server);
    return own.length === 0 ? undefined : medians(own);
  };
  const apache = of("apache");
  const comet = of("comet");
  /** @type {Record<string, number | null>} */
  const ratios = {};
  for (const field of MEDIANS) {
    const a = apache?.[field];
    const c = comet?.[field];
    ratios[field] = typeof a === "number" && typeof c === "number" && a > 0 ? round(c / a, 3) : null;
  }
  const gate = CASES[name]?.gate ?? null;
  const ratio = ratios["cpuUsPerMessage"] ?? null;
  const isClean = comet?.["errors"] === 0 && comet["notVerified"] === 0;
  const verdict = gate === null || ratio === null ? "-" : ratio <= gate && isClean ? "met" : "missed";
  return { case: name, apache, comet, ratios, gate, verdict };
}

/** @param {Summary[]} summaries */
function table(summaries) {
  const head = ["case", "measure", "Apache", "CometMQ", "ratio", "gate"];
  const rows = [head];
  for (const summary of summaries) {
    for (const [field, label] of [
      ["cpuUsPerMessage", "CPU us/message"],
      ["perSecond", "messages/s"],
      ["p50Us", "p50 us"],
      ["p99Us", "p99 us"],
      ["rssAnonMB", "anonymous MB"],
    ]) {
      const name = /** @type {string} */ (field);
      const isCpu = name === "cpuUsPerMessage";
      const gate = isCpu && summary.gate !== null ? `<= ${summary.gate} ${summary.verdict}` : "";
      const cells = [summary.apache?.[name], summary.comet?.[name], summary.ratios[name]].map((cell) =>
        String(cell ?? "-"),
      );
      rows.push([isCpu ? summary.case : "", /** @type {string} */ (label), ...cells, gate]);
    }
    const problems = [summary.apache, summary.comet].map((side) =>
      side ? `${side["errors"]} / ${side["notVerified"]}` : "-",
    );
    rows.push(["", "errors / not verified", ...problems, "", ""]);
  }
  const widths = head.map((_, column) => Math.max(...rows.map((row) => /** @type {string} */ (row[column]).length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(/** @type {number} */ (widths[column])))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

function machine() {
  return {
    cpu: cpus()[0]?.model,
    cpuCount: cpus().length,
    memoryGiB: round(totalmem() / 2 ** 30, 1),
    kernel: release(),
    node: process.version,
    loadAverageAtStart: loadavg().map((value) => round(value, 2)),
  };
}

/**
 * The stores of one case are on the disk together: at most a full warm-up and a full window a round and server.
 *
 * @param {Settings} settings
 */
function requireDisk({ values, servers, rounds, messagesMax }) {
  const { bavail, bsize } = statfsSync(values.dir);
  const neededGiB = (servers.length * (2 * rounds + 1) * messagesMax * STORED_MESSAGE_BYTES) / 2 ** 30;
  const freeGiB = (bavail * bsize) / 2 ** 30;
  if (freeGiB > neededGiB) return;
  const found = `${Math.floor(freeGiB)} GiB free in ${values.dir}`;
  throw new Error(`${found}, at most ${Math.ceil(neededGiB)} may be needed: lower --max-messages or give --dir`);
}

/** @param {string[]} args */
async function main(args) {
  const settings = parseOptions(args);
  if (settings.values.help) {
    process.stdout.write(USAGE);
    return true;
  }
  requireDisk(settings);
  const usesApache = settings.servers.includes("apache");
  if (usesApache) resolveApache(settings.values["apache-version"]);
  const at = new Date().toISOString();
  const about = { at, machine: machine(), java: usesApache ? javaVersion() : undefined, options: settings.values };
  const lines = [];
  const summaries = [];
  mkdirSync(RESULTS, { recursive: true });
  const path = join(RESULTS, `macro-${at.replace(/[:.]/g, "-")}.json`);
  for (const name of settings.cases) {
    const measured = await runCase(settings, name);
    lines.push(...measured);
    summaries.push(summarize(name, measured));
    writeFileSync(path, `${JSON.stringify({ ...about, summaries, lines }, null, 2)}\n`);
  }
  process.stdout.write(`\n${table(summaries)}\n${path}\n`);
  return !settings.values.check || summaries.every((summary) => summary.verdict !== "missed");
}

for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
  process.once(signal, () => {
    killAll();
    if (storesDir !== "") rmSync(storesDir, { recursive: true, force: true, maxRetries: 20 });
    process.exit(130);
  });
}

try {
  process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
} catch (error) {
  process.stderr.write(`against-apache: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
