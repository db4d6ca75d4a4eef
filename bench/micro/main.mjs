/**
 * Micro-benchmarks of the storage engine on a real disk, with benny: `npm run bench`, or some suites by name. What they
 * measure is in bench/README.md. Results go to bench/results/micro.json, and as a page that needs nothing else to
 * micro.html; suites that did not run keep what they had there. With --page-cache memory is in use when a suite begins.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import benny from "benny";
import { fillPageCache } from "../macro/page-cache.mjs";
import { workDirectory } from "./fixture.mjs";
import { resultsPage } from "./page.mjs";
import { SUITES } from "./suites.mjs";

const RESULTS =
  process.env.BENCH_RESULTS ?? path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), "results");
const JSON_FILE = path.join(RESULTS, "micro.json");
const PAGE_CACHE = "--page-cache";
const wanted = process.argv.slice(2).filter((argument) => argument !== PAGE_CACHE);

for (const name of wanted) {
  if (!Object.hasOwn(SUITES, name)) {
    process.stderr.write(`${name} is none of ${Object.keys(SUITES).join(", ")}.\n`);
    process.exit(2);
  }
}

function machine() {
  const [cpu] = cpus();
  const memoryGiB = Math.round(totalmem() / 1024 ** 3);
  return { cpu: cpu.model.trim(), cores: cpus().length, memoryGiB, node: process.version, load: loadavg()[0] };
}

async function run(name) {
  const directory = workDirectory();
  if (process.argv.includes(PAGE_CACHE)) fillPageCache(directory);
  const { cases, close } = await SUITES[name](directory);
  const before = machine();
  const added = cases.map(({ title, setUp, minSamples }) => benny.add(title, setUp, { minSamples: minSamples ?? 5 }));
  const summary = await benny.suite(name, ...added, benny.cycle(), benny.complete());
  await close?.();
  const results = summary.results.map(({ name: title, details, margin }) => {
    const { count, unit } = cases.find((one) => one.title === title);
    const value = unit.startsWith("s/") ? details.mean / count : count / details.mean;
    return { title, value: Number(value.toPrecision(4)), unit, marginPercent: margin };
  });
  return { name, date: new Date().toISOString(), machine: before, results };
}

mkdirSync(RESULTS, { recursive: true });
const kept = existsSync(JSON_FILE) ? JSON.parse(readFileSync(JSON_FILE, "utf8")) : [];
const byName = new Map(kept.map((suite) => [suite.name, suite]));
for (const name of wanted.length > 0 ? wanted : Object.keys(SUITES)) {
  byName.set(name, await run(name));
  const suites = Object.keys(SUITES).flatMap((one) => byName.get(one) ?? []);
  writeFileSync(JSON_FILE, `${JSON.stringify(suites, undefined, 2)}\n`);
  writeFileSync(path.join(RESULTS, "micro.html"), resultsPage(suites));
}
