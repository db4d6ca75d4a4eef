/**
 * What a sync of a segment means: what was written is on the disk after it, and no thread is given the number of a file that
 * may be somebody else's when it comes to it.
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
import { promisify } from "node:util";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import type { Backend, Segment } from "#src/io/disk.js";
import { chooseBackend, FileDisk } from "#src/io/file-disk.js";
import { mountSmallDisk, skipAloud } from "./small-disk.js";

const MEBIBYTE = 1024 * 1024;
const SEGMENT_BYTES = 4 * MEBIBYTE;
const PAGE_BYTES = 4096;
const POOL_THREADS = Number(process.env.UV_THREADPOOL_SIZE ?? 4);

const root = mkdtempSync(join(tmpdir(), "cometmq-sync-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function problemOf(backend: Backend): string | undefined {
  if (!existsSync("/proc/self/fd")) return "the kernel does not tell of handles";
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
    segment.write(page, 0, page.length, at);
  }
}

function isOpen(path: string): boolean {
  return readdirSync("/proc/self/fd").some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
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

for (const backend of ["mmap-io", "koffi", "file"] as const) {
  const reason = problemOf(backend);
  describe.skipIf(skipAloud(`segments synced by ${backend}`, reason))(backend, () => syncs(new FileDisk(backend)));
}

function syncs(disk: FileDisk): void {
  test("a handle that is closed while a sync is under way is let go behind it", async () => {
    const path = create(disk);
    const segment = disk.openSegment(path, 0, SEGMENT_BYTES, true);
    fill(segment, 0, MEBIBYTE);
    holdPool();
    const syncs = [segment.sync(), segment.sync()];
    segment.close();
    segment.close();
    expect(isOpen(path)).toBe(true);
    await release();
    await Promise.all(syncs);
    expect(isOpen(path)).toBe(false);
    await expect(segment.sync()).rejects.toThrow();
  });

  test("what was written before a sync is on the disk after it", async ({ skip }) => {
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
    await segment.sync();
    const places = Array.from({ length: MEBIBYTE / PAGE_BYTES }, (_, i) => i * PAGE_BYTES);
    expect([...new Set(marked(image()))].sort((a, b) => a - b)).toEqual(places);
    segment.close();
  });
}
