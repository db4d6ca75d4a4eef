/** `cometmq bench store …`: the storage engine in this process, measured. */
import { type Command, InvalidArgumentError } from "commander";
import {
  type CaseOptions,
  type CaseResult,
  fillCase,
  getCase,
  putCase,
  putSyncCase,
  rebuildCase,
  recoverCase,
} from "./bench/store-cases.js";
import { queueCountsCase } from "./bench/store-queue-counts.js";
import { printLine } from "./output.js";

const CASES: Record<string, (options: CaseOptions) => Promise<CaseResult[]>> = {
  put: putCase,
  fill: fillCase,
  get: getCase,
  recover: recoverCase,
  rebuild: rebuildCase,
  "put-sync": putSyncCase,
  "many-queues": putCase,
  "queue-counts": queueCountsCase,
};

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError("A number above 0 is needed.");
  return value;
}

function notNegative(text: string): number {
  return text === "0" ? 0 : positive(text);
}

export function addBenchCommand(program: Command): void {
  const bench = program.command("bench").description("measure, one JSON line a case");
  bench
    .command("store")
    .argument("<case>", Object.keys(CASES).join(", "))
    .description("the storage engine in this process, on one thread, dispatch on its own")
    .requiredOption("--dir <dir>", "the store: new for put, fill and get, what fill left for recover and rebuild")
    .option("--name <name>", "what the case is called in its line")
    .option("--size <bytes>", "body", positive, 1024)
    .option("--threads <n>", "appending threads: the store has one", positive, 1)
    .option("--secs <seconds>", "measured", positive, 10)
    .option("--warmup <seconds>", "before", notNegative, 5)
    .option("--gib <gib>", "log at most, or to fill", positive, 4)
    .option("--queues <n>", "queues to put to", positive, 8)
    .option("--warm", "memory for all of --gib is made ready before the first put", false)
    .option("--waiters <n>", "callers that wait for the disk at a time (put-sync)", positive, 64)
    .option("--tsp <onOff>", "accepted for comparisons with Apache's program, and without effect")
    .action(async (name: string, flags: Omit<CaseOptions, "name"> & { name?: string }) => {
      const run = Object.hasOwn(CASES, name) ? CASES[name] : undefined;
      if (run === undefined) throw new InvalidArgumentError(`${name} is none of ${Object.keys(CASES).join(", ")}.`);
      for (const result of await run({ ...flags, name: flags.name ?? name })) printLine(JSON.stringify(result));
    });
}
