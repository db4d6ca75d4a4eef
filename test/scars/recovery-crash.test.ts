/**
 * A process that is killed while it recovers a store: at every single write of a recovery the disk's content is kept, and
 * a store is opened on that. It has to become what the undisturbed recovery makes.
 */
import { describe, expect, it } from "vitest";
import type { Disk, DiskFile, Segment } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import {
  diskOf,
  type DiskImage,
  imageOf,
  openStore,
  problemsOf,
  putNumbered,
  QUEUE_FILE_BYTES,
  ROOT,
  segmentPath,
  TickingClock,
} from "../property/store-fixture.js";

interface Size {
  readonly segmentBytes: number;
  readonly messages: number;
  readonly bytesOf: (number: number) => number;
  /** Moments of a recovery that are tried, of all there are. */
  readonly momentsMax: number;
  readonly indexEnabled: boolean;
}

const SMALL: Size = {
  segmentBytes: 64 * 1024,
  messages: 250,
  bytesOf: (number) => (number % 13) * 40,
  momentsMax: Number.MAX_SAFE_INTEGER,
  indexEnabled: true,
};
/**
 * Long enough for a start that trusts its notes to read only the end of the log. Without an index nothing but the notes
 * tells that it was killed while it made queues again.
 */
const LARGE: Size = {
  segmentBytes: 1024 * 1024,
  messages: 1600,
  bytesOf: (number) => (number % 50 === 0 ? 60_000 : 5000),
  momentsMax: 12,
  indexEnabled: false,
};

/** Calls `onWrite` before each change to what lies on `inner`. */
function watched(inner: MemoryDisk, onWrite: () => void): Disk {
  const file = (opened: DiskFile): DiskFile =>
    new Proxy(opened, {
      get(target, name: keyof DiskFile) {
        if (name === "writeAt" || name === "truncate") onWrite();
        const member = target[name];
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
  const segment = (opened: Segment): Segment =>
    new Proxy(opened, {
      get(target, name: keyof Segment) {
        if (name === "write") onWrite();
        const member = target[name];
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
  const changing = new Set(["writeAtomically", "remove", "rename", "createSegment"]);
  return new Proxy(inner as Disk, {
    get(target, name: keyof Disk) {
      if (changing.has(name)) onWrite();
      if (name === "openFile") {
        return (path: string, create: boolean) => {
          if (create) onWrite();
          return file(target.openFile(path, create));
        };
      }
      if (name === "openSegment") {
        return (...args: Parameters<Disk["openSegment"]>) => segment(target.openSegment(...args));
      }
      const member = target[name];
      return typeof member === "function" ? (member as (...args: unknown[]) => unknown).bind(target) : member;
    },
  });
}

async function buildBase({ segmentBytes, messages, bytesOf, indexEnabled }: Size) {
  const disk = new MemoryDisk();
  const clock = new TickingClock();
  let store = await openStore(disk, segmentBytes, { clock, indexEnabled });
  for (let number = 0; number < messages - 50; number++) putNumbered(store, number, bytesOf(number));
  await store.close();
  store = await openStore(disk, segmentBytes, { clock, indexEnabled });
  for (let number = messages - 50; number < messages; number++) putNumbered(store, number, bytesOf(number));
  const { records, problems } = await problemsOf(store, segmentBytes, indexEnabled ? 50 : 0);
  expect(problems).toEqual([]);
  const image = imageOf(disk);
  await store.close();
  return { aborted: image, closed: imageOf(disk), records };
}

type Image = Map<string, Buffer>;

function files(image: Image, directory: string): string[] {
  return [...image.keys()].filter((path) => path.startsWith(`${ROOT}/${directory}/`)).sort();
}

const HURTS: Record<string, (image: Image) => void> = {
  "nothing is lost": () => {},
  "queues lack files": (image) => {
    image.delete(files(image, "consumequeue/orders/0")[0]!);
    image.delete(files(image, "consumequeue/orders/1")[1]!);
    image.delete(files(image, "consumequeue/orders/2").at(-1)!);
    for (const path of files(image, "consumequeue/payments/1")) image.delete(path);
  },
  "a queue lacks its first file": (image) => void image.delete(files(image, "consumequeue/orders/0")[0]!),
  "a queue lacks a file between others": (image) => void image.delete(files(image, "consumequeue/orders/1")[1]!),
  "a queue goes on beyond the log": (image) => {
    const path = files(image, "consumequeue/orders/0").at(-1)!;
    const bytes = Buffer.alloc(QUEUE_FILE_BYTES);
    for (let at = 0; at < QUEUE_FILE_BYTES; at += 20) {
      bytes.writeBigInt64BE(BigInt(2 ** 40 + at), at);
      bytes.writeInt32BE(100, at + 8);
    }
    image.set(path.slice(0, -20) + String(Number(path.slice(-20)) + QUEUE_FILE_BYTES).padStart(20, "0"), bytes);
  },
  "the index is lost in part": (image) => {
    image.delete(files(image, "index")[1]!);
    image.get(files(image, "index").at(-1)!)!.fill(0, 600);
  },
  "entries are lost in the midst": (image) => {
    const path = files(image, "consumequeue/orders/1").at(-1)!;
    image.get(path)!.fill(0, 20, 60);
  },
  "the log's end is torn": (image) => {
    for (let i = 3; i > 0; i--) {
      const bytes = image.get(segmentPath(SMALL.segmentBytes, i));
      const end = bytes?.findLastIndex((byte) => byte !== 0) ?? -1;
      if (end > 400) {
        bytes!.fill(0xa5, end - 100, end + 300);
        return;
      }
    }
  },
};

const LONG = ["queues lack files", "a queue lacks its first file", "a queue lacks a file between others"];

function copyOf(image: DiskImage): Image {
  return new Map([...image].map(([path, bytes]) => [path, Buffer.from(bytes)]));
}

async function stateOf(image: DiskImage, { segmentBytes, indexEnabled }: Size) {
  const disk = diskOf(copyOf(image));
  const store = await openStore(disk, segmentBytes, { clock: new TickingClock(1_770_000_000_000), indexEnabled });
  const { records, problems } = await problemsOf(store, segmentBytes, indexEnabled ? 7 : 0);
  const { endOffset } = store.recovery;
  await store.close();
  return { problems, keys: records.map(({ uniqueKey }) => uniqueKey), endOffset };
}

/** Opens the store; answers how many writes that took, and the disk's content before each that `wanted` asks for. */
async function recovered(image: DiskImage, { segmentBytes, indexEnabled }: Size, wanted: (write: number) => boolean) {
  const snapshots: DiskImage[] = [];
  const inner = diskOf(copyOf(image));
  let writes = 0;
  const disk = watched(inner, () => {
    if (wanted(writes++)) snapshots.push(copyOf(imageOf(inner)));
  });
  const store = await openStore(disk, segmentBytes, { clock: new TickingClock(1_770_000_000_000), indexEnabled });
  const result = { writes, snapshots: snapshots.slice() };
  await store.close();
  return result;
}

async function check(image: DiskImage, size: Size): Promise<void> {
  const wanted = await stateOf(image, size);
  expect(wanted.problems).toEqual([]);
  const { writes } = await recovered(image, size, () => false);
  expect(writes).toBeGreaterThan(0);
  const step = Math.max(1, Math.floor(writes / size.momentsMax));
  const { snapshots } = await recovered(image, size, (write) => write % step === 0);
  for (const [i, snapshot] of snapshots.entries()) {
    expect([i * step, await stateOf(snapshot, size)]).toEqual([i * step, wanted]);
  }
}

describe("killed while it recovers", async () => {
  const small = await buildBase(SMALL);
  const large = await buildBase(LARGE);

  for (const [what, hurt] of Object.entries(HURTS)) {
    for (const state of ["aborted", "closed"] as const) {
      it(`${what}, the store was ${state}`, async () => {
        const image = copyOf(small[state]);
        hurt(image);
        await check(image, SMALL);
      });
    }
  }

  for (const what of LONG) {
    it(`${what}, the log is long`, async () => {
      const image = copyOf(large.closed);
      HURTS[what]!(image);
      await check(image, LARGE);
    });
  }
});
