/**
 * What the doctor has to say, as data: the code is stable, the table gives each its severity and what to do about it. A
 * stretch of one kind is one finding, however long it is.
 */

/** `error`: messages are lost or out of reach. `warning`: something is not as it should be. `info`: worth knowing. */
export type Severity = "error" | "warning" | "info";

const REPAIR = "`cometmq store repair` mends it.";
const REBUILD_QUEUE = "The next start adds what is missing at the end; `cometmq store repair` rebuilds the queue.";
const REBUILD_INDEX = "Look-ups by key miss messages; `cometmq store repair` rebuilds the index from the log.";
const CONF = "Give the sizes the store was written with: --conf broker.conf.";
const NOTHING = "Nothing needs to be done.";
const FILLER = "`cometmq store repair` keeps the bytes in lost+found and puts a filler in their place.";

const FINDINGS = {
  "log.damage": ["error", FILLER],
  "log.crc": ["error", FILLER],
  "log.property-crc": ["error", FILLER],
  "log.stale-crc": ["warning", "The body is intact; a broker with forceVerifyPropCRC would end the log here."],
  "log.no-crc": ["error", "A broker with forceVerifyPropCRC ends the log here: start it without, the body is intact."],
  "log.offset": ["error", FILLER],
  "log.cut-short": ["error", FILLER],
  "log.unreadable": ["error", "The device does not give these bytes: copy what can be read to another one first."],
  "log.hole": ["error", "Put the missing segments back; without them `cometmq store repair` bridges the hole."],
  "log.size": ["error", REPAIR],
  "log.misaligned": ["error", CONF],
  "log.format": [
    "error",
    "The store does not open, and nothing is changed: look at the file, another program may own it.",
  ],
  "log.missing": ["error", "Put the segments back: queues and index are of no use without them."],
  "log.torn": ["warning", "The next start cuts these bytes off and keeps them in lost+found, as does a repair."],
  "log.stale": [
    "info",
    "Left from before a cut; the next start of CometMQ puts them into lost+found, as does a repair.",
  ],
  "log.shorter": [
    "error",
    "Messages at its end are lost; what is left of them goes to lost+found, and export reads it.",
  ],
  "log.blank": ["warning", "The next segment follows all the same."],
  "log.time": ["info", "The clock was set back; look-ups by time are vague there."],
  "log.empty": ["info", "Made ahead of need, and left when the process ended."],
  "log.filler": ["info", "An earlier repair put it in place of damaged bytes, which are in lost+found."],
  "log.foreign": ["warning", "Move it elsewhere: an Apache broker does not start with a strange file here."],
  "queue.missing": ["error", REBUILD_QUEUE],
  "queue.entries-missing": ["error", REBUILD_QUEUE],
  "queue.wrong-entries": ["error", REPAIR],
  "queue.no-record": ["error", REPAIR],
  "queue.beyond-log": ["error", "The next start cuts them off, as does a repair."],
  "queue.tags": [
    "error",
    "Consumers that filter by tag miss these messages. `cometmq store repair` rebuilds the queue.",
  ],
  "queue.ext": ["error", REPAIR],
  "queue.taken-offsets": [
    "warning",
    "These messages are in no queue: another one has their offset. Export them by log offset.",
  ],
  "queue.impossible-offset": [
    "error",
    "This message is in no queue: its header was damaged. Export it by its place in the log.",
  ],
  "queue.stray": ["warning", "Bytes behind the queue's end; the next start wipes them, as does a repair."],
  "queue.size": ["error", REPAIR],
  "queue.hole": ["error", REPAIR],
  "queue.name": ["warning", "A message with such a name can be in no queue; it is reached by its id only."],
  "queue.lost-message": ["info", "The entry leads consumers over a message that was lost with damaged bytes."],
  "queue.expired": ["info", "Retention has not removed them; the next one does."],
  "queue.foreign": ["warning", "Move it elsewhere: an Apache broker does not start with a strange file here."],
  "index.missing": ["warning", REBUILD_INDEX],
  "index.no-record": ["warning", REBUILD_INDEX],
  "index.key": ["warning", REBUILD_INDEX],
  "index.beyond-log": ["warning", "The next start of CometMQ cuts them off, as does a repair."],
  "index.structure": ["warning", REBUILD_INDEX],
  "index.header": ["warning", REBUILD_INDEX],
  "index.size": ["warning", CONF],
  "index.empty": ["warning", "A file was being made; the next start removes it."],
  "index.foreign": ["info", NOTHING],
  abort: ["warning", "The last process did not close the store; the next start recovers it."],
  checkpoint: ["warning", "The next start reads the whole log, which takes longer and loses nothing."],
  "checkpoint.ahead": [
    "warning",
    "Records that were once flushed are not in the log: its end, or segments of it, were lost.",
  ],
  "dispatch-checkpoint": ["warning", "The next start reads the whole log, which takes longer and loses nothing."],
  "deleted-topics": [
    "error",
    "CometMQ does not open the store; without the file, messages of deleted topics come back.",
  ],
  config: ["error", "A broker does not understand it: put the .bak beside it, or a backup, in its place."],
  "config.bak": ["info", NOTHING],
  "file.other": ["info", "Not examined."],
  "file.foreign": ["info", "Left alone."],
} as const satisfies Record<string, readonly [Severity, string]>;

export type FindingCode = keyof typeof FINDINGS;

export interface Place {
  /** Relative to the store's directory. */
  readonly path: string;
  /** Byte in that file. */
  readonly position?: number;
  readonly phyOffset?: number;
  /** Bytes concerned, from `position` on. */
  readonly lengthBytes?: number;
  /** In the log: that of the last sound record in front of it, or of the record itself. */
  readonly storeTimestamp?: number;
  readonly topic?: string;
  readonly queueId?: number;
}

export interface Finding extends Place {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly position: number;
  readonly what: string;
  readonly remedy: string;
}

/** Collects what a checker finds until the doctor hands it on. */
export class Findings {
  readonly pending: Finding[] = [];

  add(code: FindingCode, place: Place, what: string): void {
    const [severity, remedy] = FINDINGS[code];
    this.pending.push({ code, severity, position: 0, ...place, what, remedy });
  }

  *drain(): Generator<Finding> {
    yield* this.pending.splice(0);
  }
}
