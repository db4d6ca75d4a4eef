/**
 * `npm run test:crash`: everything that hurts stores, in full. Prints what was tried, with seeds, and writes it to
 * test/crash/results.json. About an hour on two cores; `--only REGEX` chooses among the files, `--seed N` repeats a run.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { only: { type: "string" }, seed: { type: "string" } } });
const FILES = [
  "test/property/store-tail.test.ts",
  "test/property/store-bits.test.ts",
  "test/property/store-power.test.ts",
  "test/property/store-io-errors.test.ts",
  "test/property/store-model.test.ts",
  "test/property/doctor-foretells.test.ts",
  "test/scars/store-rebuild.test.ts",
  "test/scars/recovery-crash.test.ts",
  "test/unit/store/retention-crash.test.ts",
  "test/crash/kill.test.ts",
];
const RESULTS = join(import.meta.dirname, "results.json");

const directory = mkdtempSync(join(tmpdir(), "cometmq-crash-figures-"));
const figures = join(directory, "figures.jsonl");
writeFileSync(figures, "");
const env = {
  ...process.env,
  COMETMQ_FIGURES: figures,
  COMETMQ_CRASH_FULL: "1",
  COMETMQ_CRASH_ROUNDS: process.env.COMETMQ_CRASH_ROUNDS ?? "100",
  COMETMQ_POWER_RUNS: process.env.COMETMQ_POWER_RUNS ?? "2000",
  COMETMQ_DOCTOR_RUNS: process.env.COMETMQ_DOCTOR_RUNS ?? "1000",
  COMETMQ_MODEL_RUNS: process.env.COMETMQ_MODEL_RUNS ?? "10",
  ...(values.seed === undefined ? {} : { COMETMQ_CRASH_SEED: values.seed }),
};
const wanted = new RegExp(values.only ?? "");
const files = FILES.filter((file) => wanted.test(file));
const { status } = spawnSync("npx", ["vitest", "run", "--testTimeout=3600000", ...files], { stdio: "inherit", env });
const tried = readFileSync(figures, "utf8")
  .trim()
  .split("\n")
  .filter(Boolean)
  .map((line) => JSON.parse(line));
rmSync(directory, { recursive: true, force: true });

let before = [];
try {
  before = JSON.parse(readFileSync(RESULTS, "utf8")).tried;
} catch {
  // The first run.
}
const names = new Set(tried.map(({ what }) => what));
const machine = `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} threads, Node ${process.version}`;
const all = [...before.filter(({ what }) => !names.has(what)), ...tried].sort((a, b) => (a.what < b.what ? -1 : 1));
if (status === 0) writeFileSync(RESULTS, `${JSON.stringify({ machine, tried: all }, null, 2)}\n`);
process.exitCode = status ?? 1;
