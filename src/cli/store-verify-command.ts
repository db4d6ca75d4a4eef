/** `cometmq store verify DIR`: has the doctor examine a store, and compares digests of its segments. Changes nothing. */
import type { Command } from "commander";
import { systemClock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";
import { FileDisk } from "../io/file-disk.js";
import { checkOutputFile } from "../io/output-file.js";
import { ReadOnlyDisk } from "../io/read-only-disk.js";
import { digestFile, digestLog, formatDigests, loadHasher, parseDigests } from "../recovery/digests.js";
import { type DoctorProgress, type DoctorReport, examineStore } from "../recovery/doctor.js";
import type { Finding } from "../recovery/doctor/finding.js";
import { listLog } from "../recovery/doctor/log-files.js";
import type { StoreFacts } from "../recovery/doctor/store-facts.js";
import { printLine } from "./output.js";
import { Progress } from "./progress.js";
import { findStore, isConfigText } from "./store-facts.js";
import { ExitCode, isTerminal, runVerb, type StoreFlags, storeVerb } from "./store-run.js";
import { formatBytes, formatCount, formatTime, printable, renderPairs } from "./table.js";

interface VerifyFlags extends StoreFlags {
  readonly digests?: string;
  readonly check?: string;
  readonly info?: boolean;
}

export function addStoreVerifyCommand(store: Command): void {
  storeVerb(store, "verify", "check every record, queue entry and index entry of a store nobody uses")
    .option("--info", "show what is merely worth knowing, too")
    .option("--digests <file>", "write an xxHash64 digest of each segment to a file")
    .option("--check <file>", "compare the segments with digests written before")
    .action((dir: string, flags: VerifyFlags) => runVerb(() => verify(dir, flags)));
}

async function verify(dir: string, flags: VerifyFlags): Promise<ExitCode> {
  const disk = new ReadOnlyDisk();
  const { facts, paths } = findStore(disk, dir, flags.conf);
  checkOutputFile("--digests", flags.digests);
  const lock = disk.lock(paths.lock);
  const show = (finding: Finding): void => showFinding(finding, flags.json === true, flags.info === true);
  const report = runDoctor(disk, facts, show);
  let differing = 0;
  if (flags.check !== undefined) differing = await compareDigests(disk, facts, flags.check, flags.json === true);
  if (flags.digests !== undefined) await writeDigests(disk, facts, report, flags.digests);
  lock.release();
  if (flags.json === true) printLine(JSON.stringify({ type: "summary", ...summaryFields(report) }));
  else printLine(renderPairs(summaryRows(report, differing), isTerminal()));
  const { error, warning } = report.findingCounts;
  return error + warning + differing === 0 ? ExitCode.FINE : ExitCode.FINDINGS;
}

/** Runs the doctor with a progress bar; `onFinding` gets everything it says. */
export function runDoctor(disk: Disk, facts: StoreFacts, onFinding: (finding: Finding) => void): DoctorReport {
  const bars = {
    log: new Progress("reading the log", formatBytes),
    queues: new Progress("looking behind the queues' ends", formatCount),
    index: new Progress("following the index's chains", formatCount),
  };
  let doing: keyof typeof bars = "log";
  const onProgress = (progress: DoctorProgress): void => {
    doing = progress.doing;
    bars[doing].update(progress.done, progress.total);
  };
  const examination = examineStore({ disk, clock: systemClock, facts, isConfig: isConfigText, onProgress });
  for (let step = examination.next(); ; step = examination.next()) {
    if (step.done === true) {
      bars[doing].clear();
      return step.value;
    }
    bars[doing].clear();
    onFinding(step.value);
  }
}

export function showFinding(finding: Finding, json: boolean, info: boolean): void {
  if (json) {
    printLine(JSON.stringify({ type: "finding", ...finding }));
    return;
  }
  if (finding.severity === "info" && !info) return;
  const { severity, path, position, what, remedy } = finding;
  const place = position > 0 ? `${printable(path)} at byte ${formatCount(position)}` : printable(path);
  printLine(`${severity.padEnd(8)}${place}: ${printable(what)}`);
  if (severity !== "info") printLine(`        ${remedy}`);
}

function summaryFields(report: DoctorReport): object {
  const { damaged, filled, queuesIntoDamage, ...fields } = report;
  return { ...fields, damaged: [...damaged], filled: [...filled], queuesIntoDamage: [...queuesIntoDamage] };
}

function summaryRows(report: DoctorReport, differing: number): [string, string][] {
  const { error, warning, info } = report.findingCounts;
  const rows: [string, string][] = [
    ["segments", `${formatCount(report.segmentCount)} of ${formatBytes(report.segmentBytes)}`],
    ["log", `${formatCount(report.beginOffset)} to ${formatCount(report.endOffset)}`],
    ["sound records", `${formatCount(report.recordCount)}, ${formatBytes(report.recordBytes)}`],
    ["stored", `${formatTime(report.firstStoreTimestamp)} to ${formatTime(report.lastStoreTimestamp)}`],
    ["queues", formatCount(report.queueCount)],
    ["sound queue entries", formatCount(report.queueEntryCount)],
    ["sound index entries", `${formatCount(report.indexEntryCount)} in ${report.indexFileCount} files`],
    ["findings", `${error} errors, ${warning} warnings, ${info} notes`],
  ];
  if (differing > 0) rows.push(["digests that differ", formatCount(differing)]);
  return rows;
}

async function writeDigests(disk: Disk, facts: StoreFacts, report: DoctorReport, path: string): Promise<void> {
  const hasher = await loadHasher();
  const layout = listLog(disk, facts.places.commitLog, report.segmentBytes, report.segmentBytes);
  const progress = new Progress("hashing segments", formatCount);
  const digests = [];
  for (const digest of digestLog(disk, hasher, layout, report.endOffset)) {
    digests.push(digest);
    progress.update(digests.length, layout.files.length);
  }
  progress.clear();
  new FileDisk("file").writeAtomically(path, formatDigests(digests));
}

/** Returns how many segments differ. One that retention has removed says nothing. */
async function compareDigests(disk: Disk, facts: StoreFacts, path: string, json: boolean): Promise<number> {
  const text = disk.readFile(path);
  if (text === undefined) throw new CometError("COMETMQ_CONFIG", `There is no file ${path}.`);
  const wanted = parseDigests(text.toString("utf8"), path);
  const hasher = await loadHasher();
  const progress = new Progress("hashing segments", formatCount);
  let differing = 0;
  for (const [i, { name, bytes, xxh64 }] of wanted.entries()) {
    const segment = `${facts.places.commitLog}/${name}`;
    if (disk.sizeOf(segment) < 0) continue;
    const found = digestFile(disk, hasher, segment, name, bytes);
    progress.update(i + 1, wanted.length);
    if (found.bytes === bytes && found.xxh64 === xxh64) continue;
    differing++;
    progress.clear();
    const what = `the first ${formatCount(bytes)} bytes are not those of the digest (${xxh64}, now ${found.xxh64})`;
    if (json)
      printLine(JSON.stringify({ type: "digest", path: `commitlog/${name}`, bytes, xxh64, found: found.xxh64 }));
    else printLine(`error   commitlog/${name}: ${what}`);
  }
  progress.clear();
  return differing;
}
