/** `cometmq store inspect DIR`: what a store holds, in tables and as a picture. Changes nothing. */
import { basename, dirname } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { systemClock } from "../base/clock.js";
import { FileDisk } from "../io/file-disk.js";
import { checkOutputFile } from "../io/output-file.js";
import { ReadOnlyDisk } from "../io/read-only-disk.js";
import { type StoreSurvey, surveyStore } from "../recovery/survey.js";
import { printError, printLine } from "./output.js";
import { Progress } from "./progress.js";
import { findStore } from "./store-facts.js";
import { drawStore } from "./store-picture.js";
import { drawStoreSvg } from "./store-picture-svg.js";
import { ExitCode, isTerminal, lockOrTell, runVerb, type StoreFlags, storeVerb } from "./store-run.js";
import { formatBytes, formatCount, formatTime, renderPairs, renderTable } from "./table.js";

const COLUMNS_DEFAULT = 100;
/** On a terminal; `--all` shows every row, as do pipes. */
const ROWS_SHOWN = 40;

interface InspectFlags extends StoreFlags {
  readonly count?: boolean;
  readonly picture?: boolean;
  readonly svg?: string;
  readonly all?: boolean;
  readonly queues: number;
}

export function addStoreInspectCommand(store: Command): void {
  storeVerb(store, "inspect", "show what a store holds: segments, queues, index, checkpoints")
    .option("--count", "walk the whole log: exact counts, and where it is damaged")
    .option("--picture", "draw the store even where stdout is no terminal")
    .option("--svg <file>", "write the picture as SVG")
    .option("--queues <n>", "queues in the picture, the longest first", count, 24)
    .option("--all", "all segments and queues, however many")
    .action((dir: string, flags: InspectFlags) => runVerb(() => inspect(dir, flags)));
}

function count(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError("A number from 0 to 999999 is needed.");
  return Number(text);
}

async function inspect(dir: string, flags: InspectFlags): Promise<ExitCode> {
  const disk = new ReadOnlyDisk();
  const { facts, paths, confPath } = findStore(disk, dir, flags.conf);
  checkOutputFile("--svg", flags.svg);
  const lock = lockOrTell(disk, paths.lock);
  const progress = new Progress("walking the log", formatBytes);
  const survey = surveyStore({
    disk,
    clock: systemClock,
    facts,
    count: flags.count === true,
    onProgress: (done, total) => progress.update(done, total),
  });
  progress.clear();
  lock?.release();
  if (flags.json === true) printJson(paths.root, confPath, survey);
  else printText(paths.root, confPath, survey, flags);
  if (flags.svg !== undefined) {
    const title = `${basename(dirname(paths.root))}/${basename(paths.root)}`;
    new FileDisk("file").writeAtomically(flags.svg, drawStoreSvg(survey, title, flags.queues));
    if (flags.json !== true) printError(`cometmq: the picture is in ${flags.svg}`);
  }
  const isFine = survey.holes.length === 0 && survey.wrongSizes.length === 0 && survey.damaged.count === 0;
  return isFine ? ExitCode.FINE : ExitCode.FINDINGS;
}

function printJson(directory: string, confPath: string | undefined, survey: StoreSurvey): void {
  const { segments, queues, indexFiles, holes, damaged, filled, checkpoint, dispatchCheckpoint } = survey;
  const { segmentBytes, isCounted, beginOffset, endOffset, recordCount, firstStoreTimestamp, lastStoreTimestamp } =
    survey;
  const { isAborted, abortPid, wrongSizes } = survey;
  const print = (line: object): void => printLine(JSON.stringify(line));
  print({
    type: "store",
    directory,
    conf: confPath,
    segmentBytes,
    isCounted,
    beginOffset,
    endOffset,
    recordCount,
    firstStoreTimestamp,
    lastStoreTimestamp,
    lastExit: isAborted ? "aborted" : "closed",
    abortPid,
  });
  for (const segment of segments) print({ type: "segment", ...segment });
  for (const hole of holes) print({ type: "hole", ...hole });
  for (const name of wrongSizes) print({ type: "wrongSize", name });
  for (const range of damaged) print({ type: "damaged", ...range });
  for (const range of filled) print({ type: "filler", ...range });
  for (const queue of queues) print({ type: "queue", ...queue });
  for (const file of indexFiles) print({ type: "index", ...file });
  const { verdict, physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset } = checkpoint;
  const times = { physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp };
  const { confirmPhyOffset } = checkpoint;
  print({ type: "checkpoint", verdict, ...times, masterFlushedOffset, confirmPhyOffset });
  if (dispatchCheckpoint !== undefined) print({ type: "dispatchCheckpoint", ...dispatchCheckpoint });
}

function printText(directory: string, confPath: string | undefined, survey: StoreSurvey, flags: InspectFlags): void {
  const terminal = isTerminal();
  const rowsMax = terminal && flags.all !== true ? ROWS_SHOWN : Number.POSITIVE_INFINITY;
  printLine(renderPairs([["store", directory], ...overview(survey, confPath)], terminal));
  if (terminal || flags.picture === true) {
    const columns = terminal ? process.stdout.columns : COLUMNS_DEFAULT;
    printLine(`\n${drawStore(survey, columns, flags.queues)}`);
  }
  if (survey.segments.length > 0) printLine(`\n${segmentTable(survey, terminal, rowsMax)}`);
  if (survey.queues.length > 0) printLine(`\n${queueTable(survey, terminal, rowsMax)}`);
  if (survey.indexFiles.length > 0) printLine(`\n${indexTable(survey, terminal)}`);
  for (const problem of survey.indexProblems) printLine(`index: ${problem}`);
}

function overview(survey: StoreSurvey, confPath: string | undefined): [string, string][] {
  const { checkpoint, dispatchCheckpoint, endOffset, beginOffset, filesEnd } = survey;
  const about = survey.isCounted ? "" : "about ";
  const messages = survey.queues.reduce((sum, { minOffset, maxOffset }) => sum + maxOffset - minOffset, 0);
  const pid = survey.abortPid === undefined ? "" : `, by process ${survey.abortPid}`;
  const rows: [string, string][] = [
    ["sizes from", confPath ?? "the files, and defaults"],
    ["last exit", survey.isAborted ? `not closed${pid}` : "closed"],
    ["log offsets", `${formatCount(beginOffset)} to ${formatCount(endOffset)}, files to ${formatCount(filesEnd)}`],
    ["used", `${formatBytes(endOffset - beginOffset)} in ${survey.segments.length} segments`],
    ["records", about + formatCount(survey.recordCount)],
    ["queues", `${formatCount(survey.queues.length)}, ${formatCount(messages)} messages`],
    ["first record", formatTime(survey.firstStoreTimestamp)],
    ["last record", formatTime(survey.lastStoreTimestamp)],
    ["checkpoint", checkpoint.verdict],
  ];
  if (checkpoint.verdict === "ok") {
    rows.push(["  log flushed to", formatTime(checkpoint.physicMsgTimestamp)]);
    rows.push(["  queues flushed to", formatTime(checkpoint.logicsMsgTimestamp)]);
    rows.push(["  full index to", formatTime(checkpoint.indexMsgTimestamp)]);
    rows.push(["  confirmed", formatCount(checkpoint.confirmPhyOffset)]);
  }
  if (dispatchCheckpoint !== undefined) {
    const how = dispatchCheckpoint.closed ? "closed" : "running";
    rows.push(["dispatched to", `${formatCount(dispatchCheckpoint.position)} (${how})`]);
  }
  for (const { from, to } of survey.holes) rows.push(["missing", `${formatCount(from)} to ${formatCount(to)}`]);
  for (const name of survey.wrongSizes) rows.push(["wrong size", `commitlog/${name}`]);
  let damagedBytes = 0;
  for (const { from, to } of survey.damaged) damagedBytes += to - from;
  const { count: stretches } = survey.damaged;
  if (stretches > 0)
    rows.push([
      "damaged",
      `${formatBytes(damagedBytes)} in ${formatCount(stretches)} ${stretches === 1 ? "stretch" : "stretches"}`,
    ]);
  return rows;
}

const right = "right";

function segmentTable(survey: StoreSurvey, terminal: boolean, rowsMax: number): string {
  const rows = survey.segments.map(({ name, usedBytes, recordCount, firstStoreTimestamp }) => [
    name,
    formatBytes(usedBytes),
    recordCount,
    formatTime(firstStoreTimestamp),
  ]);
  const records = survey.isCounted ? "records" : "records, about";
  const columns = [
    { head: "segment" },
    { head: "used", align: right },
    { head: records, align: right },
    { head: "first stored" },
  ] as const;
  return renderTable(columns, shortened(rows, rowsMax, 4), terminal);
}

function queueTable(survey: StoreSurvey, terminal: boolean, rowsMax: number): string {
  const rows = survey.queues.map(
    ({ topic, queueId, isBatch, minOffset, maxOffset, endPhyOffset, lastStoreTimestamp }) => [
      isBatch ? `${topic} (batch)` : topic,
      queueId,
      minOffset,
      maxOffset,
      endPhyOffset,
      formatTime(lastStoreTimestamp),
    ],
  );
  const columns = [
    { head: "topic" },
    { head: "queue", align: right },
    { head: "min", align: right },
    { head: "max", align: right },
    { head: "log offset", align: right },
    { head: "last stored" },
  ] as const;
  return renderTable(columns, shortened(rows, rowsMax, 6), terminal);
}

function indexTable(survey: StoreSurvey, terminal: boolean): string {
  const rows = survey.indexFiles.map((file) => [
    file.name,
    file.entryCount,
    `${Math.round((100 * file.entryCount) / file.entryMax)} %`,
    `${Math.round((100 * file.usedSlots) / file.slotMax)} %`,
    `${formatCount(file.beginPhyOffset)} to ${formatCount(file.endPhyOffset)}`,
    formatTime(file.endTimestamp),
  ]);
  const columns = [
    { head: "index file" },
    { head: "keys", align: right },
    { head: "full", align: right },
    { head: "slots used", align: right },
    { head: "log offsets", align: right },
    { head: "last stored" },
  ] as const;
  return renderTable(columns, rows, terminal);
}

/** The first and the last of them, and between these how many are left out. */
function shortened<T>(rows: T[][], rowsMax: number, columns: number): (T | string)[][] {
  if (rows.length <= rowsMax) return rows;
  const gap = [`… ${formatCount(rows.length - rowsMax)} more (--all)`, ...new Array<string>(columns - 1).fill("")];
  return [...rows.slice(0, rowsMax / 2), gap, ...rows.slice(-rowsMax / 2)];
}
