/**
 * What a sync of a mapped segment does to its map: the pages that were written leave it, their bytes do not; and no thread
 * is given the address of a map, or the number of a file, that may be somebody else's when it comes to it.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  open,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import type { Backend, Segment } from "#src/io/disk.js";
import { chooseBackend, FileDisk } from "#src/io/file-disk.js";
import { native } from "#src/io/native.js";
import { mountSmallDisk, skipAloud } from "./small-disk.js";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
const SEGMENT_BYTES = 4 * MEBIBYTE;
const PAGE_BYTES = 4096;
const POOL_THREADS = Number(process.env.UV_THREADPOOL_SIZE ?? 4);
const TURNS_MAX = 1000;

const root = mkdtempSync(join(tmpdir(), "cometmq-unmapped-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function problemOf(backend: Backend): string | undefined {
  if (native() === undefined) return "koffi is not there";
  if (!existsSync("/proc/self/smaps")) return "the kernel does not tell of maps";
  try {
    chooseBackend(backend);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function create(disk: FileDisk, directory = mkdtempSync(join(root, "s-")), sizeBytes = SEGMENT_BYTES): string {
  const path = join(directory, "00000000000000000000");
  disk.createSegment(path, sizeBytes);
  return path;
}

/** Each page says which it is. */
function fill(segment: Segment, from: number, to: number): void {
  for (let at = from; at < to; at += PAGE_BYTES) {
    const page = Buffer.alloc(Math.min(PAGE_BYTES, to - at), `<${segment.path} ${at}>`);
    const window = segment.window(at, page.length);
    window.bytes.set(page, at - window.start);
    segment.publish(at, at + page.length);
  }
}

/** Of the map of `path` in this process. */
function residentBytes(path: string): number {
  const [, map] = readFileSync("/proc/self/smaps", "utf8").split(` ${path}\n`);
  return Number(/^Rss: +(\d+) kB$/m.exec(map!)![1]) * KIBIBYTE;
}

const isMapped = (path: string): boolean => readFileSync("/proc/self/maps", "utf8").includes(` ${path}`);

function isOpen(path: string): boolean {
  return readdirSync("/proc/self/fd").some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
}

/** Until the maps that nobody refers to are gone, if `isDone` waits for that; else for a while. */
async function collect(disk: FileDisk, isDone: () => boolean, turns = TURNS_MAX): Promise<void> {
  for (let i = 0; i < turns && !isDone(); i++) {
    if (i % 10 === 0) disk.reclaim();
    await turn();
  }
}

let release: () => Promise<void> = async () => {};
afterEach(() => release());

/** Every thread of the pool waits until `release` is called. */
function holdPool(): void {
  const fifo = join(mkdtempSync(join(root, "p-")), "fifo");
  expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
  const opening = Array.from({ length: POOL_THREADS }, () => promisify(open)(fifo, "r"));
  release = async () => {
    release = async () => {};
    const writer = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    for (const fd of await Promise.all(opening)) closeSync(fd);
    closeSync(writer);
  };
}

for (const backend of ["mmap-io", "koffi"] as const) {
  const reason = problemOf(backend);
  describe.skipIf(skipAloud(`pages unmapped by ${backend}`, reason))(backend, () => unmapped(new FileDisk(backend)));
}

function unmapped(disk: FileDisk): void {
  test("the whole units that were written leave the map, what is being written and what is made ready does not", async () => {
    const path = create(disk, undefined, 24 * MEBIBYTE);
    const segment = disk.openSegment(path, 0, 24 * MEBIBYTE, true);
    fill(segment, 0, 20 * MEBIBYTE);
    const before = residentBytes(path);
    const view = segment.read(PAGE_BYTES, MEBIBYTE);
    await segment.sync(0, 255 * KIBIBYTE);
    await segment.sync(5, 5);
    await segment.sync();
    expect(residentBytes(path)).toBe(before);
    await segment.sync(0, 17 * MEBIBYTE + 63 * KIBIBYTE);
    expect(residentBytes(path)).toBe(before - 17 * MEBIBYTE);
    await segment.sync(17 * MEBIBYTE + 63 * KIBIBYTE, 17 * MEBIBYTE + 256 * KIBIBYTE + 1);
    expect(residentBytes(path)).toBe(before - 17 * MEBIBYTE - 256 * KIBIBYTE);

    expect(view.equals(readFileSync(path).subarray(PAGE_BYTES, MEBIBYTE + PAGE_BYTES))).toBe(true);
    expect(view.toString("latin1", 0, 1 + path.length)).toBe(`<${path}`);
    segment.close();
  });

  test("a handle that is closed while a sync is under way is let go behind it", async () => {
    const path = create(disk);
    const segment = disk.openSegment(path, 0, SEGMENT_BYTES, true);
    fill(segment, 0, MEBIBYTE);
    holdPool();
    const syncs = [segment.sync(0, MEBIBYTE), segment.sync()];
    segment.close();
    segment.close();
    expect(isOpen(path)).toBe(true);
    await release();
    await Promise.all(syncs);
    expect(isOpen(path)).toBe(false);
    await expect(segment.sync()).rejects.toThrow();
  });

  test("a map outlives its segment until the threads that have its address are done", async () => {
    const path = create(disk);
    holdPool();
    const synced = (() => {
      const segment = disk.openSegment(path, 0, SEGMENT_BYTES, true);
      fill(segment, 0, MEBIBYTE);
      const done = segment.sync(0, MEBIBYTE);
      segment.close();
      return done;
    })();
    await collect(disk, () => !isMapped(path), 30);
    expect(isMapped(path)).toBe(true);
    const content = readFileSync(path);
    const removed = disk.discard(path, undefined);
    await release();
    await Promise.all([synced, removed]);
    await collect(disk, () => !isMapped(path));
    expect(isMapped(path)).toBe(false);
    expect(content.toString("latin1", 0, 1 + path.length)).toBe(`<${path}`);
  });

  test("what was unmapped before its sync is on the disk after it", async ({ skip }) => {
    const small = mountSmallDisk(8);
    if (typeof small === "string") {
      skipAloud("what is on the disk after a sync", small);
      return skip();
    }
    const path = create(disk, small.directory);
    const segment = disk.openSegment(path, 0, SEGMENT_BYTES, true);
    const image = () => readFileSync(join(dirname(small.directory), "image"), "latin1");
    const marked = (text: string) => [...text.matchAll(/<[^<>]*\/0{20} (\d+)>/g)].map(([, at]) => Number(at));
    fill(segment, 0, MEBIBYTE);
    expect(marked(image())).toEqual([]);
    await segment.sync(0, MEBIBYTE);
    const places = Array.from({ length: MEBIBYTE / PAGE_BYTES }, (_, i) => i * PAGE_BYTES);
    expect([...new Set(marked(image()))].sort((a, b) => a - b)).toEqual(places);
    segment.close();
  });
}
