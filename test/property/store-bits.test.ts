/**
 * Bits flipped at random in the last 64 KiB of a log, up to eight of them at once (single ones, and what each means, are
 * test/property/store-flip.test.ts). The store opens, and whether it was closed or killed, it loses no message but those
 * that were hit: each other one is served from its queue. Nothing is served that was not written: neither a body that
 * differs, nor a record at a place where none was.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import type { MessageStore } from "#src/store/message-store.js";
import { type GetResult, GetStatus } from "#src/store/types.js";
import { counted, crashSeed, FULL, nowAndThen } from "../crash/figures.js";
import type { LogRecord } from "../crash/programs/verify.mjs";
import {
  diskOf,
  type DiskImage,
  imageOf,
  openStore,
  problemsOf,
  putNumbered,
  segmentPath,
  TickingClock,
} from "./store-fixture.js";

const SEGMENT_BYTES = 64 * 1024;
const SEGMENTS = 3;
const FLIPS_MAX = 8;
const BODIES = [12, 700, 0, 90, 3000, 37, 250, 1];

async function buildBase() {
  const disk = new MemoryDisk();
  const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });
  for (let number = 0; store.maxPhyOffset < 2.4 * SEGMENT_BYTES; number++) {
    putNumbered(store, number, BODIES[number % BODIES.length]!);
  }
  const { records, problems } = await problemsOf(store, SEGMENT_BYTES);
  expect(problems).toEqual([]);
  const killed = imageOf(disk);
  await store.close();
  const closed = imageOf(disk);
  const log = Buffer.concat(Array.from({ length: SEGMENTS }, (_, i) => killed.get(segmentPath(SEGMENT_BYTES, i))!));
  return { killed, closed, records, log };
}

type Base = Awaited<ReturnType<typeof buildBase>>;
type State = "killed" | "closed";

function imageWith(image: DiskImage, log: Buffer): DiskImage {
  const changed = new Map(image);
  for (let i = 0; i < SEGMENTS; i++) {
    changed.set(segmentPath(SEGMENT_BYTES, i), log.subarray(i * SEGMENT_BYTES, (i + 1) * SEGMENT_BYTES));
  }
  return changed;
}

/** Places of the records that are served, each as it is. */
function servedPlaces(store: MessageStore, base: Base): Set<number> {
  const places = new Set<number>();
  const result = { records: [], queueOffsets: [] } as unknown as GetResult;
  for (const queue of store.allQueues()) {
    const end = store.maxOffset(queue);
    for (let offset = store.minOffset(queue); offset < end; offset = Math.max(offset + 1, result.nextBeginOffset)) {
      const status = store.get(queue, offset, { maxCount: 32, maxBytes: 1 << 20 }, undefined, result);
      if (status !== GetStatus.FOUND) continue;
      for (const bytes of result.records) {
        const { phyOffset, body } = decodeRecord(bytes);
        const written = base.records.find((record) => record.phyOffset === phyOffset);
        expect(written, `a record at ${phyOffset}`).toBeDefined();
        expect(body.equals(decodeRecord(base.log, phyOffset).body), `the body at ${phyOffset}`).toBe(true);
        places.add(phyOffset);
      }
    }
  }
  return places;
}

/** The message in its place, with its key and body. */
function isServed(store: MessageStore, { topic, queueId, queueOffset, phyOffset, uniqueKey }: LogRecord): boolean {
  const queue = store.findQueue(topic, queueId);
  const bytes = queue === undefined ? undefined : store.lookUp.messageAt(queue, queueOffset);
  if (bytes === undefined) return false;
  const message = decodeRecord(bytes);
  return message.phyOffset === phyOffset && message.properties.get("UNIQ_KEY") === uniqueKey;
}

/** Whether a hit record is there with another queue or offset, and has taken the place of `other`. */
function isTaken(store: MessageStore, other: LogRecord, hit: readonly LogRecord[]): boolean {
  return hit.some(({ phyOffset }) => {
    const bytes = store.lookUp.recordAt(phyOffset);
    if (bytes === undefined) return false;
    const { topic, queueId, queueOffset } = decodeRecord(bytes);
    return topic === other.topic && queueId === other.queueId && queueOffset === other.queueOffset;
  });
}

async function run(base: Base, state: State, bits: readonly number[]): Promise<void> {
  await nowAndThen();
  const { phyOffset: lastOffset, sizeBytes: lastBytes } = base.records.at(-1)!;
  const end = lastOffset + lastBytes;
  const log = Buffer.from(base.log);
  for (const bit of bits) log[end - SEGMENT_BYTES + (bit >> 3)]! ^= 1 << (bit & 7);
  const store = await openStore(diskOf(imageWith(base[state], log)), SEGMENT_BYTES, {
    clock: new TickingClock(1_770_000_000_000),
  });
  const isHit = ({ phyOffset, sizeBytes }: LogRecord): boolean =>
    log.compare(base.log, phyOffset, phyOffset + sizeBytes, phyOffset, phyOffset + sizeBytes) !== 0;
  const hit = base.records.filter(isHit);
  const places = servedPlaces(store, base);
  for (const record of base.records) {
    const { phyOffset } = record;
    if (hit.includes(record) || isServed(store, record)) continue;
    expect([phyOffset, isTaken(store, record, hit) || places.has(phyOffset)]).toEqual([phyOffset, true]);
  }
  // It goes on, and what goes in comes out.
  const { phyOffset } = putNumbered(store, 9999, 40);
  await store.settled();
  expect(decodeRecord(store.lookUp.recordAt(phyOffset)!).properties.get("UNIQ_KEY")).toBe("unique9999");
  await store.close();
}

describe("bits flipped in the log's last 64 KiB", async () => {
  const base = await buildBase();
  const bit = fc.integer({ min: 0, max: SEGMENT_BYTES * 8 - 1 });
  const arbitrary = fc.array(bit, { minLength: 1, maxLength: FLIPS_MAX });

  it.each(["killed", "closed"] as const)(
    "in a store that was %s",
    async (state) => {
      const seed = crashSeed();
      const numRuns = FULL ? 10_000 : 250;
      const check = async () => {
        const property = fc.asyncProperty(arbitrary, (bits) => run(base, state, [...new Set(bits)]));
        await fc.assert(property, { numRuns, seed });
        return numRuns;
      };
      await counted(`bits flipped in the last 64 KiB, ${state}`, check, seed);
    },
    3_600_000,
  );
});
