/**
 * Power cuts: a store on a disk that keeps only some of what was not synced (see power-disk.ts). It always opens; what
 * had been flushed is there to the byte; of what had not, some first part is there, with the bodies that were written;
 * queues and index equal the log.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeRecord } from "#src/record/decode.js";
import type { MessageStore } from "#src/store/message-store.js";
import { counted, crashSeed, nextTurn } from "../crash/figures.js";
import { randomFrom, type Random } from "../crash/programs/random.mjs";
import type { LogRecord } from "../crash/programs/verify.mjs";
import { PowerDisk } from "./power-disk.js";
import { openStore, problemsOf, putNumbered, segmentPath, TickingClock } from "./store-fixture.js";

const SEGMENT_BYTES = 16 * 1024;

interface Written {
  readonly phyOffset: number;
  readonly bytes: Buffer;
}

class Life {
  readonly clock = new TickingClock();
  /** What is in the log, as far as it is known; the last of it may get lost. */
  written: Written[] = [];
  number = 0;

  put(store: MessageStore, random: Random): void {
    this.checkVisible(store);
    const bytes = random.integer(0, random.chance(0.1) ? 6000 : 300);
    const { phyOffset, sizeBytes } = putNumbered(store, this.number++, bytes);
    expect(store.publish()).toBe(true);
    const segment = store.disk.readFile(segmentPath(SEGMENT_BYTES, Math.floor(phyOffset / SEGMENT_BYTES)))!;
    const start = phyOffset % SEGMENT_BYTES;
    this.written.push({ phyOffset, bytes: segment.subarray(start, start + sizeBytes) });
  }

  /** With SYNC_FLUSH nobody sees what a power cut could still take. */
  checkVisible(store: MessageStore): void {
    if (!store.syncFlush) return;
    expect(store.dispatchedPosition).toBeLessThanOrEqual(store.flushedPosition);
    for (const queue of store.allQueues()) {
      const last = store.maxOffset(queue) - 1;
      const record = last < 0 ? undefined : store.lookUp.messageAt(queue, last);
      if (record === undefined) expect(last).toBe(-1);
      else expect(decodeRecord(record).phyOffset + record.length).toBeLessThanOrEqual(store.flushedPosition);
    }
  }

  /** After a crash with the log durable up to `flushed`. */
  check(store: MessageStore, records: readonly LogRecord[], flushed: number): void {
    expect(records.map(({ phyOffset }) => phyOffset)).toEqual(
      this.written.slice(0, records.length).map(({ phyOffset }) => phyOffset),
    );
    for (const [i, { phyOffset, bytes }] of this.written.entries()) {
      const record = store.lookUp.recordAt(phyOffset);
      if (phyOffset + bytes.length <= flushed) expect(record).toEqual(bytes);
      else if (i < records.length) expect(decodeRecord(record!).body).toEqual(decodeRecord(bytes).body);
    }
    this.written = records.map(({ phyOffset }) => ({
      phyOffset,
      bytes: Buffer.from(store.lookUp.recordAt(phyOffset)!),
    }));
  }
}

async function live(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const life = new Life();
  const flushDiskType = random.chance(0.5) ? "SYNC_FLUSH" : "ASYNC_FLUSH";
  let disk = new PowerDisk();
  const open = () => openStore(disk, SEGMENT_BYTES, { clock: life.clock, flushDiskType });
  let store = await open();
  for (let step = random.integer(2, 9); step > 0; step--) {
    for (let count = random.integer(0, 30); count > 0; count--) {
      life.put(store, random);
      if (flushDiskType === "SYNC_FLUSH" && random.chance(0.5)) await nextTurn();
      if (random.chance(0.05)) await store.whenFlushed(store.maxPhyOffset);
    }
    if (random.chance(0.3)) {
      await store.close();
      store = await open();
      const { records, problems } = await problemsOf(store, SEGMENT_BYTES, 9);
      expect(problems).toEqual([]);
      life.check(store, records, Number.MAX_SAFE_INTEGER);
    }
    if (random.chance(0.15)) {
      // Only the process is killed: nothing is lost, and all that was recovered counts as flushed from then on.
      store = await open();
      const { records, problems } = await problemsOf(store, SEGMENT_BYTES, 9);
      expect(problems).toEqual([]);
      expect(store.recovery.aborted).toBe(true);
      life.check(store, records, Number.MAX_SAFE_INTEGER);
    }
    await nextTurn();
    if (!random.chance(0.6)) continue;
    const flushed = store.flushedPosition;
    const image = disk.crash(random);
    await store.close();
    disk = new PowerDisk(image);
    store = await open();
    const { records, problems } = await problemsOf(store, SEGMENT_BYTES, 9);
    expect(problems).toEqual([]);
    expect(store.recovery.lostBytes).toBe(0);
    life.check(store, records, flushed);
  }
  await store.close();
}

it("survives power cuts", async () => {
  const numRuns = Number(process.env.COMETMQ_POWER_RUNS ?? 40);
  const seed = crashSeed();
  const run = async () => {
    await fc.assert(fc.asyncProperty(fc.nat(), live), { numRuns, seed });
    return numRuns;
  };
  await counted("lives with power cuts", run, seed);
}, 3_600_000);
