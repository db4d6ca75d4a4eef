/** Random lives of a queue against an array: append, flush, close, crash, cut at either end, read. */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ConsumeQueue } from "#src/consumequeue/consume-queue.js";
import type { ConsumeQueueReader } from "#src/consumequeue/consume-queue-reader.js";
import { tagsCodeOf, UNIT_BYTES, UnitBatch } from "#src/consumequeue/unit.js";
import { Fixture } from "../unit/consumequeue/queue-fixture.js";

interface Entry {
  phyOffset: number;
  sizeBytes: number;
  tagsCode: number;
}

type Step =
  | { do: "append"; sizes: number[]; tagsCode: number }
  | { do: "flush" }
  | { do: "reopen"; mode: "abnormal" | "normal" | "trusted" }
  | { do: "cut"; at: number }
  | { do: "expire"; at: number }
  | { do: "read"; from: number; count: number }
  | { do: "byTime"; at: number; upper: boolean };

const fraction = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      sizes: fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 9 }),
      tagsCode: fc.maxSafeInteger(),
    }),
  },
  { weight: 4, arbitrary: fc.constant<Step>({ do: "flush" }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("reopen" as const),
      mode: fc.constantFrom("abnormal" as const, "normal" as const, "trusted" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cut" as const), at: fraction }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("expire" as const), at: fraction }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("read" as const), from: fraction, count: fc.integer({ min: 1, max: 40 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("byTime" as const), at: fraction, upper: fc.boolean() }) },
);

/** What a queue ought to be: entries from `first` on, of which `flushed` lie in files. */
class Model {
  entries: Entry[] = [];
  first = 0;
  flushed = 0;
  min = 0;
  logFirst = 0;
  logEnd = 100;

  get max(): number {
    return this.first + this.entries.length;
  }

  /** A phyOffset somewhere in the log, on a record's edge or off it. */
  place(at: number): number {
    return this.logFirst + Math.floor(at * (this.logEnd - this.logFirst + 1));
  }
}

class Life {
  readonly model = new Model();
  readonly batch = new UnitBatch(64);
  readonly fixture: Fixture;
  queue: ConsumeQueue;
  readonly reader: ConsumeQueueReader;
  readonly unitsPerFile: number;

  constructor(unitsPerFile: number, begin: number) {
    this.unitsPerFile = unitsPerFile;
    this.fixture = new Fixture(unitsPerFile, undefined, 3, 2);
    this.queue = this.fixture.queue();
    this.reader = this.fixture.reader();
    this.model.first = begin;
    this.model.min = begin;
    this.model.flushed = begin;
    this.append([50], 1);
    this.flush();
  }

  append(sizes: number[], tagsCode: number): void {
    const { model, queue } = this;
    for (const sizeBytes of sizes) {
      const entry = { phyOffset: model.logEnd, sizeBytes, tagsCode };
      expect(queue.append(entry.phyOffset, sizeBytes, tagsCode, model.max)).toBe("appended");
      expect(queue.append(entry.phyOffset, sizeBytes, tagsCode, model.max)).toBe("known");
      model.entries.push(entry);
      model.logEnd += sizeBytes;
    }
  }

  flush(): void {
    this.queue.flush();
    this.model.flushed = this.model.max;
  }

  /** A crash loses what was not flushed; a close does not. */
  reopen(mode: "abnormal" | "normal" | "trusted"): void {
    const { model } = this;
    if (mode !== "abnormal") this.flush();
    model.entries.length = model.flushed - model.first;
    if (this.fixture.disk.list(this.reader.directory).length === 0) {
      model.entries = [];
      model.first = 0;
      model.flushed = 0;
    }
    this.queue = this.fixture.reopened(mode);
    this.queue.correctMinOffset(model.logFirst);
    model.min = this.expectedMin(0);
    this.reader.invalidate();
  }

  /**
   * First entry in the log, unless the one before is; max when there is none. Beyond the first file it is sought only
   * where the file of the one before is gone.
   */
  expectedMin(before: number): number {
    const { model } = this;
    if (before >= model.flushed) return before;
    const found = model.entries
      .slice(0, model.flushed - model.first)
      .findIndex((entry) => entry.phyOffset >= model.logFirst);
    if (found < 0) return model.flushed;
    const secondFile = this.firstFile() + this.unitsPerFile;
    const isNotSought = model.first + found >= secondFile && before >= this.firstFile();
    return isNotSought ? before : Math.max(before, model.first + found);
  }

  /** Offset of the first unit there is a file for. */
  firstFile(): number {
    return Number(this.fixture.disk.list(this.reader.directory)[0] ?? 0) / UNIT_BYTES;
  }

  cut(at: number): void {
    const { model } = this;
    const place = model.place(at);
    this.queue.truncateAfter(place);
    const last = model.entries.at(-1);
    model.entries = model.entries.filter((entry) => entry.phyOffset < place);
    if (model.entries.length === 0) model.first = this.queue.maxOffset;
    // What is left of a queue that reaches behind the cut has been flushed on the way.
    const reaches = last !== undefined && last.phyOffset + last.sizeBytes > place;
    model.flushed = reaches ? model.max : Math.min(model.flushed, model.max);
    model.min = Math.min(model.min, model.flushed);
    model.logEnd = Math.max(place, ...model.entries.map((entry) => entry.phyOffset + entry.sizeBytes));
    this.reader.invalidate();
  }

  expire(at: number): void {
    const { model } = this;
    this.flush();
    model.logFirst = model.place(at);
    this.queue.deleteExpired(model.logFirst);
    model.min = this.expectedMin(model.min);
    this.reader.closeBelow(model.min);
  }

  read(from: number, count: number): void {
    const { model, batch } = this;
    const lowest = Math.max(model.min, model.first, this.firstFile());
    const offset = lowest + Math.floor(from * (model.flushed - lowest + 1));
    const wanted = model.entries.slice(offset - model.first, Math.min(offset + count, model.flushed) - model.first);
    expect(this.reader.read(offset, count, this.queue.flushedOffset, batch)).toBe(wanted.length);
    const got = wanted.map((_, i) => ({
      phyOffset: batch.phyOffset[i]!,
      sizeBytes: batch.sizeBytes[i]!,
      tagsCode: tagsCodeOf(batch.tagsCodeHigh[i]!, batch.tagsCodeLow[i]!),
    }));
    expect(got).toEqual(wanted);
  }

  /** Store time = log offset + 1 (a time of 0 is none), so the answer can be looked up in the array. */
  byTime(at: number, upper: boolean): void {
    const { model } = this;
    if (model.min < model.first || (model.entries[model.min - model.first]?.phyOffset ?? 0) < model.logFirst) return;
    const valid = model.entries.slice(model.min - model.first, model.flushed - model.first);
    const place = model.place(at);
    const bounds = { minOffset: model.min, maxOffset: model.flushed, minPhyOffset: model.logFirst };
    const timeOf = (phyOffset: number): number => (phyOffset >= model.logFirst ? phyOffset + 1 : -1);
    const got = this.reader.offsetByTime(place + 1, upper ? "UPPER" : "LOWER", bounds, timeOf);
    const before = valid.findLastIndex((entry) => entry.phyOffset <= place);
    const after = valid.findIndex((entry) => entry.phyOffset >= place);
    const index = upper ? Math.max(before, 0) : after < 0 ? valid.length : after;
    expect(got).toBe(model.min + index);
  }

  run(step: Step): void {
    if (step.do === "append") this.append(step.sizes, step.tagsCode);
    else if (step.do === "flush") this.flush();
    else if (step.do === "reopen") this.reopen(step.mode);
    else if (step.do === "cut") this.cut(step.at);
    else if (step.do === "expire") this.expire(step.at);
    else if (step.do === "read") this.read(step.from, step.count);
    else this.byTime(step.at, step.upper);
    const { queue, model } = this;
    expect([queue.minOffset, queue.flushedOffset, queue.maxOffset]).toEqual([model.min, model.flushed, model.max]);
    expect(queue.pendingCount).toBe(model.max - model.flushed);
  }
}

it("is an array of units that survives closing and crashing", () => {
  const lives = fc.record({
    unitsPerFile: fc.integer({ min: 1, max: 7 }),
    begin: fc.integer({ min: 0, max: 15 }),
    steps: fc.array(step, { minLength: 1, maxLength: 60 }),
  });
  fc.assert(
    fc.property(lives, ({ unitsPerFile, begin, steps }) => {
      const life = new Life(unitsPerFile, begin);
      for (const one of steps) life.run(one);
    }),
    { numRuns: 400 },
  );
});
