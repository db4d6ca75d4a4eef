/**
 * `npm run test:faults`: real servers under load are hurt in every way that this machine can, and what they acknowledged
 * is looked for by readers of their own. A quarter of an hour on two cores; `--short` is a cut of three minutes. What a
 * machine cannot do (no root, no compiler, no JDK) is skipped by name. Figures are printed and written to results.json.
 *
 *   --only REGEX     of the files in this directory      --seed N       the same load, and nearly the same moments
 *   --soak --minutes N   the soak alone (`npm run test:soak`), 60 minutes unless told
 *   --cuts N         power cuts of each kind, instead of a few; with `--only disk`
 *   --json FILE      vitest's report
 *
 * Clears away what it has made when it ends, mounts first, whatever became of the tests; and what a run has left that was
 * killed.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    seed: { type: "string" },
    cuts: { type: "string" },
    soak: { type: "boolean", default: false },
    minutes: { type: "string", default: "60" },
    json: { type: "string" },
  },
});
const RESULTS = join(import.meta.dirname, "results.json");
const LIMIT_MS = values.soak ? (Number(values.minutes) + 10) * 60_000 : (values.short ? 10 : 25) * 60_000;

const PREFIX = "cometmq-faults-";
const directory = mkdtempSync(join(tmpdir(), PREFIX));
writeFileSync(join(directory, "owner"), String(process.pid));
const figures = join(directory, "figures.jsonl");
writeFileSync(figures, "");

/** Servers of tests that were cut off: they name the run's own directory. */
function endServers(directory) {
  for (const pid of existsSync("/proc") ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : []) {
    try {
      if (Number(pid) === process.pid || !readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(`${directory}/`))
        continue;
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

function clear(directory) {
  const lines = existsSync("/proc/mounts") ? readFileSync("/proc/mounts", "utf8").split("\n") : [];
  const mounts = lines.map((line) => line.split(" ")[1] ?? "").filter((path) => path.startsWith(`${directory}/`));
  // Nobody who waits for a frozen file system can be ended.
  for (const mount of mounts) spawnSync("fsfreeze", ["--unfreeze", mount], { stdio: "ignore" });
  endServers(directory);
  for (const mount of mounts) spawnSync("umount", ["--lazy", mount]);
  const loops = spawnSync("losetup", ["--noheadings", "--output", "NAME,BACK-FILE"], { encoding: "utf8" }).stdout ?? "";
  for (const line of loops.split("\n").filter((one) => one.includes(`${directory}/`))) {
    spawnSync("losetup", ["-d", line.split(" ")[0]]);
  }
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}

/** What runs have left that were killed themselves: their images are mounted still. */
function clearAfterOthers() {
  for (const name of readdirSync(tmpdir()).filter((one) => one.startsWith(PREFIX))) {
    const left = join(tmpdir(), name);
    const owner = existsSync(join(left, "owner")) ? readFileSync(join(left, "owner"), "utf8") : "";
    if (owner === "" || isRun(owner)) continue;
    process.stderr.write(`clearing away what a run that was killed has left: ${left}\n`);
    clear(left);
  }
}

function isRun(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("run.mjs");
  } catch {
    return false;
  }
}

if (existsSync("/proc")) clearAfterOthers();
const wanted = new RegExp(values.only);
const files = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".fault.ts") && wanted.test(name))
  .filter((name) => name.startsWith("soak.") === values.soak)
  .map((name) => `test/faults/${name}`);
const reporters = [
  "--reporter=default",
  ...(values.json ? ["--reporter=json", `--outputFile.json=${values.json}`] : []),
];
const vitest = join(import.meta.dirname, "..", "..", "node_modules", "vitest", "vitest.mjs");
const args = [
  vitest,
  "run",
  "--config",
  "test/faults/vitest.config.ts",
  "--disable-console-intercept",
  ...reporters,
  ...files,
];
const child = spawn(process.execPath, args, {
  cwd: join(import.meta.dirname, "..", ".."),
  stdio: ["ignore", "inherit", "inherit"],
  env: {
    ...process.env,
    COMETMQ_FIGURES: figures,
    COMETMQ_FAULTS_DIR: directory,
    COMETMQ_FAULTS_LONG: values.short ? "0" : "1",
    ...(values.soak && { COMETMQ_SOAK_MINUTES: values.minutes }),
    ...(values.cuts !== undefined && { COMETMQ_CUTS: values.cuts }),
    ...(values.seed !== undefined && { COMETMQ_FAULTS_SEED: values.seed }),
  },
});
const limit = setTimeout(() => child.kill("SIGTERM"), LIMIT_MS);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
const status = await new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
clearTimeout(limit);

const lines = readFileSync(figures, "utf8").trim().split("\n").filter(Boolean);
if (status === 0 && !values.short) {
  const tried = lines.map((line) => JSON.parse(line));
  const names = new Set(tried.map(({ row, what }) => `${row} ${what}`));
  const before = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, "utf8")).tried : [];
  const kept = before.filter(({ row, what }) => !names.has(`${row} ${what}`));
  const machine = `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} threads, Linux ${release()}, Node ${process.version}`;
  const all = [...kept, ...tried].sort((a, b) => (`${a.row} ${a.what}` < `${b.row} ${b.what}` ? -1 : 1));
  writeFileSync(RESULTS, `${JSON.stringify({ machine, tried: all }, null, 2)}\n`);
}
clear(directory);
process.exitCode = status;
