/**
 * Every bit of a record in the log's tail, flipped one at a time. What a start makes of it depends on the field alone,
 * and is written down in FIELDS:
 *
 *   told     it is no record any more: that one message is lost, and the log goes on behind, in a store that was closed
 *            as in one that was killed.
 *   passes   nothing tells: no CRC covers the field, as in Apache's format. The message is there with a wrong field,
 *            which may have brought it into another queue, to another offset of its queue, or into none.
 *
 * In either case the store opens, every other message is where it was, and no file grows beyond reason. One exception: a
 * queue entry that was not made yet goes to the first record that claims its place, which may be the flipped one.
 * (Stores written with enabledAppendPropCRC have a CRC over the whole record; it is not looked at on a start.)
 */
import { describe, expect, it } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import type { MessageStore } from "#src/store/message-store.js";
import { nowAndThen } from "../crash/figures.js";
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
const MESSAGES = 40;
/** Of MESSAGES: in the tail, with others of its queue before and behind it. */
const FLIPPED = 31;
const BODY_BYTES = 12;
const LONG_MS = 600_000;

type Outcome = "told" | "passes";

/** In the order of the bytes, for IPv4 hosts. The sysFlag bits 0x10 and 0x20 say that hosts are longer. */
function fieldsOf(record: LogRecord): [name: string, bytes: number, outcome: Outcome][] {
  const topicBytes = record.topic.length;
  const propertiesBytes = record.sizeBytes - 91 - BODY_BYTES - topicBytes;
  return [
    ["total size", 4, "told"],
    ["magic code", 4, "told"],
    ["body CRC", 4, "told"],
    ["queue id", 4, "passes"],
    ["flag", 4, "passes"],
    ["queue offset", 8, "passes"],
    ["physical offset", 8, "told"],
    ["sysFlag", 3, "passes"],
    ["sysFlag, low byte", 1, "passes"],
    ["born timestamp", 8, "passes"],
    ["born host", 8, "passes"],
    ["store timestamp", 8, "passes"],
    ["store host", 8, "passes"],
    ["reconsume times", 4, "passes"],
    ["prepared transaction offset", 8, "passes"],
    ["body length", 4, "told"],
    ["body", BODY_BYTES, "told"],
    ["topic length", 1, "told"],
    ["topic", topicBytes, "passes"],
    ["properties length", 2, "told"],
    ["properties", propertiesBytes, "passes"],
  ];
}

interface Flip {
  readonly name: string;
  readonly at: number;
  readonly bit: number;
  readonly outcome: Outcome;
}

function flipsOf(record: LogRecord): Flip[] {
  const flips: Flip[] = [];
  let at = 0;
  for (const [name, bytes, outcome] of fieldsOf(record)) {
    for (const end = at + bytes; at < end; at++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const isHostLength = name === "sysFlag, low byte" && (bit === 0x10 || bit === 0x20);
        flips.push({ name, at, bit, outcome: isHostLength ? "told" : outcome });
      }
    }
  }
  expect(at).toBe(record.sizeBytes);
  return flips;
}

async function buildBase() {
  const disk = new MemoryDisk();
  const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });
  for (let number = 0; number < MESSAGES; number++) putNumbered(store, number, BODY_BYTES);
  const { records } = await problemsOf(store, SEGMENT_BYTES);
  const killed = imageOf(disk);
  await store.close();
  return { killed, closed: imageOf(disk), records };
}

function flipped(image: DiskImage, record: LogRecord, { at, bit }: Flip): DiskImage {
  const path = segmentPath(SEGMENT_BYTES, 0);
  const bytes = Buffer.from(image.get(path)!);
  bytes[record.phyOffset + at]! ^= bit;
  return new Map(image).set(path, bytes);
}

function isServed(store: MessageStore, record: LogRecord): boolean {
  const queue = store.findQueue(record.topic, record.queueId);
  const bytes = queue === undefined ? undefined : store.lookUp.messageAt(queue, record.queueOffset);
  if (bytes === undefined) return false;
  const message = decodeRecord(bytes);
  return message.phyOffset === record.phyOffset && message.properties.get("UNIQ_KEY") === record.uniqueKey;
}

/** Whether the walk over the log has met a record at the place. */
function isInLog(store: MessageStore, { phyOffset }: LogRecord): boolean {
  return phyOffset < store.maxPhyOffset && store.recovery.damages.every(({ fromOffset }) => fromOffset !== phyOffset);
}

/** Whether the flipped record claims the other's place in its queue, and got it. */
function isTaken(store: MessageStore, { phyOffset }: LogRecord, other: LogRecord): boolean {
  const bytes = store.lookUp.recordAt(phyOffset);
  if (bytes === undefined || store.recovery.findings.every(({ problem }) => problem !== "queue is ahead")) return false;
  const { topic, queueId, queueOffset } = decodeRecord(bytes);
  return topic === other.topic && queueId === other.queueId && queueOffset === other.queueOffset;
}

function queueBytes(disk: MemoryDisk): number {
  let sum = 0;
  for (const [path, bytes] of imageOf(disk)) if (path.includes("/consumequeue/")) sum += bytes.length;
  return sum;
}

describe("a flipped bit", async () => {
  const base = await buildBase();
  const record = base.records[FLIPPED]!;
  const flips = flipsOf(record);

  async function run(state: "killed" | "closed", flip: Flip): Promise<void> {
    await nowAndThen();
    const disk = diskOf(flipped(base[state], record, flip));
    const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock(1_770_000_000_000) });
    await store.settled();
    const shown = `${state}: byte ${flip.at} (${flip.name}), bit ${flip.bit}`;
    expect([shown, isInLog(store, record) ? "passes" : "told"]).toEqual([shown, flip.outcome]);
    for (const [i, other] of base.records.entries()) {
      if (i === FLIPPED || isTaken(store, record, other)) continue;
      expect([shown, i, isServed(store, other)]).toEqual([shown, i, true]);
    }
    expect([shown, store.recovery.cutBytes]).toEqual([shown, 0]);
    expect(queueBytes(disk)).toBeLessThan(100_000);
    putNumbered(store, MESSAGES, BODY_BYTES);
    await store.close();
  }

  it(
    "in a store that was killed",
    async () => {
      for (const flip of flips) await run("killed", flip);
    },
    LONG_MS,
  );

  it(
    "in a store that was closed",
    async () => {
      for (const flip of flips) await run("closed", flip);
    },
    LONG_MS,
  );
});
