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

const SEGMENT_BYTES = 64 * 1024;
const MESSAGES = 250;

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
        if (name === "window") onWrite();
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

async function buildBase() {
  const disk = new MemoryDisk();
  const clock = new TickingClock();
  let store = await openStore(disk, SEGMENT_BYTES, { clock });
  for (let number = 0; number < MESSAGES - 50; number++) putNumbered(store, number, (number % 13) * 40);
  await store.close();
  store = await openStore(disk, SEGMENT_BYTES, { clock });
  for (let number = MESSAGES - 50; number < MESSAGES; number++) putNumbered(store, number, (number % 13) * 40);
  const { records, problems } = await problemsOf(store, SEGMENT_BYTES);
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
  "a queue goes on beyond the log": (image) => {
    const path = files(image, "consumequeue/orders/0").at(-1)!;
    const bytes = Buffer.alloc(QUEUE_FILE_BYTES);
    for (let at = 0; at < QUEUE_FILE_BYTES; at += 20) {
      bytes.writeBigInt64BE(BigInt(50 * SEGMENT_BYTES + at), at);
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
      const bytes = image.get(segmentPath(SEGMENT_BYTES, i));
      const end = bytes?.findLastIndex((byte) => byte !== 0) ?? -1;
      if (end > 400) {
        bytes!.fill(0xa5, end - 100, end + 300);
        return;
      }
    }
  },
};

function copyOf(image: DiskImage): Image {
  return new Map([...image].map(([path, bytes]) => [path, Buffer.from(bytes)]));
}

/** Names and times that differ from run to run are not part of what a store is. */
async function stateOf(image: DiskImage) {
  const disk = diskOf(copyOf(image));
  const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock(1_770_000_000_000) });
  const { records, problems } = await problemsOf(store, SEGMENT_BYTES, 7);
  const { endOffset } = store.recovery;
  await store.close();
  return { problems, keys: records.map(({ uniqueKey }) => uniqueKey), endOffset };
}

describe("killed while it recovers", async () => {
  const base = await buildBase();

  for (const [what, hurt] of Object.entries(HURTS)) {
    for (const state of ["aborted", "closed"] as const) {
      it(`${what}, the store was ${state}`, async () => {
        const image = copyOf(base[state]);
        hurt(image);
        const wanted = await stateOf(image);
        expect(wanted.problems).toEqual([]);
        const snapshots: DiskImage[] = [];
        const inner = diskOf(copyOf(image));
        const disk = watched(inner, () => snapshots.push(copyOf(imageOf(inner))));
        const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock(1_770_000_000_000) });
        const recoveryWrites = snapshots.length;
        await store.close();
        expect(recoveryWrites).toBeGreaterThan(0);
        for (let i = 0; i < recoveryWrites; i++) {
          expect([i, await stateOf(snapshots[i]!)]).toEqual([i, wanted]);
        }
      });
    }
  }
});
