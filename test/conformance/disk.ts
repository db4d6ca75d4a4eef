/**
 * What every Disk has to do, whatever it is made of: the suite for src/io/disk.ts. It takes a factory, and runs on each
 * backend; a new one is ready when it passes.
 */
import { describe, expect, test } from "vitest";
import { CometError, type ErrorCode } from "#src/base/errors.js";
import type { Disk, DiskFile, Segment } from "#src/io/disk.js";

export interface DiskUnderTest {
  readonly disk: Disk;
  /** An empty directory that exists. */
  readonly directory: string;
}

const MEBIBYTE = 1024 * 1024;
/** More than the window of a segment that is not mapped. */
const SEGMENT_BYTES = 12 * MEBIBYTE;

function thrownCode(act: () => unknown): ErrorCode | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(CometError);
    return (error as CometError).code;
  }
}

function read(file: DiskFile, length: number, position: number): string {
  const target = Buffer.alloc(length + 2, "-");
  const count = file.readAt(target, 1, length, position);
  expect(target.subarray(count + 1).equals(Buffer.alloc(length + 1 - count, "-"))).toBe(true);
  return target.toString("latin1", 1, count + 1);
}

function write(file: DiskFile, text: string, position: number): void {
  const source = Buffer.from(`<${text}>`, "latin1");
  file.writeAt(source, 1, text.length, position);
}

/** `text` at `position`, as the appender does it. */
function put(segment: Segment, text: string, position: number): void {
  segment.write(Buffer.from(`<${text}>`, "latin1"), 1, text.length, position);
}

const textAt = (segment: Segment, position: number, length: number): string =>
  segment.read(position, length).toString("latin1");

export function describeDisk(name: string, make: () => DiskUnderTest): void {
  describe(name, () => {
    directories(make);
    wholeFiles(make);
    openFiles(make);
    segments(make);
    others(make);
  });
}

function directories(make: () => DiskUnderTest): void {
  test("directories are made with their parents, listed in order, and removed when they are empty", () => {
    const { disk, directory } = make();
    expect(disk.list(directory)).toEqual([]);
    expect(disk.list(`${directory}/missing`)).toEqual([]);
    disk.makeDirectory(`${directory}/b/c/d`);
    disk.makeDirectory(`${directory}/b/c/d`);
    disk.makeDirectory(`${directory}/a`);
    disk.writeAtomically(`${directory}/b/file`, "x");
    disk.writeAtomically(`${directory}/B`, "x");
    expect(disk.list(directory)).toEqual(["B", "a", "b"]);
    expect(disk.list(`${directory}/b`)).toEqual(["c", "file"]);
    expect(disk.list(`${directory}/b/file`)).toEqual([]);
    const kinds = ["", "/a", "/b", "/b/c", "/b/c/d", "/b/file", "/nothing"].map((p) => disk.isDirectory(directory + p));
    expect(kinds).toEqual([true, true, true, true, true, false, false]);

    disk.remove(`${directory}/b/c/d`);
    expect(disk.isDirectory(`${directory}/b/c`)).toBe(true);
    disk.remove(`${directory}/b/c`);
    expect(disk.list(`${directory}/b`)).toEqual(["file"]);
    expect(thrownCode(() => disk.remove(`${directory}/b`))).toBe("COMETMQ_IO");
    expect(disk.list(`${directory}/b`)).toEqual(["file"]);
    disk.remove(`${directory}/missing`);
  });

  test("no directory takes the place of a file", () => {
    const { disk, directory } = make();
    disk.writeAtomically(`${directory}/f`, "x");
    expect(thrownCode(() => disk.makeDirectory(`${directory}/f`))).toBe("COMETMQ_IO");
    expect(disk.readFile(`${directory}/f`)?.toString()).toBe("x");
    const below = `${directory}/f/below`;
    expect([disk.sizeOf(below), disk.modifiedMs(below), disk.readFile(below)]).toEqual([-1, -1, undefined]);
    expect([disk.isDirectory(below), disk.list(below)]).toEqual([false, []]);
  });
}

function wholeFiles(make: () => DiskUnderTest): void {
  test("a file that is not there has no size, no time and no content", () => {
    const { disk, directory } = make();
    const path = `${directory}/missing`;
    expect([disk.sizeOf(path), disk.modifiedMs(path), disk.readFile(path)]).toEqual([-1, -1, undefined]);
    disk.remove(path);
    expect(disk.list(directory)).toEqual([]);
  });

  test("writeAtomically replaces the whole and leaves nothing else", () => {
    const { disk, directory } = make();
    const path = `${directory}/config.json`;
    const bytes = Buffer.from([0, 1, 255, 254]);
    disk.writeAtomically(path, bytes);
    bytes.fill(7);
    expect([...disk.readFile(path)!]).toEqual([0, 1, 255, 254]);
    expect(Math.abs(disk.modifiedMs(path) - Date.now())).toBeLessThan(60_000);
    disk.writeAtomically(path, "ß");
    expect([disk.readFile(path)!.toString(), disk.sizeOf(path)]).toEqual(["ß", 2]);
    disk.writeAtomically(path, "");
    expect([disk.readFile(path)!.length, disk.sizeOf(path)]).toEqual([0, 0]);
    expect(disk.list(directory)).toEqual(["config.json"]);
    disk.readFile(path)!.fill(1);
    expect(disk.readFile(path)!.length).toBe(0);
  });

  test("replace does the same, and keeps what was there under another name", async () => {
    const { disk, directory } = make();
    const path = `${directory}/config.json`;
    await disk.replace(path, "1", `${path}.bak`);
    expect(disk.list(directory)).toEqual(["config.json"]);
    await disk.replace(path, Buffer.from("2"), `${path}.bak`);
    await disk.replace(path, "3");
    expect(disk.list(directory)).toEqual(["config.json", "config.json.bak"]);
    expect([path, `${path}.bak`].map((name) => disk.readFile(name)!.toString())).toEqual(["3", "1"]);
  });

  test("rename moves a file over another one", () => {
    const { disk, directory } = make();
    disk.writeAtomically(`${directory}/a`, "a");
    disk.writeAtomically(`${directory}/b`, "b");
    disk.rename(`${directory}/a`, `${directory}/b`);
    expect(disk.list(directory)).toEqual(["b"]);
    expect(disk.readFile(`${directory}/b`)?.toString()).toBe("a");
    expect(thrownCode(() => disk.rename(`${directory}/a`, `${directory}/c`))).toBe("COMETMQ_IO");
    expect(disk.list(directory)).toEqual(["b"]);
  });
}

function openFiles(make: () => DiskUnderTest): void {
  test("a file is made only when that is asked for", () => {
    const { disk, directory } = make();
    expect(thrownCode(() => disk.openFile(`${directory}/f`, false))).toBe("COMETMQ_IO");
    expect(disk.list(directory)).toEqual([]);
    const file = disk.openFile(`${directory}/f`, true);
    expect([file.path, file.sizeBytes(), disk.sizeOf(`${directory}/f`)]).toEqual([`${directory}/f`, 0, 0]);
    write(file, "kept", 0);
    file.close();
    file.close();
    const again = disk.openFile(`${directory}/f`, true);
    expect(read(again, 10, 0)).toBe("kept");
    again.close();
  });

  test("bytes go where they are told to, and what was skipped reads as zeros", async () => {
    const { disk, directory } = make();
    const file = disk.openFile(`${directory}/f`, true);
    write(file, "world", 10);
    expect([file.sizeBytes(), disk.sizeOf(`${directory}/f`)]).toEqual([15, 15]);
    write(file, "hello", 0);
    expect(read(file, 15, 0)).toBe(`hello${"\0".repeat(5)}world`);
    expect(read(file, 4, 12)).toBe("rld");
    expect(read(file, 4, 15)).toBe("");
    expect(read(file, 4, 1000)).toBe("");
    expect(read(file, 0, 3)).toBe("");
    write(file, "L", 3);
    const other = disk.openFile(`${directory}/f`, false);
    expect(read(other, 5, 0)).toBe("helLo");
    write(other, "!", 15);
    expect(read(file, 6, 10)).toBe("world!");
    await file.sync();
    file.syncNow();
    expect(disk.readFile(`${directory}/f`)?.toString("latin1")).toBe(`helLo${"\0".repeat(5)}world!`);
    file.close();
    other.close();
  });

  test("truncate cuts off, and grown space is zero again", () => {
    const { disk, directory } = make();
    const file = disk.openFile(`${directory}/f`, true);
    write(file, "0123456789", 0);
    file.truncate(4);
    expect([file.sizeBytes(), read(file, 10, 0)]).toEqual([4, "0123"]);
    file.truncate(8);
    expect([file.sizeBytes(), read(file, 10, 0)]).toEqual([8, "0123\0\0\0\0"]);
    file.truncate(100 * MEBIBYTE);
    expect([disk.sizeOf(file.path), read(file, 2, 50 * MEBIBYTE)]).toEqual([100 * MEBIBYTE, "\0\0"]);
    file.close();
  });

  test("a file removed while it is open can be used until it is closed", () => {
    const { disk, directory } = make();
    const file = disk.openFile(`${directory}/f`, true);
    write(file, "still", 0);
    disk.remove(`${directory}/f`);
    expect(disk.list(directory)).toEqual([]);
    expect(read(file, 5, 0)).toBe("still");
    file.close();
  });
}

function segments(make: () => DiskUnderTest): void {
  function segmentUnderTest(baseOffset = 0): DiskUnderTest & { path: string; segment: Segment } {
    const made = make();
    const path = `${made.directory}/00000000000000000000`;
    made.disk.createSegment(path, SEGMENT_BYTES);
    return { ...made, path, segment: made.disk.openSegment(path, baseOffset, SEGMENT_BYTES, true) };
  }

  test("a new segment is a file of zeros, and nothing else is left", () => {
    const { disk, directory, path, segment } = segmentUnderTest(7);
    expect(disk.list(directory)).toEqual(["00000000000000000000"]);
    expect(disk.sizeOf(path)).toBe(SEGMENT_BYTES);
    expect([segment.path, segment.baseOffset, segment.sizeBytes]).toEqual([path, 7, SEGMENT_BYTES]);
    for (let at = 0; at < SEGMENT_BYTES; at += MEBIBYTE) {
      expect(segment.read(at, MEBIBYTE).equals(Buffer.alloc(MEBIBYTE))).toBe(true);
    }
    segment.close();
  });

  test("a segment of another size is refused, and so is one that is not there", () => {
    const { disk, directory, path, segment } = segmentUnderTest();
    segment.close();
    expect(thrownCode(() => disk.openSegment(path, 0, SEGMENT_BYTES - 4096, true))).toBe("COMETMQ_STORE_LAYOUT");
    expect(thrownCode(() => disk.openSegment(path, 0, SEGMENT_BYTES + 4096, false))).toBe("COMETMQ_STORE_LAYOUT");
    expect(thrownCode(() => disk.openSegment(`${directory}/1`, 0, SEGMENT_BYTES, false))).toBeDefined();
    expect(disk.list(directory)).toHaveLength(1);
  });

  test("what is written is read by everybody, from the first byte to the last", async () => {
    const { disk, path, segment } = segmentUnderTest();
    const reader = disk.openSegment(path, 0, SEGMENT_BYTES, false);
    const places = [0, 8, 4 * MEBIBYTE - 3, 4 * MEBIBYTE + 100, 9 * MEBIBYTE, SEGMENT_BYTES - 9, 100];
    for (const place of places) put(segment, `at${String(place).padStart(7, "0")}`.slice(0, 8), place);
    for (const place of places) {
      const expected = `at${String(place).padStart(7, "0")}`.slice(0, 8);
      expect([textAt(segment, place, 8), textAt(reader, place, 8)]).toEqual([expected, expected]);
    }
    expect(textAt(reader, SEGMENT_BYTES - 1, 1)).toBe("\0");
    await segment.sync();
    segment.syncNow();
    segment.close();
    reader.close();
    const file = disk.openFile(path, false);
    expect(read(file, 8, 9 * MEBIBYTE)).toBe("at943718");
    file.close();
  });

  test("records go out one after the other, and the first bytes of one may go last", () => {
    const { segment } = segmentUnderTest();
    let position = 0;
    for (let i = 0; i < 2000; i++) {
      const text = `record ${i} ${"x".repeat(i % 5000)}`;
      if (position + text.length > SEGMENT_BYTES) break;
      put(segment, text, position);
      position += text.length;
    }
    expect(textAt(segment, 0, 10)).toBe("record 0 r");
    const text = Buffer.from("headbody");
    segment.write(text, 4, 4, position + 4);
    expect(textAt(segment, position, 8)).toBe("\0\0\0\0body");
    segment.write(text, 0, 4, position);
    expect(textAt(segment, position, 8)).toBe("headbody");
    segment.close();
  });

  test("a mapped segment is read without a copy, and what was read outlives it", () => {
    const { disk, path, segment } = segmentUnderTest();
    put(segment, "before", 0);
    const view = segment.read(0, 6);
    put(segment, "BEFORE", 0);
    expect(view.toString()).toBe(segment.whole ? "BEFORE" : "before");
    segment.close();
    segment.close();
    disk.remove(path);
    expect(view.toString()).toBe(segment.whole ? "BEFORE" : "before");
  });

  test("reading and writing beyond the end is a fault of the caller's", () => {
    const { disk, path, segment } = segmentUnderTest();
    expect(() => put(segment, "beyond", SEGMENT_BYTES - 5)).toThrow();
    expect(disk.sizeOf(path)).toBe(SEGMENT_BYTES);
    expect(() => segment.read(SEGMENT_BYTES - 4, 5)).toThrow();
    expect(() => segment.read(-1, 5)).toThrow();
    expect(segment.read(SEGMENT_BYTES, 0)).toHaveLength(0);
    segment.close();
  });

  test("a sync changes no byte, not of views either", async () => {
    const { disk, path, segment } = segmentUnderTest();
    const wanted = Buffer.alloc(SEGMENT_BYTES);
    const views: [number, Buffer][] = [];
    let position = 0;
    for (let i = 0; position < SEGMENT_BYTES; i++) {
      const to = Math.min(SEGMENT_BYTES, position + 1 + ((i * 377_777) % (2 * MEBIBYTE)));
      const bytes = Buffer.alloc(to - position, `part ${i}, at ${position}. `);
      put(segment, bytes.toString("latin1"), position);
      bytes.copy(wanted, position);
      views.push([position, segment.read(position, bytes.length)]);
      await segment.sync();
      position = to;
    }
    put(segment, "after", 3 * MEBIBYTE);
    wanted.write("after", 3 * MEBIBYTE);
    await segment.sync();
    expect(segment.read(0, SEGMENT_BYTES).equals(wanted)).toBe(true);
    expect(disk.readFile(path)!.equals(wanted)).toBe(true);
    if (segment.whole !== undefined) {
      for (const [at, view] of views) expect(view.equals(wanted.subarray(at, at + view.length))).toBe(true);
    }
    segment.close();
  });
}

function others(make: () => DiskUnderTest): void {
  test("the lock is had once, and again after its release", () => {
    const { disk, directory } = make();
    const path = `${directory}/lock`;
    const lock = disk.lock(path);
    expect(() => disk.lock(path)).toThrow(`The store ${directory} is in use by this process.`);
    expect(thrownCode(() => disk.lock(path))).toBe("COMETMQ_STORE_LOCKED");
    lock.release();
    lock.release();
    const again = disk.lock(path);
    lock.release();
    expect(thrownCode(() => disk.lock(path))).toBe("COMETMQ_STORE_LOCKED");
    again.release();
  });

  test("the space of the device is told", () => {
    const { disk, directory } = make();
    const { totalBytes, freeBytes } = disk.space(directory);
    expect(totalBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeGreaterThanOrEqual(0);
    expect(freeBytes).toBeLessThanOrEqual(totalBytes);
  });
}
