/** An overlay does what the disk below would have done, and the disk below notices nothing. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Disk } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { OverlayDisk } from "#src/io/overlay-disk.js";

const DIRECTORIES = ["/s", "/s/x", "/s/y"];
const PATHS = ["/s/a", "/s/b", "/s/x/a", "/s/x/b", "/s/y/a"];

const path = fc.constantFrom(...PATHS);
/** Around the pages of 4096 bytes. */
const position = fc.oneof(fc.nat(20_000), fc.constantFrom(0, 1, 4095, 4096, 4097, 8191, 8192, 12_288));
const content = fc.uint8Array({ maxLength: 9000 });

type Act = (disk: Disk) => void;

const writeAt = fc.tuple(path, position, content).map(([at, from, bytes]): Act => {
  return (disk) => {
    const file = disk.openFile(at, true);
    file.writeAt(bytes, 0, bytes.length, from);
    file.close();
  };
});
const truncate = fc.tuple(path, position).map(([at, size]): Act => {
  return (disk) => {
    const file = disk.openFile(at, true);
    file.truncate(size);
    file.close();
  };
});
const replace = fc.tuple(path, content).map(
  ([at, bytes]): Act =>
    (disk) =>
      disk.writeAtomically(at, bytes),
);
const remove = path.map(
  (at): Act =>
    (disk) =>
      disk.remove(at),
);
const rename = fc.tuple(path, path).map(([from, to]): Act => {
  return (disk) => {
    if (from !== to && disk.sizeOf(from) >= 0) disk.rename(from, to);
  };
});
const segment = fc
  .tuple(path, fc.integer({ min: 1, max: 5 }), position, content)
  .map(([at, pages, from, bytes]): Act => {
    return (disk) => {
      const sizeBytes = pages * 4096;
      if (disk.sizeOf(at) !== sizeBytes) disk.createSegment(at, sizeBytes);
      const opened = disk.openSegment(at, 0, sizeBytes, true);
      const start = from % sizeBytes;
      const length = Math.min(bytes.length, sizeBytes - start);
      opened.write(bytes, 0, length, start);
      opened.close();
    };
  });
const acts = (maxLength: number) =>
  fc.array(fc.oneof(writeAt, truncate, replace, remove, rename, segment), { maxLength });

/** What anybody can see of a disk. */
function contentOf(disk: Disk): unknown {
  return [
    DIRECTORIES.map((directory) => disk.list(directory)),
    PATHS.map((at) => [disk.sizeOf(at), disk.readFile(at)?.toString("hex")]),
  ];
}

function made(before: readonly Act[]): MemoryDisk {
  const disk = new MemoryDisk();
  for (const directory of DIRECTORIES) disk.makeDirectory(directory);
  for (const act of before) act(disk);
  return disk;
}

test("an overlay and a disk of its own come to the same", () => {
  fc.assert(
    fc.property(acts(6), acts(10), (before, after) => {
      const own = made(before);
      const below = made(before);
      const untouched = contentOf(below);
      const overlay = new OverlayDisk(below);
      for (const act of after) {
        act(own);
        act(overlay);
        expect(contentOf(overlay)).toEqual(contentOf(own));
      }
      expect(contentOf(below)).toEqual(untouched);
    }),
    { numRuns: 300 },
  );
});
