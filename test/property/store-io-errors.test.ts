/**
 * The disk fails at its Nth operation, for every N there is: once or from then on, for want of space or for good. The
 * store then goes on, or has said why it does not; whatever it throws is a CometError. A sync that failed is never
 * asked for again on that file. After the power is cut as well, the next start finds everything that was said to be
 * durable, and serves nothing else (test/property/power-disk.ts).
 */
import { describe, expect, it } from "vitest";
import { CometError, type ErrorCode } from "#src/base/errors.js";
import type { DiskFile, Segment } from "#src/io/disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import { PutStatus } from "#src/store/types.js";
import { counted, FULL, nowAndThen } from "../crash/figures.js";
import { randomFrom } from "../crash/programs/random.mjs";
import { PowerDisk } from "./power-disk.js";
import { bodyOf, emptyPutResult, message, openStore, problemsOf, segmentPath, TickingClock } from "./store-fixture.js";

const SEGMENT_BYTES = 8 * 1024;
const STEPS = 24;

interface Fault {
  readonly at: number;
  readonly code: ErrorCode;
  readonly stays: boolean;
}

/** Counts what is done to files, and lets it fail. Reading never fails here. */
class FailingDisk extends PowerDisk {
  done = 0;
  struck = false;
  fault: Fault | undefined;
  /** Files whose sync has failed, and those asked for again. */
  readonly failedSyncs = new Set<string>();
  readonly retriedSyncs: string[] = [];

  #strike(what: string): void {
    const { fault } = this;
    this.done++;
    if (fault === undefined || (fault.stays ? this.done < fault.at : this.done !== fault.at)) return;
    this.struck = true;
    throw new CometError(fault.code, `Could not ${what}.`);
  }

  #strikeSync(path: string): void {
    // The checkpoint is written anew before each of its syncs.
    if (this.failedSyncs.has(path) && !path.endsWith("/checkpoint")) this.retriedSyncs.push(path);
    try {
      this.#strike(`sync ${path}`);
    } catch (error) {
      this.failedSyncs.add(path);
      throw error;
    }
  }

  override makeDirectory(directory: string): void {
    this.#strike(`make ${directory}`);
    super.makeDirectory(directory);
  }

  override writeAtomically(path: string, content: Uint8Array | string): void {
    this.#strike(`write ${path}`);
    super.writeAtomically(path, content);
  }

  override remove(path: string): void {
    this.#strike(`remove ${path}`);
    super.remove(path);
  }

  override async discard(path: string): Promise<void> {
    this.#strike(`discard ${path}`);
    await super.discard(path);
  }

  override rename(from: string, to: string): void {
    this.#strike(`rename ${from}`);
    super.rename(from, to);
  }

  override createSegment(path: string, sizeBytes: number): void {
    this.#strike(`make ${path}`);
    super.createSegment(path, sizeBytes);
  }

  override openFile(path: string, create: boolean): DiskFile {
    if (create) this.#strike(`open ${path}`);
    const file = super.openFile(path, create);
    const { writeAt, truncate, syncNow } = file;
    file.writeAt = (...values) => {
      this.#strike(`write ${path}`);
      writeAt.apply(file, values);
    };
    file.truncate = (sizeBytes) => {
      this.#strike(`resize ${path}`);
      truncate.call(file, sizeBytes);
    };
    file.syncNow = () => {
      this.#strikeSync(path);
      syncNow.call(file);
    };
    file.sync = async () => file.syncNow();
    return file;
  }

  override openSegment(path: string, baseOffset: number): Segment {
    const segment = super.openSegment(path, baseOffset);
    const { syncNow } = segment;
    segment.syncNow = () => {
      this.#strikeSync(path);
      syncNow.call(segment);
    };
    segment.sync = async () => segment.syncNow();
    return segment;
  }
}

interface Written {
  readonly phyOffset: number;
  readonly bytes: Buffer;
}

/** What has been put, and how much of it was said to be durable. */
interface Life {
  readonly written: Written[];
  flushed: number;
}

function put(store: MessageStore, number: number, life: Life): void {
  const queue = store.queue(number % 5 === 0 ? "payments" : "orders", number % 3);
  const result = emptyPutResult();
  const properties = { UNIQ_KEY: `unique${number}`, KEYS: `key${number}` };
  const status = store.put(message(queue, bodyOf(number, (number * 157) % 900), properties), result);
  if (status === PutStatus.PUT_OK && !store.publish()) {
    expect(store.failure).toBeDefined();
    return;
  }
  if (status !== PutStatus.PUT_OK) {
    const isFull = status === PutStatus.DISK_FULL || status === PutStatus.CREATE_MAPPED_FILE_FAILED;
    expect([status, isFull || store.failure !== undefined]).toEqual([status, true]);
    return;
  }
  const { phyOffset, sizeBytes } = result;
  const segment = store.disk.readFile(segmentPath(SEGMENT_BYTES, Math.floor(phyOffset / SEGMENT_BYTES)))!;
  life.written.push({ phyOffset, bytes: segment.subarray(phyOffset % SEGMENT_BYTES).subarray(0, sizeBytes) });
}

async function attempt<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    expect(error).toBeInstanceOf(CometError);
    return undefined;
  }
}

/** A store's life up to its close, in which the disk fails once it has done `fault.at` things. */
async function live(disk: FailingDisk, flushDiskType: "SYNC_FLUSH" | "ASYNC_FLUSH", life: Life): Promise<void> {
  const clock = new TickingClock();
  const store = await attempt(() => openStore(disk, SEGMENT_BYTES, { clock, flushDiskType }));
  if (store === undefined) return;
  life.flushed = Math.max(life.flushed, store.flushedPosition);
  for (let step = 0; step < STEPS; step++) {
    put(store, life.written.length, life);
    if (step % 4 === 3) await attempt(() => store.whenFlushed(store.maxPhyOffset));
    else await Promise.resolve();
    life.flushed = Math.max(life.flushed, store.flushedPosition);
  }
  await attempt(() => store.deleteExpired());
  await attempt(() => store.close());
}

async function check(disk: FailingDisk, life: Life, seed: number): Promise<void> {
  expect(disk.retriedSyncs).toEqual([]);
  const image = disk.crash(randomFrom(seed));
  const store = await openStore(new PowerDisk(image), SEGMENT_BYTES, { clock: new TickingClock() });
  const { records, problems } = await problemsOf(store, SEGMENT_BYTES, 5);
  expect(problems).toEqual([]);
  // What the retention has deleted, in the second life what the first one wrote.
  const kept = life.written.filter(({ phyOffset }) => phyOffset >= store.minPhyOffset);
  expect(records.map(({ phyOffset }) => phyOffset)).toEqual(
    kept.slice(0, records.length).map(({ phyOffset }) => phyOffset),
  );
  for (const { phyOffset, bytes } of kept) {
    if (phyOffset + bytes.length <= life.flushed) expect(store.lookUp.recordAt(phyOffset)).toEqual(bytes);
  }
  put(store, 777, { written: [], flushed: 0 });
  await store.close();
}

describe("a disk that fails at its Nth operation", () => {
  const faults = (["COMETMQ_IO", "COMETMQ_DISK_FULL"] as const).flatMap((code) =>
    [false, true].map((stays) => ({ code, stays })),
  );
  const cases = faults.flatMap((fault) => (["SYNC_FLUSH", "ASYNC_FLUSH"] as const).map((mode) => ({ ...fault, mode })));

  it.each(cases)(
    "$code, stays: $stays, $mode",
    async ({ code, stays, mode }) => {
      const what = `disk fails at its Nth operation: ${code}, ${stays ? "for good" : "once"}, ${mode}`;
      await counted(what, async () => {
        let count = 0;
        for (let at = 1; ; at += FULL ? 1 : 11) {
          await nowAndThen();
          // A first life in order, a second one with the fault: recovery is part of it.
          const disk = new FailingDisk();
          const life: Life = { written: [], flushed: 0 };
          await live(disk, mode, life);
          disk.fault = { at: disk.done + at, code, stays };
          await live(disk, mode, life);
          if (!disk.struck) break;
          count++;
          await check(disk, life, at).catch((error: unknown) => {
            throw new Error(`at operation ${at}`, { cause: error });
          });
        }
        expect(count).toBeGreaterThan(10);
        return count;
      });
    },
    600_000,
  );
});
