/**
 * `cometmq store dump DIR`: what comes out of a store once it has been recovered, CometMQ's way or Apache's; the recovery
 * is done in memory and changes nothing. For people a summary, with --json canonical lines: every file, record, queue,
 * message and look-up, in the form in which the answers of an Apache broker's own store can be had.
 */
import { type Command, Option } from "commander";
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";
import { ReadOnlyDisk } from "../io/read-only-disk.js";
import { parseProperties } from "../server/protocol/java-properties.js";
import { canonicalJson } from "../store/dump/line.js";
import { StoreDump } from "../store/dump/store-dump.js";
import { type LogSummary, type QueueSummary, summarizeLog, summarizeQueues } from "../store/dump/summary.js";
import { printLine } from "./output.js";
import { Progress } from "./progress.js";
import { findStore } from "./store-facts.js";
import { ExitCode, isTerminal, lockOrTell, runVerb, type StoreFlags, storeVerb, writeOut } from "./store-run.js";
import { formatBytes, formatCount, formatTime, printable, renderPairs, renderTable } from "./table.js";

interface DumpFlags extends StoreFlags {
  readonly recovery: "thorough" | "apache";
}

const CHUNK_CHARS = 64 * 1024;
const FINDINGS_SHOWN = 20;

export function addStoreDumpCommand(store: Command): void {
  storeVerb(store, "dump", "recover a store in memory and tell what it then holds")
    .addOption(
      new Option("--recovery <how>", "bring back all that the log holds, or only what Apache's recovery does")
        .choices(["thorough", "apache"])
        .default("thorough"),
    )
    .action((dir: string, flags: DumpFlags) => runVerb(() => dumpStore(dir, flags)));
}

async function dumpStore(dir: string, flags: DumpFlags): Promise<ExitCode> {
  const disk = new ReadOnlyDisk();
  const { paths, confPath } = findStore(disk, dir, flags.conf);
  const lock = lockOrTell(disk, paths.lock);
  const progress = new Progress("reading the log", formatBytes);
  const dump = await StoreDump.open({
    disk,
    directory: paths.root,
    commitLogDirectory: paths.commitLog,
    conf: readConf(disk, confPath),
    recovery: flags.recovery,
    onRecoveryProgress: ({ phyOffset, fromOffset, toOffset }) =>
      progress.update(phyOffset - fromOffset, toOffset - fromOffset),
  });
  progress.clear();
  if (flags.json === true) await writeLines(dump);
  else printSummary(paths.root, confPath, dump);
  await dump.close();
  lock?.release();
  return ExitCode.FINE;
}

function readConf(disk: Disk, path: string | undefined): ReadonlyMap<string, string> {
  if (path === undefined) return new Map();
  const text = disk.readFile(path);
  if (text === undefined) throw new CometError("COMETMQ_CONFIG", `There is no file ${path}.`);
  return parseProperties(text.toString("utf8"));
}

async function writeLines(dump: StoreDump): Promise<void> {
  const progress = new Progress("writing the log", formatBytes);
  const { minPhyOffset, maxPhyOffset } = dump.storeLine();
  const [from, to] = [Number(minPhyOffset), Number(maxPhyOffset)];
  let text = "";
  for (const line of dump.lines()) {
    text += `${canonicalJson(line)}\n`;
    if (text.length < CHUNK_CHARS) continue;
    await writeOut(text);
    text = "";
    if (line.type === "log") progress.update(Number(line.offset) - from, to - from);
    else progress.clear();
  }
  progress.clear();
  await writeOut(text);
}

function printSummary(directory: string, confPath: string | undefined, dump: StoreDump): void {
  const terminal = isTerminal();
  printLine(
    renderPairs(
      [["store", directory], ["sizes from", confPath ?? "the files, and defaults"], ...overview(dump)],
      terminal,
    ),
  );
  const { findings } = dump.recovery;
  for (const { problem, topic, queueId, queueOffset, phyOffset } of findings.slice(0, FINDINGS_SHOWN))
    printLine(`${problem}: ${printable(topic)} ${queueId} at ${queueOffset}, log offset ${phyOffset}`);
  if (findings.length > FINDINGS_SHOWN) printLine(`and ${findings.length - FINDINGS_SHOWN} more`);
  const progress = new Progress("reading the queues", formatCount);
  const queues: QueueSummary[] = [];
  const queueCount = dump.queues().length;
  for (const queue of summarizeQueues(dump)) progress.update(queues.push(queue), queueCount);
  progress.clear();
  if (queues.length > 0) printLine(`\n${queueTable(queues, terminal)}`);
}

function overview(dump: StoreDump): [string, string][] {
  const { minPhyOffset, maxPhyOffset, lastExit } = dump.storeLine();
  const { recovery } = dump;
  const rows: [string, string][] = [
    ["last exit", lastExit === "normal" ? "closed" : "not closed"],
    ["log offsets", `${formatCount(Number(minPhyOffset))} to ${formatCount(Number(maxPhyOffset))}`],
    ...logRows(summarizeLog(dump)),
    ["read from", formatCount(recovery.fromOffset)],
  ];
  if (recovery.cutBytes > 0) rows.push(["cut off", `${formatCount(recovery.cutBytes)} bytes that are no records`]);
  for (const { fromOffset, toOffset } of recovery.damages)
    rows.push(["damaged", `${formatCount(fromOffset)} to ${formatCount(toOffset)}`]);
  for (const path of recovery.foreignPaths) rows.push(["not known", path]);
  for (const { n, indexCount, beginTimestamp, endTimestamp } of dump.indexFileLines()) {
    const times = `${formatTime(Number(beginTimestamp))} to ${formatTime(Number(endTimestamp))}`;
    rows.push([`index file ${n}`, `${formatCount(Number(indexCount) - 1)} keys, ${times}`]);
  }
  return rows;
}

function logRows({
  recordCount,
  blankCount,
  wrongCrcCount,
  firstTimestamp,
  lastTimestamp,
}: LogSummary): [string, string][] {
  const wrong = wrongCrcCount === 0 ? "" : `, ${formatCount(wrongCrcCount)} with a wrong CRC`;
  return [
    ["records", `${formatCount(recordCount)} and ${formatCount(blankCount)} blanks${wrong}`],
    ["first record", formatTime(firstTimestamp)],
    ["last record", formatTime(lastTimestamp)],
  ];
}

const right = "right";

function queueTable(queues: readonly QueueSummary[], terminal: boolean): string {
  const columns = [
    { head: "topic" },
    { head: "queue", align: right },
    { head: "min", align: right },
    { head: "max", align: right },
    { head: "messages", align: right },
    { head: "no record", align: right },
    { head: "misplaced", align: right },
    { head: "first stored" },
    { head: "last stored" },
  ] as const;
  const rows = queues.map((queue) => [
    queue.cqType === "BatchCQ" ? `${queue.topic} (batch)` : queue.topic,
    queue.queueId,
    queue.minOffset,
    queue.maxOffset,
    queue.entryCount - queue.withoutRecordCount,
    queue.withoutRecordCount,
    queue.misplacedCount,
    formatTime(queue.firstTimestamp),
    formatTime(queue.lastTimestamp),
  ]);
  return renderTable(columns, rows, terminal);
}
