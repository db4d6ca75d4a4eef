/**
 * `cometmq bench store` and the same work on Apache's store, in turn, in one run: medians of some rounds and their
 * ratios. Needs Java and, the first time, Maven.
 *
 *   node bench/store/against-apache.mjs [--cases put,get,rebuild] [--rounds 3] [--gib 2] [--secs 5] [--warmup 5] [--dir D]
 *     [--page-cache]
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { javaVersion, resolveApache } from "../macro/apache.mjs";
import { fillPageCache } from "../macro/page-cache.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.dirname(path.dirname(HERE));
const COMMAND = path.join(ROOT, "bin", "cometmq.mjs");
const LIMIT_MS = 600_000;
/** A case, and what it is run on: `recover` and `rebuild` on what one `fill` left. */
const CASES = ["put", "put-warm", "get", "fill", "recover", "rebuild", "put-sync"];

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: CASES.join(",") },
    rounds: { type: "string", default: "3" },
    gib: { type: "string", default: "2" },
    secs: { type: "string", default: "5" },
    warmup: { type: "string", default: "5" },
    dir: { type: "string", default: ROOT },
    "page-cache": { type: "boolean", default: false },
    out: { type: "string", default: path.join(ROOT, "bench", "results") },
  },
});
const wanted = values.cases.split(",");
for (const name of wanted) if (!CASES.includes(name)) throw new Error(`${name} is none of ${CASES.join(", ")}`);
if (wanted.includes("recover") || wanted.includes("rebuild")) if (!wanted.includes("fill")) wanted.push("fill");

const jars = resolveApache();
const work = mkdtempSync(path.join(values.dir, ".bench-store-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const JVM = ["-Xms2g", "-Xmx2g", "-XX:+UseG1GC", "-XX:-UseBiasedLocking", "-XX:+IgnoreUnrecognizedVMOptions"];
const EXPORTS = ["jdk.internal.ref", "sun.nio.ch"].map((name) => `--add-exports=java.base/${name}=ALL-UNNAMED`);

function commandOf(side, name, dir) {
  const bare = name.replace("-warm", "");
  const sized = ["--dir", dir, "--name", name, "--gib", values.gib, "--secs", values.secs, "--warmup", values.warmup];
  // Apache's own setting for it leaves the store waiting in the midst of its load: there it is put as always.
  const warm = name === "put-warm" && side === "comet" ? ["--warm"] : [];
  if (side === "comet") return [process.execPath, [COMMAND, "bench", "store", bare, ...sized, ...warm]];
  const logs = `-Drocketmq.log.dir=${path.join(work, "log")}`;
  const program = path.join(HERE, "StoreBench.java");
  return [
    "java",
    [...JVM, ...EXPORTS, logs, `-Duser.home=${work}`, "-cp", path.join(jars, "*"), program, bare, ...sized],
  ];
}

function run(side, name, dir) {
  const [command, args] = commandOf(side, name, dir);
  const { stdout, stderr, status, signal } = spawnSync(command, args, { encoding: "utf8", timeout: LIMIT_MS });
  const lines = (stdout ?? "").split("\n").filter((line) => line.startsWith('{"name"'));
  // `fill` ends its own process, as a crash would.
  if (lines.length === 0 || (status !== 0 && !bareFill(name, signal))) {
    throw new Error(`${side} ${name}: ${signal ?? status}\n${stderr?.slice(-2000)}`);
  }
  return lines.map((line) => JSON.parse(line));
}

const bareFill = (name, signal) => name === "fill" && signal === "SIGKILL";

const rates = new Map();
function note(side, { name, opsPerSec, settledOpsPerSec, cpuSec, secs }) {
  const one = rates.get(name) ?? { comet: [], apache: [] };
  one[side].push({ opsPerSec, settledOpsPerSec, cpuSec, secs });
  rates.set(name, one);
}

function median(figures) {
  const known = figures.filter((figure) => figure !== undefined).sort((a, b) => a - b);
  return known.length === 0 ? undefined : known[Math.floor(known.length / 2)];
}

function cpuUsPerOp({ cpuSec, opsPerSec, secs }) {
  return cpuSec === undefined ? undefined : Number(((cpuSec / (opsPerSec * secs)) * 1e6).toFixed(2));
}

const startLoad = loadavg()[0];
for (let round = 0; round < Number(values.rounds); round++) {
  for (const side of round % 2 === 0 ? ["comet", "apache"] : ["apache", "comet"]) {
    const filled = path.join(work, `${side}-filled`);
    for (const name of CASES.filter((one) => wanted.includes(one))) {
      const keeps = ["fill", "recover", "rebuild"].includes(name);
      const dir = keeps ? filled : path.join(work, `${side}-${name}`);
      if (values["page-cache"]) fillPageCache(work);
      spawnSync("sync");
      for (const result of run(side, name, dir)) {
        process.stdout.write(`${side} ${JSON.stringify(result)}\n`);
        note(side, result);
      }
      if (!keeps) rmSync(dir, { recursive: true, force: true });
    }
    rmSync(filled, { recursive: true, force: true });
  }
}

const results = [...rates].map(([name, { comet, apache }]) => {
  const of = (figures, key) => median(figures.map((one) => one[key]));
  const row = { name };
  const cpu = [comet, apache].map((figures) => median(figures.map(cpuUsPerOp)));
  if (!cpu.includes(undefined))
    row.cpuUsPerOp = { comet: cpu[0], apache: cpu[1], ratio: Number((cpu[0] / cpu[1]).toFixed(2)) };
  for (const key of ["opsPerSec", "settledOpsPerSec"]) {
    const [ours, theirs] = [of(comet, key), of(apache, key)];
    if (ours === undefined || theirs === undefined) continue;
    row[key] = { comet: Math.round(ours), apache: Math.round(theirs), ratio: Number((ours / theirs).toFixed(2)) };
  }
  return row;
});
for (const row of results) process.stdout.write(`${JSON.stringify(row)}\n`);
const machine = { cpu: cpus()[0].model.trim(), cores: cpus().length, node: process.version, java: javaVersion() };
const { dir, out, ...options } = values;
const about = { at: new Date().toISOString(), machine, loadBefore: startLoad, options };
const file = path.join(out, "store-against-apache.json");
mkdirSync(out, { recursive: true });
writeFileSync(file, `${JSON.stringify({ ...about, results, rounds: Object.fromEntries(rates) }, undefined, 2)}\n`);
