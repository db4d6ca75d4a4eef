import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Disk, DiskFile, Segment } from "#src/io/disk.js";
import { FileDisk } from "#src/io/file-disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { OverlayDisk } from "#src/io/overlay-disk.js";
import { describeDisk } from "../../conformance/disk.js";
import { treeState } from "../../golden/tree-state.js";

const root = mkdtempSync(join(tmpdir(), "cometmq-overlay-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describeDisk("an overlay over memory", () => {
  const disk = new MemoryDisk();
  disk.makeDirectory("/memory");
  return { disk: new OverlayDisk(disk), directory: "/memory" };
});

describeDisk("an overlay over files", () => ({
  disk: new OverlayDisk(new FileDisk()),
  directory: mkdtempSync(join(root, "d-")),
}));

describeDisk("an overlay over an overlay", () => {
  const below = new OverlayDisk(new MemoryDisk());
  below.makeDirectory("/deep");
  return { disk: new OverlayDisk(below), directory: "/deep" };
});

const PAGE = 4096;
const bytesOf = (length: number, from = 0) => Buffer.from(Array.from({ length }, (_, i) => (from + i * 7) & 255));

function readAll(file: DiskFile): Buffer {
  const bytes = Buffer.alloc(file.sizeBytes());
  expect(file.readAt(bytes, 0, bytes.length, 0)).toBe(bytes.length);
  return bytes;
}

describe("over files", () => {
  const directory = mkdtempSync(join(root, "below-"));
  mkdirSync(join(directory, "sub"));
  writeFileSync(join(directory, "sub", "a"), bytesOf(3 * PAGE + 5));
  writeFileSync(join(directory, "sub", "b"), "below");
  writeFileSync(join(directory, "00000000000000000000"), bytesOf(8 * PAGE, 3));

  const path = (name: string) => join(directory, name);

  test("nothing below is changed, whatever is done", () => {
    const before = treeState(directory);
    const disk = new OverlayDisk(new FileDisk());
    disk.lock(path("lock"));
    disk.writeAtomically(path("abort"), "1");
    disk.makeDirectory(path("new/dir"));
    const file = disk.openFile(path("sub/a"), false);
    file.writeAt(Buffer.from("xyz"), 0, 3, 10);
    file.truncate(20);
    file.truncate(PAGE * 4);
    file.close();
    disk.rename(path("sub/b"), path("new/dir/c"));
    disk.remove(path("sub/a"));
    disk.remove(path("sub"));
    disk.createSegment(path("00000000000000032768"), 8 * PAGE);
    const segment = disk.openSegment(path("00000000000000000000"), 0, 8 * PAGE);
    segment.write(Buffer.alloc(10, 1), 0, 10, 0);
    segment.syncNow();
    segment.close();
    expect(disk.list(directory)).toEqual(["00000000000000000000", "00000000000000032768", "abort", "new"]);
    expect(disk.readFile(path("new/dir/c"))?.toString()).toBe("below");
    expect(disk.isDirectory(path("sub"))).toBe(false);
    expect(treeState(directory)).toEqual(before);
    expect(new OverlayDisk(new FileDisk()).list(directory)).toEqual(["00000000000000000000", "sub"]);
  });

  test("a write shows in every handle of the file and copies the pages it touches", () => {
    const disk = new OverlayDisk(new FileDisk());
    const [first, second] = [disk.openFile(path("sub/a"), false), disk.openFile(path("sub/a"), true)];
    expect(readAll(first).equals(bytesOf(3 * PAGE + 5))).toBe(true);
    expect(disk.heldBytes).toBe(0);
    second.writeAt(Buffer.from("..xyz"), 2, 3, PAGE - 1);
    const expected = bytesOf(3 * PAGE + 5);
    expected.write("xyz", PAGE - 1);
    expect(readAll(first).equals(expected)).toBe(true);
    expect(disk.heldBytes).toBe(2 * PAGE);
    first.close();
    second.close();
    expect(disk.readFile(path("sub/a"))?.equals(expected)).toBe(true);
  });

  test("what is cut off a file does not come back when it grows again", () => {
    const disk = new OverlayDisk(new FileDisk());
    const file = disk.openFile(path("sub/a"), false);
    file.writeAt(Buffer.alloc(10, 9), 0, 10, PAGE + 100);
    file.truncate(PAGE + 105);
    file.truncate(3 * PAGE);
    const expected = Buffer.concat([bytesOf(PAGE + 105), Buffer.alloc(2 * PAGE - 105)]);
    expected.fill(9, PAGE + 100, PAGE + 105);
    expect(readAll(file).equals(expected)).toBe(true);
    file.writeAt(Buffer.from([1]), 0, 1, 2 * PAGE + 7);
    expected[2 * PAGE + 7] = 1;
    expect(readAll(file).equals(expected)).toBe(true);
    file.close();
  });

  test.each(["mmap-io", "koffi", "file"] as const)(
    "a segment over %s is read where it lies and written page by page",
    (backend) => {
      const disk = new OverlayDisk(new FileDisk(backend));
      const open = (): Segment => disk.openSegment(path("00000000000000000000"), 0, 8 * PAGE);
      const [writer, reader] = [open(), open()];
      expect(reader.read(0, 8 * PAGE).equals(bytesOf(8 * PAGE, 3))).toBe(true);
      expect(disk.heldBytes).toBe(0);
      writer.write(Buffer.from("<OVERLAID>"), 1, 8, 2 * PAGE - 4);
      const expected = bytesOf(8 * PAGE, 3);
      expected.write("OVERLAID", 2 * PAGE - 4);
      for (const [from, length] of [
        [0, 8 * PAGE],
        [2 * PAGE - 4, 8],
        [2 * PAGE, PAGE],
        [3 * PAGE, PAGE],
        [PAGE, 1],
      ] as const) {
        expect(reader.read(from, length).equals(expected.subarray(from, from + length))).toBe(true);
      }
      expect(disk.heldBytes).toBe(2 * PAGE);
      writer.close();
      reader.close();
    },
  );

  test("a name that was removed and made again has nothing of the old content", () => {
    const disk = new OverlayDisk(new FileDisk());
    disk.remove(path("sub/b"));
    expect(disk.sizeOf(path("sub/b"))).toBe(-1);
    expect(disk.list(path("sub"))).toEqual(["a"]);
    disk.remove(path("sub/a"));
    disk.remove(path("sub"));
    disk.makeDirectory(path("sub"));
    expect(disk.list(path("sub"))).toEqual([]);
    const file = disk.openFile(path("sub/b"), true);
    file.truncate(3);
    expect([...readAll(file)]).toEqual([0, 0, 0]);
    file.close();
    expect(disk.list(path("sub"))).toEqual(["b"]);
  });

  test("a directory is moved with what lies in it", () => {
    const disk = new OverlayDisk(new FileDisk());
    disk.writeAtomically(path("sub/c"), "above");
    disk.rename(path("sub"), path("moved"));
    expect(disk.list(directory)).toEqual(["00000000000000000000", "moved"]);
    expect(disk.list(path("moved"))).toEqual(["a", "b", "c"]);
    expect(disk.readFile(path("moved/b"))?.toString()).toBe("below");
    expect(disk.readFile(path("moved/c"))?.toString()).toBe("above");
    expect(disk.isDirectory(path("sub"))).toBe(false);
  });

  test("one path is one file, however it is written", () => {
    const disk = new OverlayDisk(new FileDisk());
    disk.writeAtomically(`${directory}/sub/../sub//b`, "above");
    expect(disk.readFile(path("sub/b"))?.toString()).toBe("above");
    expect(disk.list(`${directory}/sub/`)).toEqual(["a", "b"]);
  });
});

test("files are opened below without asking for the right to write", () => {
  const asked: (boolean | undefined)[] = [];
  class Watched extends MemoryDisk {
    override openFile(path: string, create: boolean, readOnly?: boolean): DiskFile {
      asked.push(readOnly);
      return super.openFile(path, create);
    }
  }
  const below: Disk = new Watched();
  below.writeAtomically("/f", "content");
  const disk = new OverlayDisk(below);
  const file = disk.openFile("/f", true);
  expect(readAll(file).toString()).toBe("content");
  file.writeAt(Buffer.from("C"), 0, 1, 0);
  file.close();
  expect(disk.readFile("/f")?.toString()).toBe("Content");
  expect(asked.every((readOnly) => readOnly === true) && asked.length > 0).toBe(true);
});
