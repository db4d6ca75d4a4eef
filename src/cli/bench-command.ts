/** `cometmq bench …`: servers over the wire, two results side by side, and the storage engine in this process. */
import { Argument, type Command, InvalidArgumentError } from "commander";
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
import { addWireBenchCommands } from "./bench-wire-command.js";
import type { CompareFlags } from "./bench/compare.js";
import { queueCountsCase } from "./bench/store-queue-counts.js";
import { closeStores } from "./bench/store-measure.js";
import { Interrupt } from "./interrupt.js";
import { printError, printLine } from "./output.js";
import { endOfUsage, verbGroup } from "./remote/remote-verb.js";
import { ExitCode, runVerb } from "./store-run.js";

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

function timesWorse(text: string): number {
  const value = positive(text);
  if (value < 1) throw new InvalidArgumentError("1 is as good as before; worse is more.");
  return value;
}

function notNegative(text: string): number {
  return text === "0" ? 0 : positive(text);
}

export function addBenchCommand(program: Command): void {
  const bench = verbGroup(program, "bench", "measure servers and the storage engine");
  addWireBenchCommands(bench);
  bench
    .command("compare <a.json> <b.json>")
    .description("two results of the above, as --json wrote them: B against A")
    .option("--fail-above <times>", "exit with 1 where B is worse by more than that (1.1: by a tenth)", timesWorse)
    .option("--json", "JSON lines instead of a table")
    .exitOverride(endOfUsage)
    .action((a: string, b: string, flags: CompareFlags) =>
      runVerb(async () => (await import("./bench/compare.js")).compareResults([a, b], flags)),
    );
  bench
    .command("store")
    .addArgument(new Argument("<case>", "what is measured").choices(Object.keys(CASES)))
    .description("the storage engine in this process, on one thread, dispatch on its own; one JSON line a case")
    .requiredOption("--dir <dir>", "the store: new for put, fill and get, what fill left for recover and rebuild")
    .option("--name <name>", "what the case is called in its line")
    .option("--size <bytes>", "body", positive, 1024)
    .option("--threads <n>", "for comparisons with Apache's program: must be 1", positive, 1)
    .option("--secs <seconds>", "measured", positive, 10)
    .option("--warmup <seconds>", "before", notNegative, 5)
    .option("--gib <gib>", "log at most, or to fill", positive, 4)
    .option("--queues <n>", "queues to put to", positive, 8)
    .option("--warm", "memory for all of --gib is made ready before the first put", false)
    .option("--waiters <n>", "callers that wait for the disk at a time (put-sync)", positive, 64)
    .option("--tsp <onOff>", "for comparisons with Apache's program: without effect")
    .option("--json", "accepted, for its lines are JSON in any case")
    .action(async (name: string, flags: Omit<CaseOptions, "name"> & { name?: string }) => {
      const interrupt = new Interrupt();
      interrupt.signal.addEventListener("abort", () => {
        printError("cometmq: the case ends here, its store is being closed");
        void closeStores().then(() => process.exit(ExitCode.INTERRUPTED));
      });
      try {
        for (const result of await CASES[name]!({ ...flags, name: flags.name ?? name }))
          printLine(JSON.stringify(result));
      } catch (error) {
        if (!interrupt.isAsked) throw error;
        // Its store was closed under it; the process ends when that is done.
        await new Promise(() => {});
      }
      interrupt.forget();
    });
}
