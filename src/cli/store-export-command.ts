/** `cometmq store export DIR`: messages as JSON lines, in the order of the log. Changes nothing. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { systemClock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { DiskFile } from "../io/disk.js";
import { FileDisk } from "../io/file-disk.js";
import { checkOutputFile } from "../io/output-file.js";
import { ReadOnlyDisk } from "../io/read-only-disk.js";
import { END_WORDS } from "../recovery/continuation.js";
import { type ExportFilter, exportMessages, type ExportReport } from "../store/export-messages.js";
import type { BodyForm } from "../store/message-line.js";
import { printError } from "./output.js";
import { Progress } from "./progress.js";
import { findStore } from "./store-facts.js";
import { ExitCode, lockOrTell, runVerb, type StoreFlags, storeVerb, writeOut } from "./store-run.js";
import { formatBytes, formatCount } from "./table.js";

const BATCH_CHARS = 256 * 1024;

interface ExportFlags extends StoreFlags {
  readonly topic?: string;
  readonly queue?: number;
  readonly from?: Bound;
  readonly to?: Bound;
  readonly key?: string;
  readonly limit?: number;
  readonly body: BodyForm;
  readonly out?: string;
}

/** Where a range begins or ends: an offset in queues, or a store time. */
type Bound = { readonly offset: number } | { readonly time: number };

export function addStoreExportCommand(store: Command): void {
  storeVerb(store, "export", "write messages as JSON lines")
    .option("--topic <topic>", "of this topic only")
    .option("--queue <id>", "of this queue only", wholeNumber)
    .option("--from <bound>", "from this queue offset, or store time (2026-01-31T12:00Z, or ms since 1970)", bound)
    .option("--to <bound>", "up to, but not including, this queue offset or store time", bound)
    .option("--key <key>", "with this unique key, or this one among its keys")
    .option("--limit <n>", "at most so many", wholeNumber)
    .addOption(
      new Option("--body <form>", "bodies as text where they are some")
        .choices(["auto", "base64", "none"])
        .default("auto"),
    )
    .option("--out <file>", "write to a file instead of stdout")
    .action((dir: string, flags: ExportFlags) => runVerb(() => run(dir, flags)));
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("A whole number is needed.");
  return Number(text);
}

/** Twelve digits are a time in ms: no queue has had so many messages yet. */
function bound(text: string): Bound {
  if (/^\d{1,11}$/.test(text)) return { offset: Number(text) };
  if (/^\d{12,15}$/.test(text)) return { time: Number(text) };
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw new InvalidArgumentError("An offset or a time like 2026-01-31T12:00Z is needed.");
  return { time };
}

function filterOf({ topic, queue, from, to, key, limit }: ExportFlags): ExportFilter {
  const filter: { -readonly [Name in keyof ExportFilter]: ExportFilter[Name] } = {};
  if (topic !== undefined) filter.topic = topic;
  if (queue !== undefined) filter.queueId = queue;
  if (key !== undefined) filter.key = key;
  if (limit !== undefined) filter.limit = limit;
  if (from !== undefined && "offset" in from) filter.fromOffset = from.offset;
  else if (from !== undefined) filter.fromTime = from.time;
  if (to !== undefined && "offset" in to) filter.toOffset = to.offset;
  else if (to !== undefined) filter.toTime = to.time;
  return filter;
}

async function run(dir: string, flags: ExportFlags): Promise<ExitCode> {
  const disk = new ReadOnlyDisk();
  const { facts, paths } = findStore(disk, dir, flags.conf);
  if (flags.out !== undefined && disk.sizeOf(flags.out) >= 0) {
    throw new CometError("COMETMQ_CONFIG", `${flags.out} exists already.`);
  }
  checkOutputFile("--out", flags.out);
  const lock = lockOrTell(disk, paths.lock);
  const progress = new Progress("reading the log", formatBytes);
  const onProgress = (done: number, total: number): void => progress.update(done, total);
  const options = { disk, clock: systemClock, facts, filter: filterOf(flags), bodyForm: flags.body, onProgress };
  const lines = exportMessages(options);
  const sink = new Sink(flags.out);
  let report: ExportReport;
  try {
    report = await drain(lines, sink);
  } catch (error) {
    sink.drop();
    throw error;
  } finally {
    progress.clear();
    sink.close();
    lock?.release();
  }
  if (flags.out !== undefined) printError(`cometmq: ${formatCount(report.messageCount)} messages in ${flags.out}`);
  const left = leftOut(report);
  for (const what of [...doubts(report), ...left]) printError(`cometmq: ${what}`);
  return left.length === 0 ? ExitCode.FINE : ExitCode.FINDINGS;
}

/** What is there all the same, for a broker would give it to consumers. */
function doubts({ wrongPropertyCrcCount: count }: ExportReport): string[] {
  if (count === 0) return [];
  return [`${count === 1 ? "1 message has" : `${formatCount(count)} messages have`} no __CRC32# that fits: kept`];
}

function leftOut({ damagedCount, damagedBytes, end }: ExportReport): string[] {
  const left: string[] = [];
  if (damagedCount > 0) {
    const stretches = damagedCount === 1 ? "1 damaged stretch" : `${formatCount(damagedCount)} damaged stretches`;
    left.push(`passed over ${stretches} of ${formatBytes(damagedBytes)}`);
  }
  const ending = end?.ending;
  if (end === undefined || ending === undefined) return left;
  if (ending.refusal !== undefined) return [...left, `the store will not open: ${ending.refusal}`];
  const { cutBytes } = ending.tail;
  if (cutBytes === 0) return left;
  const records = end.staleCount === 1 ? "1 whole record" : `${formatCount(end.staleCount)} whole records`;
  const what = `${formatBytes(cutBytes)} behind the log's end at ${end.endOffset} (${END_WORDS[ending.reason]})`;
  return [...left, `left out ${what}, with ${records}: opening the store moves them to lost+found`];
}

async function drain(lines: Generator<object, ExportReport>, sink: Sink): Promise<ExportReport> {
  let held = "";
  for (let step = lines.next(); ; step = lines.next()) {
    if (step.done === true) {
      await sink.write(held);
      return step.value;
    }
    held += `${JSON.stringify(step.value)}\n`;
    if (held.length < BATCH_CHARS) continue;
    await sink.write(held);
    held = "";
  }
}

class Sink {
  readonly #file: DiskFile | undefined;
  readonly #path: string | undefined;
  #position = 0;

  constructor(path: string | undefined) {
    this.#path = path;
    this.#file = path === undefined ? undefined : new FileDisk("file").openFile(path, true);
  }

  async write(text: string): Promise<void> {
    if (text === "") return;
    if (this.#file === undefined) return writeOut(text);
    const bytes = Buffer.from(text, "utf8");
    this.#file.writeAt(bytes, 0, bytes.length, this.#position);
    this.#position += bytes.length;
  }

  /** What failed before there was anything leaves nothing. */
  drop(): void {
    if (this.#path !== undefined && this.#position === 0) new FileDisk("file").remove(this.#path);
  }

  close(): void {
    this.#file?.close();
  }
}
