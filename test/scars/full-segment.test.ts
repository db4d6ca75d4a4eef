/**
 * A record that ends less than a blank's eight bytes before its segment's end. Neither Apache's broker nor this one writes
 * such, but whoever writes the files may: the first message put behind it failed an assertion, and the store was read-only.
 */
import { expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { encodeRecord } from "#src/record/encode.js";
import { recordBytes } from "#src/record/layout.js";
import { examineStore } from "#src/recovery/doctor.js";
import { StorePaths } from "#src/store/store-directory.js";
import { USUAL_FACTS } from "../unit/recovery/doctor-fixture.js";
import { bodiesIn } from "../unit/store/fixture.js";
import { INDEX_SIZES, openStore, put, QUEUE_FILE_BYTES, ROOT, segmentPath } from "../property/store-fixture.js";

const SEGMENT_BYTES = 4096;
const NO_BODY_BYTES = recordBytes(0, 0, 0, 1, 0);

function record(queueOffset: number, phyOffset: number, sizeBytes: number): Buffer {
  const text = `m${queueOffset}`;
  const body = Buffer.alloc(sizeBytes - NO_BODY_BYTES, ".");
  body.write(text);
  return encodeRecord({ topic: "T", queueOffset, phyOffset, storeTimestamp: 1_760_000_000_000 + queueOffset, body });
}

/** Two records that leave `rest` bytes of a segment, of ones, and `more` in a second one. */
function foreignLog(rest: number, more: number): MemoryDisk {
  const disk = new MemoryDisk();
  const first = Buffer.alloc(SEGMENT_BYTES, 1);
  record(0, 0, 1000).copy(first);
  record(1, 1000, SEGMENT_BYTES - 1000 - rest).copy(first, 1000);
  disk.makeDirectory(`${ROOT}/commitlog`);
  disk.writeAtomically(segmentPath(SEGMENT_BYTES, 0), first);
  const second = Buffer.alloc(SEGMENT_BYTES);
  for (let i = 0; i < more; i++) record(2 + i, SEGMENT_BYTES + i * 200, 200).copy(second, i * 200);
  if (more > 0) disk.writeAtomically(segmentPath(SEGMENT_BYTES, 1), second);
  return disk;
}

const cases = [1, 2, 3, 4, 5, 6, 7].flatMap((rest) => [
  { rest, more: 0 },
  { rest, more: 3 },
]);

test.each(cases)("$rest bytes left, $more records in the next segment", async ({ rest, more }) => {
  const disk = foreignLog(rest, more);
  const facts = {
    ...USUAL_FACTS,
    places: new StorePaths(ROOT, undefined),
    segmentBytes: SEGMENT_BYTES,
    queueFileBytes: QUEUE_FILE_BYTES,
    indexSizes: INDEX_SIZES,
    deletedTopics: new Map<string, number>(),
  };
  const findings = [...examineStore({ disk, clock: systemClock, facts, isConfig: () => true })];
  expect(findings.filter(({ code }) => code.startsWith("log.")).map(({ code }) => code)).toEqual(["log.blank"]);
  for (const recovery of [undefined, "apache"] as const) {
    const store = await openStore(foreignLog(rest, more), SEGMENT_BYTES, { recovery });
    const { damages, cutBytes } = store.recovery;
    // Apache's recovery ends a log of full segments in front of the last one's blank.
    expect([damages, cutBytes]).toEqual([[], recovery === "apache" && more === 0 ? rest : 0]);
    const before = bodiesIn(store, "T", 0).length;
    for (let i = 0; i < 5; i++) put(store, "T", 0, Buffer.alloc(1000, "x"));
    await store.settled();
    const bodies = bodiesIn(store, "T", 0);
    expect([bodies.length, bodies[1]!.slice(0, 3)]).toEqual([before + 5, "m1."]);
    expect(store.failure).toBeUndefined();
    await store.close();
  }
});
