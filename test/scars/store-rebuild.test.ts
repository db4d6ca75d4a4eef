/**
 * Queues, index and notes that are lost, cut short, too long or from another time. All of them are derived from the log,
 * so after the next start everything is as it was: the queues equal the log, and every key leads to its messages. The
 * log is long enough for a start that trusts its notes to read only the end of it.
 */
import { describe, expect, it } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import { counted, FULL } from "../crash/figures.js";
import type { LogRecord } from "../crash/programs/verify.mjs";
import {
  diskOf,
  type DiskImage,
  imageOf,
  openStore,
  problemsOf,
  putNumbered,
  QUEUE_FILE_BYTES,
  ROOT,
  TickingClock,
} from "../property/store-fixture.js";

const SEGMENT_BYTES = 1024 * 1024;
const MESSAGES = 1600;
const UNIT_BYTES = 20;
const QUEUE = `${ROOT}/consumequeue/orders/1`;
const BLANK_UNIT = Buffer.from("00000000000000007fffffff0000000000000000", "hex");

type Image = Map<string, Buffer>;

function fillTo(store: MessageStore, from: number, to: number): void {
  for (let number = from; number < to; number++) putNumbered(store, number, number % 50 === 0 ? 60_000 : 5000);
}

async function buildBase() {
  const disk = new MemoryDisk();
  const clock = new TickingClock();
  let store = await openStore(disk, SEGMENT_BYTES, { clock });
  fillTo(store, 0, 300);
  await store.close();
  const early = imageOf(disk);
  store = await openStore(disk, SEGMENT_BYTES, { clock });
  fillTo(store, 300, MESSAGES - 40);
  await store.close();
  const closedBefore = imageOf(disk);
  store = await openStore(disk, SEGMENT_BYTES, { clock });
  fillTo(store, MESSAGES - 40, MESSAGES);
  const { records, problems } = await problemsOf(store, SEGMENT_BYTES);
  expect(problems).toEqual([]);
  // The notes are those of the start: the last forty messages are not noted.
  const aborted = imageOf(disk);
  await store.close();
  return { early, closedBefore, aborted, closed: imageOf(disk), records };
}

function filesOf(image: Image, directory: string): string[] {
  return [...image.keys()].filter((path) => path.startsWith(`${directory}/`)).sort();
}

function removeAll(image: Image, directory: string): void {
  for (const path of filesOf(image, directory)) image.delete(path);
}

function removeFile(image: Image, directory: string, index: number): void {
  const path = filesOf(image, directory).at(index)!;
  expect(path).toBeDefined();
  image.delete(path);
}

/** The queue's files as one run of bytes, changed and written back. */
function changeQueue(image: Image, change: (bytes: Buffer, unitCount: number) => Buffer | undefined): void {
  const files = filesOf(image, QUEUE);
  const bytes = Buffer.concat(files.map((path) => image.get(path)!));
  let unitCount = 0;
  while (unitCount < bytes.length / UNIT_BYTES && bytes.readInt32BE(unitCount * UNIT_BYTES + 8) !== 0) unitCount++;
  const changed = change(bytes, unitCount) ?? bytes;
  for (let at = 0; at < changed.length; at += QUEUE_FILE_BYTES) {
    const path = `${QUEUE}/${String(at).padStart(20, "0")}`;
    image.set(path, Buffer.alloc(QUEUE_FILE_BYTES));
    changed.copy(image.get(path)!, 0, at);
  }
}

function zeroUnits(image: Image, fromEnd: number, count: number): void {
  changeQueue(image, (bytes, units) => {
    bytes.fill(0, (units - fromEnd) * UNIT_BYTES, (units - fromEnd + count) * UNIT_BYTES);
    return undefined;
  });
}

function unitOf(phyOffset: number): Buffer {
  const unit = Buffer.alloc(UNIT_BYTES);
  unit.writeBigInt64BE(BigInt(phyOffset), 0);
  unit.writeInt32BE(300, 8);
  return unit;
}

/** Changes the index's files one by one. */
function changeIndex(image: Image, index: number, change: (bytes: Buffer) => void): void {
  const path = filesOf(image, `${ROOT}/index`).at(index)!;
  const bytes = Buffer.from(image.get(path)!);
  change(bytes);
  image.set(path, bytes);
}

function setNote(image: Image, fields: object): void {
  const note = JSON.parse(image.get(`${ROOT}/dispatch.checkpoint`)!.toString()) as object;
  image.set(`${ROOT}/dispatch.checkpoint`, Buffer.from(JSON.stringify({ ...note, ...fields })));
}

interface Loss {
  readonly what: string;
  /** Changes the image; answers false where it makes no sense without notes. */
  readonly hurt: (image: Image, base: Awaited<ReturnType<typeof buildBase>>) => void;
  readonly needsNote?: boolean;
  /** Only what a walk over the whole log sees: nothing that a start looks at by itself is missing. */
  readonly hidden?: boolean;
}

const LOSSES: Loss[] = [
  { what: "nothing", hurt: () => {} },
  { what: "all queues", hurt: (image) => removeAll(image, `${ROOT}/consumequeue`) },
  { what: "the index", hurt: (image) => removeAll(image, `${ROOT}/index`) },
  {
    what: "all queues and the index",
    hurt: (image) => {
      removeAll(image, `${ROOT}/consumequeue`);
      removeAll(image, `${ROOT}/index`);
    },
  },
  { what: "one topic's queues", hurt: (image) => removeAll(image, `${ROOT}/consumequeue/payments`) },
  { what: "one queue", hurt: (image) => removeAll(image, QUEUE) },
  { what: "a queue's first file", hurt: (image) => removeFile(image, QUEUE, 0) },
  {
    what: "a queue's first two files",
    hurt: (image) => {
      removeFile(image, QUEUE, 0);
      removeFile(image, QUEUE, 0);
    },
  },
  { what: "a queue's second file", hurt: (image) => removeFile(image, QUEUE, 1) },
  { what: "a queue's last but one file", hurt: (image) => removeFile(image, QUEUE, -2) },
  { what: "a queue's last file", hurt: (image) => removeFile(image, QUEUE, -1) },
  {
    what: "files of several queues",
    hurt: (image) => {
      removeFile(image, `${ROOT}/consumequeue/orders/0`, 0);
      removeFile(image, QUEUE, -1);
      removeFile(image, `${ROOT}/consumequeue/orders/2`, 2);
    },
  },
  { what: "the last 9 entries of a queue", hurt: (image) => zeroUnits(image, 9, 9) },
  { what: "the last 70 entries of a queue", hurt: (image) => zeroUnits(image, 70, 70) },
  {
    what: "all entries of a queue",
    hurt: (image) =>
      changeQueue(image, (bytes) => {
        bytes.fill(0);
        return undefined;
      }),
  },
  { what: "entries in the midst of a queue's last file", hurt: (image) => zeroUnits(image, 12, 3) },
  { what: "entries in the midst of a queue's first file", hurt: (image) => zeroUnits(image, 300, 3), hidden: true },
  {
    what: "half an entry",
    hurt: (image) =>
      changeQueue(image, (bytes, units) => {
        bytes.fill(0, (units - 1) * UNIT_BYTES + 12, units * UNIT_BYTES);
        return undefined;
      }),
  },
  {
    what: "entries that are blank",
    hurt: (image) =>
      changeQueue(image, (bytes, units) => {
        for (let i = 1; i < 4; i++) BLANK_UNIT.copy(bytes, (units - 20 * i) * UNIT_BYTES);
        return undefined;
      }),
    hidden: true,
  },
  {
    what: "a queue that goes on beyond the log",
    hurt: (image) =>
      changeQueue(image, (bytes, units) => {
        const more = Array.from({ length: 60 }, (_, i) => unitOf(20 * SEGMENT_BYTES + i * 300));
        return Buffer.concat([bytes.subarray(0, units * UNIT_BYTES), ...more]);
      }),
  },
  { what: "the first index file", hurt: (image) => removeFile(image, `${ROOT}/index`, 0) },
  { what: "an index file between others", hurt: (image) => removeFile(image, `${ROOT}/index`, 5) },
  { what: "the last index file", hurt: (image) => removeFile(image, `${ROOT}/index`, -1) },
  { what: "an index file's header", hurt: (image) => changeIndex(image, 3, (bytes) => bytes.fill(0, 0, 40)) },
  { what: "half an index file", hurt: (image) => changeIndex(image, -1, (bytes) => bytes.fill(0, 300)) },
  { what: "the checkpoint", hurt: (image) => void image.delete(`${ROOT}/checkpoint`) },
  {
    what: "the right checkpoint",
    hurt: (image, { early }) => void image.set(`${ROOT}/checkpoint`, early.get(`${ROOT}/checkpoint`)!),
  },
  {
    what: "the right dispatch.checkpoint",
    hurt: (image, { early }) =>
      void image.set(`${ROOT}/dispatch.checkpoint`, early.get(`${ROOT}/dispatch.checkpoint`)!),
  },
  {
    what: "both right notes",
    hurt: (image, { early }) => {
      for (const name of ["checkpoint", "dispatch.checkpoint"])
        image.set(`${ROOT}/${name}`, early.get(`${ROOT}/${name}`)!);
    },
  },
  {
    what: "the end of dispatch.checkpoint",
    hurt: (image) => {
      const note = image.get(`${ROOT}/dispatch.checkpoint`)!;
      image.set(`${ROOT}/dispatch.checkpoint`, note.subarray(0, note.length / 2));
    },
    needsNote: true,
  },
  {
    what: "the sense of dispatch.checkpoint's places",
    hurt: (image) => setNote(image, { position: 7_654_321, tailFrom: 1_234_567 }),
    needsNote: true,
  },
  {
    what: "entries that dispatch.checkpoint has not counted",
    hurt: (image) => {
      zeroUnits(image, 420, 420);
      setNote(image, { counts: { queueCount: 0, unitCount: 0, firstUnitSum: 0, indexEntryCount: 0 } });
    },
    needsNote: true,
  },
  {
    what: "the log that dispatch.checkpoint speaks of",
    hurt: (image) => setNote(image, { position: 40 * SEGMENT_BYTES, tailFrom: 39 * SEGMENT_BYTES }),
    needsNote: true,
  },
];

describe("a store that has lost", async () => {
  const base = await buildBase();

  async function check(image: DiskImage, records: readonly LogRecord[], findings: boolean): Promise<void> {
    const disk = diskOf(image);
    const clock = new TickingClock(1_770_000_000_000);
    let store = await openStore(disk, SEGMENT_BYTES, { clock });
    const opened = await problemsOf(store, SEGMENT_BYTES, 9);
    expect(opened.problems).toEqual([]);
    expect(opened.records).toEqual(records);
    expect(store.recovery).toMatchObject({ cutBytes: 0, lostBytes: findings ? expect.any(Number) : 0, damages: [] });
    fillTo(store, 5000, 5010);
    await store.settled();
    await store.close();
    store = await openStore(disk, SEGMENT_BYTES, { clock });
    const again = await problemsOf(store, SEGMENT_BYTES, 9);
    expect(again.problems).toEqual([]);
    expect(again.records.length).toBe(records.length + 10);
    // The notes hold again: only the log's end was read, and nothing was to be put right.
    expect(store.recovery.findings).toEqual([]);
    expect(store.recovery.fromOffset).toBeGreaterThan(0);
    await store.close();
  }

  for (const [i, { what, hurt, needsNote, hidden }] of LOSSES.entries()) {
    const withoutNotes = i % 2 === 0 ? "closed" : "aborted";
    for (const [state, hasNotes] of [
      ["closed", true],
      ["aborted", true],
      [withoutNotes, false],
    ] as const) {
      // Hidden losses: see the next test.
      if (hasNotes ? hidden : needsNote) continue;
      it(`${what}, ${state}, ${hasNotes ? "with" : "without"} notes`, async () => {
        const image = new Map(base[state]);
        hurt(image, base);
        if (!hasNotes) {
          image.delete(`${ROOT}/checkpoint`);
          image.delete(`${ROOT}/dispatch.checkpoint`);
        }
        await check(image, base.records, what.startsWith("the log that"));
      });
    }
  }

  it.each(["closed", "aborted"] as const)(
    "each derived file by itself, %s",
    async (state) => {
      const files = [...base[state].keys()].filter((path) => /\/(consumequeue|index)\/|checkpoint$/.test(path));
      expect(files.length).toBeGreaterThan(30);
      await counted(`each file but the log's lost by itself, ${state}`, async () => {
        for (const path of files.filter((_, i) => FULL || i % 6 === 0)) {
          const image = new Map(base[state]);
          image.delete(path);
          await check(image, base.records, false).catch((error: unknown) => {
            throw new Error(`without ${path}`, { cause: error });
          });
        }
        return FULL ? files.length : Math.ceil(files.length / 6);
      });
    },
    600_000,
  );

  it("entries deep in a queue while all notes hold: seen by no start, put right by a walk over the log", async () => {
    const image = new Map(base.closed);
    zeroUnits(image, 420, 3);
    const disk = diskOf(image);
    const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock(1_770_000_000_000) });
    expect((await problemsOf(store, SEGMENT_BYTES, 0)).problems.length).toBeGreaterThan(0);
    await store.close();
    disk.remove(`${ROOT}/dispatch.checkpoint`);
    await check(imageOf(disk), base.records, false);
  });

  it("the moment between its two notes", async () => {
    const image = new Map(base.closed);
    const before = base.closedBefore.get(`${ROOT}/checkpoint`)!;
    expect(before.equals(image.get(`${ROOT}/checkpoint`)!)).toBe(false);
    image.set(`${ROOT}/checkpoint`, before);
    const fields = [0, 8, 16, 24, 32].map((at) => Number(before.readBigInt64BE(at)));
    setNote(image, { checkpointBefore: fields });
    const store = await openStore(diskOf(image), SEGMENT_BYTES, { clock: new TickingClock(1_770_000_000_000) });
    expect(store.recovery.fromOffset).toBeGreaterThan(0);
    expect((await problemsOf(store, SEGMENT_BYTES, 9)).problems).toEqual([]);
    await store.close();
  });

  it("nothing, only queues were asked for that never got a message", async () => {
    const disk = diskOf(base.closed);
    const clock = new TickingClock(1_770_000_000_000);
    let store = await openStore(disk, SEGMENT_BYTES, { clock });
    for (let queueId = 0; queueId < 8; queueId++) store.queue("asked-for", queueId);
    await store.close();
    store = await openStore(disk, SEGMENT_BYTES, { clock });
    expect(store.recovery.fromOffset).toBeGreaterThan(0);
    await store.close();
  });

  it("its clock: a last message from the far future does not carry the next ones there", async () => {
    const disk = diskOf(base.closed);
    const last = base.records.at(-1)!;
    const segment = disk.openFile(`${ROOT}/commitlog/${segmentName(last.phyOffset)}`, false);
    // The high bytes of the store timestamp of a record with IPv4 hosts.
    segment.writeAt(Buffer.from([0, 1]), 0, 2, (last.phyOffset % SEGMENT_BYTES) + 56);
    const now = 1_770_000_000_000;
    const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock(now) });
    const { storeTimestamp } = putNumbered(store, 6000, 10);
    expect(storeTimestamp).toBeLessThanOrEqual(now + 25 * 3_600_000);
    await store.close();
  });
});

function segmentName(phyOffset: number): string {
  return String(phyOffset - (phyOffset % SEGMENT_BYTES)).padStart(20, "0");
}
