/**
 * Whatever is written over a store's log, the doctor comes to the end, sees every record that was not touched, and a
 * repair serves all of these again.
 */
import { cpSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { SEGMENT_BYTES, SmallStore } from "../unit/recovery/doctor-fixture.js";

const COUNT = 60;
/** What no repair can mend, or need: a header that says something else, but something possible. */
const LEFT_BEHIND = new Set([
  "queue.name",
  "queue.taken-offsets",
  "queue.impossible-offset",
  "queue.entries-missing",
  "log.blank",
]);

let original: SmallStore;
let usedBytes: number;

beforeAll(async () => {
  original = await SmallStore.make(COUNT);
  usedBytes = original.examine().report.endOffset;
});

function copyOf(store: SmallStore): SmallStore {
  const copy = new SmallStore();
  cpSync(store.directory, copy.directory, { recursive: true });
  copy.messages.push(...store.messages);
  return copy;
}

interface Write {
  readonly at: number;
  readonly bytes: Uint8Array;
}

const write = fc.record({
  at: fc.integer({ min: 0, max: 20_000 }).map((at) => at),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
    fc.integer({ min: 1, max: 600 }).map((length) => new Uint8Array(length)),
    fc.integer({ min: 1, max: 300 }).map((length) => new Uint8Array(length).fill(0xda)),
  ),
});

/** The part of a write that lies in the used log and in one segment. */
function fitted({ at, bytes }: Write): Write {
  const start = at % usedBytes;
  const end = Math.min(start + bytes.length, usedBytes, start - (start % SEGMENT_BYTES) + SEGMENT_BYTES);
  return { at: start, bytes: bytes.subarray(0, end - start) };
}

test("damage anywhere in the log", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 5 }), async (writes) => {
      const store = copyOf(original);
      const fits = writes.map(fitted);
      for (const { at, bytes } of fits) store.damage(at, bytes);
      const untouched = store.messages.filter(({ phyOffset, sizeBytes }) =>
        fits.every(({ at, bytes }) => at + bytes.length <= phyOffset || at >= phyOffset + sizeBytes),
      );
      const { report } = store.examine();
      expect(report.recordCount).toBeGreaterThanOrEqual(untouched.length);
      for (const { phyOffset } of untouched) expect(report.damaged.contains(phyOffset)).toBe(false);

      await store.repair();
      expect(store.examine().codes.filter((code) => !LEFT_BEHIND.has(code))).toEqual([]);
      const served = await store.served();
      for (const { topic, queueId, queueOffset, body } of untouched) {
        expect(served).toContain(`${topic}/${queueId}/${queueOffset} ${body}`);
      }
    }),
    { numRuns: 40 },
  );
});
