/**
 * From what the doctor found to what is to be done about it, before anything is done. Offsets are physical, so nothing
 * can be taken out of the log; what is damaged is kept in lost+found and replaced by fillers, which whoever walks the log
 * steps over. Queues and index are made anew from the log. Files nobody knows are left alone.
 */
import { BLANK_BYTES_MIN } from "../../record/layout.js";
import type { DoctorReport } from "../doctor.js";
import type { Finding, FindingCode } from "../doctor/finding.js";
import { fillerBytesMin } from "../quarantine.js";

export type RepairAction =
  /** Brings a segment to its length; what is beyond goes to lost+found. */
  | { readonly kind: "resize-segment"; readonly path: string; readonly phyOffset: number; readonly why: string }
  /** Makes the segments for a hole, each one blank. */
  | { readonly kind: "make-segments"; readonly phyOffset: number; readonly lengthBytes: number; readonly why: string }
  /** Puts fillers in place of damaged bytes. */
  | ({ readonly kind: "fill"; readonly storeTimestamp: number; readonly propertyCrc: boolean } & Stretch)
  /** Makes the rest of a segment a blank. */
  | ({ readonly kind: "blank" } & Stretch)
  /** Zeroes what lies behind the log's end. */
  | ({ readonly kind: "cut-tail" } & Stretch)
  | { readonly kind: "rebuild-queues"; readonly queues: readonly QueueName[] | "all"; readonly why: string }
  | { readonly kind: "rebuild-index"; readonly why: string }
  | { readonly kind: "write-checkpoint"; readonly why: string }
  | { readonly kind: "set-aside"; readonly path: string; readonly why: string };

interface Stretch {
  readonly path: string;
  readonly phyOffset: number;
  readonly lengthBytes: number;
  readonly why: string;
}

export interface QueueName {
  readonly topic: string;
  readonly queueId: number;
}

export interface RepairPlan {
  /** In the order in which they are done. */
  readonly actions: readonly RepairAction[];
  /** Findings that no repair can mend; info is left out. */
  readonly skipped: readonly Finding[];
  /** Why nothing is to be done at all. */
  readonly refusal: string | undefined;
}

const QUEUE_CODES: ReadonlySet<FindingCode> = new Set([
  "queue.missing",
  "queue.entries-missing",
  "queue.wrong-entries",
  "queue.no-record",
  "queue.beyond-log",
  "queue.tags",
  "queue.ext",
  "queue.stray",
  "queue.size",
  "queue.hole",
]);
const INDEX_CODES: ReadonlySet<FindingCode> = new Set([
  "index.missing",
  "index.no-record",
  "index.key",
  "index.beyond-log",
  "index.structure",
  "index.header",
  "index.empty",
]);
const DAMAGE_CODES: ReadonlySet<FindingCode> = new Set([
  "log.damage",
  "log.crc",
  "log.property-crc",
  "log.offset",
  "log.cut-short",
]);
const CHECKPOINT_CODES: ReadonlySet<FindingCode> = new Set(["checkpoint", "checkpoint.ahead", "dispatch-checkpoint"]);

/** Takes findings as they come; keeps what is to be done. */
export class RepairPlanner {
  readonly #files: RepairAction[] = [];
  readonly #damage: Finding[] = [];
  readonly #tail: RepairAction[] = [];
  readonly #queues = new Map<string, QueueName>();
  readonly #skipped: Finding[] = [];
  #indexWhy = "";
  #checkpointWhy = "";
  #abortPath = "";
  #refusal: string | undefined;

  take(finding: Finding): void {
    const { code, severity, topic, queueId, what } = finding;
    if (code === "log.unreadable") this.#refusal = "The device does not give all bytes of the log. Copy it first.";
    if (code === "log.misaligned" || code === "log.missing") this.#refusal = `${finding.path}: ${what}.`;
    if (code === "log.format") this.#refusal = what;
    if (DAMAGE_CODES.has(code)) this.#damage.push(finding);
    else if (code === "log.torn" || code === "log.stale" || isBeyondHole(finding)) this.#takeTail(finding);
    else if (code === "log.hole" || code === "log.size") this.#takeFile(finding);
    else if (QUEUE_CODES.has(code) && topic !== undefined && queueId !== undefined) {
      this.#queues.set(`${topic}/${queueId}`, { topic, queueId });
    } else if (INDEX_CODES.has(code)) this.#indexWhy ||= what;
    else if (CHECKPOINT_CODES.has(code)) this.#checkpointWhy ||= what;
    else if (code === "abort") this.#abortPath = finding.path;
    else if (severity !== "info") this.#skipped.push(finding);
  }

  #takeFile({ code, path, phyOffset, lengthBytes, what }: Finding): void {
    const offset = phyOffset!;
    if (code === "log.size") this.#files.push({ kind: "resize-segment", path, phyOffset: offset, why: what });
    else this.#files.push({ kind: "make-segments", phyOffset: offset, lengthBytes: lengthBytes!, why: what });
  }

  #takeTail({ path, phyOffset, lengthBytes, what }: Finding): void {
    if (lengthBytes! > 0) {
      this.#tail.push({ kind: "cut-tail", path, phyOffset: phyOffset!, lengthBytes: lengthBytes!, why: what });
    } else {
      // The last segment goes first: a repair that is interrupted leaves no hole.
      this.#tail.unshift({ kind: "set-aside", path, why: what });
    }
  }

  finish(report: DoctorReport): RepairPlan {
    if (this.#refusal !== undefined) return { actions: [], skipped: this.#skipped, refusal: this.#refusal };
    for (const name of report.queuesIntoDamage) {
      const slash = name.lastIndexOf("/");
      this.#queues.set(name, { topic: name.slice(0, slash), queueId: Number(name.slice(slash + 1)) });
    }
    const actions = [...this.#files];
    for (const finding of this.#damage) {
      const action = mendDamage(finding, report);
      if (action === undefined) this.#skipped.push(finding);
      else actions.push(action);
    }
    actions.push(...this.#tail);
    if (this.#queues.size > 0) {
      const why = `${this.#queues.size} queues lack entries, or have wrong ones`;
      actions.push({ kind: "rebuild-queues", queues: [...this.#queues.values()], why });
    }
    // Entries for bytes that become a blank would lead nowhere; those for fillers lead to a record that lacks the key.
    const losesRecords = actions.some(({ kind }) => kind === "blank" || kind === "make-segments");
    if (losesRecords && report.indexFileCount > 0) this.#indexWhy ||= "it has keys of messages that were lost";
    if (this.#indexWhy !== "") actions.push({ kind: "rebuild-index", why: this.#indexWhy });
    return { actions: this.#sealed(actions), skipped: this.#skipped, refusal: undefined };
  }

  /** Checkpoints of before the repair say nothing any more; a store that was mended was closed in order. */
  #sealed(actions: RepairAction[]): RepairAction[] {
    if (actions.length === 0 && this.#checkpointWhy === "" && this.#abortPath === "") return actions;
    const why = this.#checkpointWhy || "what it says was of before the repair";
    actions.push({ kind: "write-checkpoint", why });
    if (this.#abortPath !== "") {
      actions.push({ kind: "set-aside", path: this.#abortPath, why: "what it stands for is mended" });
    }
    return actions;
  }
}

/** Not the hole itself, but a segment of no use behind one. */
function isBeyondHole({ code, lengthBytes }: Finding): boolean {
  return code === "log.hole" && lengthBytes === 0;
}

function mendDamage(finding: Finding, report: DoctorReport): RepairAction | undefined {
  const { path, what } = finding;
  const phyOffset = finding.phyOffset!;
  const lengthBytes = finding.lengthBytes!;
  const stretch = { path, phyOffset, lengthBytes, why: what };
  if ((phyOffset + lengthBytes) % report.segmentBytes === 0) {
    return lengthBytes >= BLANK_BYTES_MIN ? { kind: "blank", ...stretch } : undefined;
  }
  if (lengthBytes < fillerBytesMin(report.hasPropertyCrc)) return undefined;
  const { storeTimestamp = 0 } = finding;
  return { kind: "fill", ...stretch, storeTimestamp, propertyCrc: report.hasPropertyCrc };
}

/** A plan that makes queues, or the index, anew whatever state they are in. */
export function planRebuild(queues: readonly QueueName[] | "all", index: boolean): RepairPlan {
  const actions: RepairAction[] = [];
  const why = "asked for";
  if (queues === "all" || queues.length > 0) actions.push({ kind: "rebuild-queues", queues, why });
  if (index) actions.push({ kind: "rebuild-index", why });
  return { actions, skipped: [], refusal: undefined };
}

/** One line for people. */
export function describeAction(action: RepairAction): string {
  switch (action.kind) {
    case "resize-segment":
      return `bring ${action.path} to its length`;
    case "make-segments":
      return `make blank segments for log offsets ${action.phyOffset} to ${action.phyOffset + action.lengthBytes}`;
    case "fill":
      return `put a filler in place of ${action.lengthBytes} bytes at ${action.phyOffset}`;
    case "blank":
      return `make a blank of the ${action.lengthBytes} bytes from ${action.phyOffset} to the segment's end`;
    case "cut-tail":
      return `zero ${action.lengthBytes} bytes behind the log's end at ${action.phyOffset}`;
    case "rebuild-queues":
      return action.queues === "all"
        ? "rebuild all queues from the log"
        : `rebuild from the log: ${action.queues.map(({ topic, queueId }) => `${topic} ${queueId}`).join(", ")}`;
    case "rebuild-index":
      return "rebuild the index from the log";
    case "write-checkpoint":
      return "write the checkpoint anew, set dispatch.checkpoint aside";
    case "set-aside":
      return `move ${action.path} to lost+found`;
  }
}
