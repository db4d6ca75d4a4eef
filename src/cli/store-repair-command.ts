/**
 * `cometmq store repair DIR`: says what it would do, and with --yes does it. The one verb besides `import` that changes a
 * store; what it takes out lies in lost+found.
 */
import type { Command } from "commander";
import { systemClock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { FileDisk } from "../io/file-disk.js";
import { checkOutputFile } from "../io/output-file.js";
import { ReadOnlyDisk } from "../io/read-only-disk.js";
import type { DoctorReport } from "../recovery/doctor.js";
import type { Finding } from "../recovery/doctor/finding.js";
import { listLog } from "../recovery/doctor/log-files.js";
import type { StoreFacts } from "../recovery/doctor/store-facts.js";
import {
  describeAction,
  planRebuild,
  type QueueName,
  RepairPlanner,
  type RepairPlan,
} from "../recovery/repair/plan.js";
import { repairStore, type RepairReport } from "../recovery/repair/repair.js";
import { Interrupt } from "./interrupt.js";
import { printError, printLine } from "./output.js";
import { Progress } from "./progress.js";
import { findStore, type FoundStore } from "./store-facts.js";
import { ExitCode, runVerb, type StoreFlags, storeVerb } from "./store-run.js";
import { runDoctor, showFinding } from "./store-verify-command.js";
import { formatBytes, formatCount } from "./table.js";

const DEFAULT_SEGMENT_BYTES = 1024 * 1024 * 1024;

interface RepairFlags extends StoreFlags {
  readonly yes?: boolean;
  readonly plan?: string;
  readonly queue?: readonly string[];
  readonly queues?: boolean;
  readonly index?: boolean;
}

export function addStoreRepairCommand(store: Command): void {
  storeVerb(store, "repair", "plan the repair of a store nobody uses, and with --yes carry it out")
    .option("--yes", "do it; without this nothing is changed")
    .option("--plan <file>", "write the plan as JSON to a file")
    .option("--queue <topic queueId...>", "only rebuild this queue from the log")
    .option("--queues", "only rebuild all queues from the log")
    .option("--index", "only rebuild the index from the log")
    .action((dir: string, flags: RepairFlags) => runVerb(() => repair(dir, flags), true));
}

interface Planned {
  readonly plan: RepairPlan;
  readonly segmentBytes: number;
}

async function repair(dir: string, flags: RepairFlags): Promise<ExitCode> {
  const found = findStore(new ReadOnlyDisk(), dir, flags.conf);
  checkOutputFile("--plan", flags.plan);
  const disk = flags.yes === true ? new FileDisk("file") : new ReadOnlyDisk();
  const lock = disk.lock(found.paths.lock);
  try {
    const { plan, segmentBytes } = makePlan(found, flags);
    showPlan(plan, flags);
    if (flags.plan !== undefined) {
      new FileDisk("file").writeAtomically(flags.plan, `${JSON.stringify(plan, undefined, 2)}\n`);
    }
    if (plan.actions.length === 0) return plan.skipped.length > 0 || plan.refusal ? ExitCode.FINDINGS : ExitCode.FINE;
    if (flags.yes !== true) return ExitCode.FINDINGS;
    showReport(await carryOut(disk as FileDisk, found.facts, plan, segmentBytes, flags), flags);
    return verifyAgain(found.facts, flags);
  } finally {
    lock.release();
  }
}

function makePlan({ facts }: FoundStore, flags: RepairFlags): Planned {
  const disk = new ReadOnlyDisk();
  const queues = flags.queues === true ? "all" : namedQueues(flags.queue ?? []);
  if (queues === "all" || queues.length > 0 || flags.index === true) {
    const { segmentBytes } = listLog(disk, facts.places.commitLog, facts.segmentBytes, DEFAULT_SEGMENT_BYTES);
    return { plan: planRebuild(queues, flags.index === true), segmentBytes };
  }
  const planner = new RepairPlanner();
  const report: DoctorReport = runDoctor(disk, facts, (finding: Finding) => planner.take(finding));
  return { plan: planner.finish(report), segmentBytes: report.segmentBytes };
}

function namedQueues(words: readonly string[]): QueueName[] {
  const queues: QueueName[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const queueId = words[i + 1];
    if (queueId === undefined || !/^\d{1,9}$/.test(queueId)) {
      throw new CometError("COMETMQ_CONFIG", "--queue takes a topic and a queue's number, after the directory.");
    }
    queues.push({ topic: words[i]!, queueId: Number(queueId) });
  }
  return queues;
}

function showPlan(plan: RepairPlan, flags: RepairFlags): void {
  const { actions, skipped, refusal } = plan;
  if (flags.json === true) {
    for (const action of actions)
      printLine(JSON.stringify({ type: "action", does: describeAction(action), ...action }));
    for (const finding of skipped) printLine(JSON.stringify({ type: "skipped", ...finding }));
    if (refusal !== undefined) printLine(JSON.stringify({ type: "refused", why: refusal }));
    return;
  }
  for (const [i, action] of actions.entries()) {
    printLine(`${String(i + 1).padStart(4)}  ${describeAction(action)}`);
    printLine(`      ${action.why}`);
  }
  for (const finding of skipped) {
    printLine("not mended here:");
    showFinding(finding, false, false);
  }
  if (refusal !== undefined) printLine(`nothing is done: ${refusal}`);
  else if (actions.length === 0)
    printLine(skipped.length === 0 ? "nothing to repair" : "nothing that a repair can mend");
  else if (flags.yes !== true)
    printLine("Nothing was changed. With --yes this is done; what is taken out is kept in lost+found.");
}

function carryOut(
  disk: FileDisk,
  facts: StoreFacts,
  plan: RepairPlan,
  segmentBytes: number,
  flags: RepairFlags,
): Promise<RepairReport> {
  const progress = new Progress("rebuilding from the log", formatBytes);
  // Half a repair is worse than none: what was begun is done.
  const interrupt = new Interrupt(() => progress.clear());
  interrupt.signal.addEventListener("abort", () => {
    printError("cometmq: the repair goes on to its end; once more ends it at once, and another repair does the rest");
  });
  return repairStore({
    disk,
    clock: systemClock,
    facts,
    segmentBytes,
    plan,
    onAction: (action) => {
      progress.clear();
      if (flags.json !== true) printLine(`doing: ${describeAction(action)}`);
    },
    onProgress: (done, total) => progress.update(done, total),
  }).finally(() => {
    progress.clear();
    interrupt.forget();
  });
}

function showReport({ lostDirectory, rebuilt }: RepairReport, flags: RepairFlags): void {
  if (flags.json === true) {
    printLine(JSON.stringify({ type: "repaired", lostDirectory, rebuilt }));
    return;
  }
  if (rebuilt !== undefined) {
    const { queueCount, queueEntryCount, lostEntryCount, leftOutCount, indexKeyCount } = rebuilt;
    printLine(
      `rebuilt ${formatCount(queueCount)} queues with ${formatCount(queueEntryCount)} entries, and ${formatCount(indexKeyCount)} keys of the index`,
    );
    if (lostEntryCount > 0) printLine(`${formatCount(lostEntryCount)} entries stand for messages that were lost`);
    if (leftOutCount > 0)
      printLine(`${formatCount(leftOutCount)} messages are in no queue, for another one has their offset`);
  }
  printLine(`what was taken out is in ${lostDirectory}`);
}

/** A repair is over when the doctor says so. */
function verifyAgain(facts: StoreFacts, flags: RepairFlags): ExitCode {
  const json = flags.json === true;
  const { findingCounts } = runDoctor(new ReadOnlyDisk(), facts, (finding) => {
    if (finding.severity !== "info") showFinding(finding, json, false);
  });
  const left = findingCounts.error + findingCounts.warning;
  if (json) printLine(JSON.stringify({ type: "verified", findingCounts }));
  else printLine(left === 0 ? "verified: no errors, no warnings" : `verified: ${left} findings are left`);
  return left === 0 ? ExitCode.FINE : ExitCode.FINDINGS;
}
