/**
 * The index of pending timers on the disk: wheel, timer log and checkpoint as Apache has them, so that either broker goes
 * on where the other stopped. Everything in it can be made again from the timer topic.
 *
 * What a crash leaves: `flush` writes the log before the wheel and both are durable before the checkpoint, which is never
 * ahead. `recover` reads the units behind the checkpoint back into the wheel; it cuts units off that point beyond
 * the end of the commit log, and makes the wheel anew from the timer log where it does not fit to it.
 */
import { join } from "node:path";
import type { Logger } from "../../../base/log.js";
import type { Disk } from "../../../io/disk.js";
import { TimerCheckpoint, type TimerProgress } from "./timer-checkpoint.js";
import { TimerLog } from "./timer-log.js";
import { NO_POSITION, TimerUnit, UnitMagic } from "./timer-unit.js";
import { type Slot, TimerWheel } from "./timer-wheel.js";

/** What recovery has to know of the commit log. */
export interface LogFacts {
  readonly minPhyOffset: number;
  readonly maxPhyOffset: number;
  /** Queue offset of the record of the timer topic that begins there; undefined where there is none. */
  readonly queueOffsetOf: (phyOffset: number) => number | undefined;
}

export interface TimerIndexOptions {
  readonly disk: Disk;
  readonly root: string;
  readonly precisionMs: number;
  readonly fileBytes: number;
  readonly log: Logger;
}

interface LogEnd {
  /** Where the units begin that were looked at, and where the last of them ends. */
  readonly from: number;
  readonly end: number;
  /** The checkpoint knows of units that are not there: the topic has to be read again from the last that is. */
  readonly isLost: boolean;
}

export class TimerIndex {
  readonly wheel: TimerWheel;
  readonly checkpoint: TimerCheckpoint;
  readonly #log: Logger;
  readonly #timerLog: TimerLog;
  readonly #fileBytes: number;
  readonly #slot: Slot = { firstPosition: NO_POSITION, lastPosition: NO_POSITION, count: 0 };
  readonly #unit = new TimerUnit();

  constructor({ disk, root, precisionMs, fileBytes, log }: TimerIndexOptions) {
    this.#log = log;
    this.#fileBytes = fileBytes;
    this.#timerLog = new TimerLog(disk, join(root, "timerlog"), fileBytes, log);
    this.wheel = new TimerWheel(disk, join(root, "timerwheel"), precisionMs);
    const config = join(root, "config");
    this.checkpoint = new TimerCheckpoint(disk, config, join(config, "timercheck"));
  }

  get start(): number {
    return this.#timerLog.start;
  }

  get end(): number {
    return this.#timerLog.end;
  }

  /** Brings the files in order; answers where to go on. */
  recover(facts: LogFacts, nowMs: number): TimerProgress {
    const saved = this.checkpoint.read();
    const foundEnd = this.#timerLog.open();
    if (foundEnd === undefined) {
      this.#log.error({}, "the files of the timer log do not fit together; they are put aside, timers are read anew");
      this.#timerLog.clear(this.#fileBytes, nowMs);
      this.wheel.reset();
      return this.#begin({ readTimeMs: 0, logPosition: 0, queueOffset: 0, within: undefined }, nowMs);
    }
    const given = saved ?? { readTimeMs: 0, logPosition: 0, queueOffset: 0, within: undefined };
    const loaded = this.wheel.load(given.readTimeMs);
    const hasLog = foundEnd > this.#timerLog.start;
    const scanned = this.#findEnd(facts, given.logPosition);
    if (scanned.isLost || loaded !== "loaded" || !this.#fits(given)) {
      if (hasLog || loaded !== "missing") this.#rebuildWheel(given.readTimeMs, scanned.end);
    } else {
      this.#revise(scanned, given);
    }
    this.#timerLog.cut(scanned.end);
    this.#timerLog.removeBelow(facts.minPhyOffset);
    return this.#begin({ ...given, ...this.#queueOffset(given, scanned, facts), logPosition: scanned.end }, nowMs);
  }

  #begin(progress: TimerProgress, nowMs: number): TimerProgress {
    this.checkpoint.set(progress, nowMs);
    return progress;
  }

  /**
   * Where the timer log ends: behind its last unit whose message the commit log has. Units are looked at from the file
   * before the checkpoint's on, or from the first where the commit log has lost even messages from there.
   */
  #findEnd(facts: LogFacts, logPosition: number): LogEnd {
    const { fileBytes, start } = this.#timerLog;
    let from = Math.max(start, this.#timerLog.fileOf(Math.max(0, logPosition - fileBytes)));
    if (from >= this.#timerLog.end) from = start;
    let isCut = false;
    const within = (_: number, unit: TimerUnit) => {
      isCut = unit.phyOffset >= facts.maxPhyOffset;
      return !isCut;
    };
    let end = this.#timerLog.scan(from, within);
    while (end === from && from > start) {
      from -= fileBytes;
      end = this.#timerLog.scan(from, within);
    }
    return { from, end, isLost: !isCut && end < logPosition };
  }

  /**
   * Whether what the wheel points at is there, as far as a crash can have parted them: behind the checkpoint. The units
   * behind the end are still readable here.
   */
  #fits({ readTimeMs, logPosition }: TimerProgress): boolean {
    const slot = this.#slot;
    let fits = true;
    this.wheel.forEach(readTimeMs, slot, (timeMs) => {
      if (fits && slot.lastPosition >= logPosition) fits = this.#isLast(slot.lastPosition, timeMs);
    });
    return fits;
  }

  #isLast(position: number, slotMs: number): boolean {
    return this.#timerLog.read(position, this.#unit) && this.wheel.slotTime(this.#unit.timeMs) === slotMs;
  }

  /** Units that the wheel may not have: as Apache does, and no unit stays in it that lies behind the end. */
  #revise({ from, end }: LogEnd, { readTimeMs, logPosition, within }: TimerProgress): void {
    const slot = this.#slot;
    // Our own wheel is as new as the checkpoint: what it has no more is done with.
    const firstPosition = within === undefined ? 0 : logPosition;
    this.#timerLog.scan(from, (position, unit) => {
      if (position >= end) return false;
      if (position < firstPosition) return true;
      const slotMs = this.wheel.slotTime(unit.timeMs);
      if (slotMs < readTimeMs) return true;
      this.wheel.get(slotMs, slot);
      if (slot.lastPosition < position) this.#link(slotMs, position, unit.magic);
      return true;
    });
    this.wheel.forEach(readTimeMs, slot, (timeMs) => {
      if (slot.lastPosition >= end) this.#unlink(timeMs, end);
    });
  }

  #unlink(timeMs: number, end: number): void {
    const slot = this.#slot;
    while (slot.lastPosition >= end) {
      if (!this.#timerLog.read(slot.lastPosition, this.#unit)) break;
      slot.lastPosition = this.#unit.prevPosition < slot.lastPosition ? this.#unit.prevPosition : NO_POSITION;
      slot.count--;
    }
    if (slot.lastPosition < 0 || slot.lastPosition >= end) this.wheel.clear(timeMs);
    else this.wheel.put(timeMs, slot);
  }

  /** A slot does not lead where it should: all of them are made anew, from `readTimeMs` on. */
  rebuildWheel(readTimeMs: number): void {
    this.#rebuildWheel(readTimeMs, this.#timerLog.end);
  }

  #rebuildWheel(readTimeMs: number, end: number): void {
    this.#log.warn({ readTimeMs, end }, "the timer wheel does not fit its log, it is made anew from the log");
    this.wheel.reset();
    this.#timerLog.scan(this.#timerLog.start, (position, unit) => {
      if (position >= end) return false;
      const slotMs = this.wheel.slotTime(unit.timeMs);
      if (slotMs >= readTimeMs) this.#link(slotMs, position, unit.magic);
      return true;
    });
  }

  /** Enters the unit at `position`, which points at the slot's last one already. */
  #link(slotMs: number, position: number, magic: number): void {
    const slot = this.#slot;
    this.wheel.get(slotMs, slot);
    if (slot.firstPosition === NO_POSITION) slot.firstPosition = position;
    slot.lastPosition = position;
    slot.count += (magic & UnitMagic.DELETE) !== 0 ? -1 : 1;
    this.wheel.put(slotMs, slot);
  }

  /** Units come from the queue in its order: behind the last of them it goes on. */
  #queueOffset(given: TimerProgress, { end, isLost }: LogEnd, { queueOffsetOf }: LogFacts): { queueOffset: number } {
    const known = isLost ? 0 : given.queueOffset;
    const unseen = isLost ? 0 : given.logPosition;
    let last: number | undefined;
    const from = Math.max(this.#timerLog.start, this.#timerLog.fileOf(Math.max(0, Math.min(unseen || end, end) - 1)));
    this.#timerLog.scan(from, (position, unit) => {
      if (position >= end) return false;
      if (position >= unseen) last = unit.phyOffset;
      return true;
    });
    const offset = last === undefined ? undefined : queueOffsetOf(last);
    return { queueOffset: offset === undefined ? known : Math.max(known, offset + 1) };
  }

  /** Puts a message into the slot of `unit.timeMs`; answers its position in the timer log. */
  add(unit: TimerUnit): number {
    const slot = this.#slot;
    const slotMs = this.wheel.slotTime(unit.timeMs);
    this.wheel.get(slotMs, slot);
    unit.prevPosition = slot.lastPosition;
    const position = this.#timerLog.append(unit);
    this.#link(slotMs, position, unit.magic);
    return position;
  }

  /** Where the newest unit of a slot lies, or NO_POSITION. */
  lastOf(slotMs: number): number {
    return this.wheel.get(slotMs, this.#slot) ? this.#slot.lastPosition : NO_POSITION;
  }

  read(position: number, unit: TimerUnit): boolean {
    return this.#timerLog.read(position, unit);
  }

  /** Visits the units of the log in their order. */
  scan(from: number, visit: (position: number, unit: TimerUnit) => boolean): number {
    return this.#timerLog.scan(Math.max(from, this.#timerLog.start), visit);
  }

  /** Messages in slots from `fromMs` on, less those that are recalled. */
  pendingCount(fromMs: number): number {
    let count = 0;
    this.wheel.forEach(fromMs, this.#slot, () => {
      count += this.#slot.count;
    });
    return Math.max(0, count);
  }

  countAt(slotMs: number): number {
    return this.wheel.get(slotMs, this.#slot) ? this.#slot.count : 0;
  }

  removeBelow(minPhyOffset: number): void {
    this.#timerLog.removeBelow(minPhyOffset);
  }

  /** Log and wheel are durable before the checkpoint is written. Rejects as the disk does, and can be called again. */
  async flush(progress: Omit<TimerProgress, "logPosition">, nowMs: number): Promise<void> {
    const logPosition = this.#timerLog.end;
    const files = [...this.#timerLog.flush()];
    const wheel = this.wheel.flush();
    if (wheel !== undefined) files.push(wheel);
    for (const file of files) await file.sync();
    this.checkpoint.set({ ...progress, logPosition }, nowMs);
    await this.checkpoint.write().sync();
  }

  close(): void {
    this.#timerLog.close();
    this.wheel.close();
    this.checkpoint.close();
  }
}
