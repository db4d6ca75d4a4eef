/**
 * Pages of a mapped segment ahead of the append position: those asked for come into the page cache, and a write to one that
 * is not there gets that page alone, for reading ahead into empty space would hold the appender up.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { loadOptional } from "#src/base/optional-package.js";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend, FileDisk } from "#src/io/file-disk.js";
import { MappedSegment } from "#src/io/segments.js";
import { skipAloud } from "./small-disk.js";

const MEBIBYTE = 1024 * 1024;
const SEGMENT_BYTES = 16 * MEBIBYTE;
const PAGE_BYTES = 4096;

interface Koffi {
  load(path: null): { func(prototype: string): (...values: unknown[]) => number };
}

const koffi = loadOptional<Koffi>("koffi");
const mincore = koffi?.load(null).func("int mincore(void *, size_t, void *)");

const root = mkdtempSync(join(tmpdir(), "cometmq-warmed-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function problemOf(backend: Backend): string | undefined {
  if (mincore === undefined) return "koffi is not there";
  if (!existsSync("/proc/self/smaps")) return "the kernel does not tell of maps";
  try {
    chooseBackend(backend);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Numbers of the pages that are in memory. */
function cachedPages(segment: MappedSegment): number[] {
  const flags = Buffer.alloc(SEGMENT_BYTES / PAGE_BYTES);
  expect(mincore!(segment.bytes, SEGMENT_BYTES, flags)).toBe(0);
  return [...flags.keys()].filter((page) => (flags[page]! & 1) !== 0);
}

/** Of each part of the map of `path`: its length, and whether faults in it read no other pages (proc(5), VmFlags rr). */
function parts(path: string): [number, boolean][] {
  const found = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return found
    .filter((part) => part.split("\n", 1)[0]!.endsWith(` ${path}`))
    .map((part) => [Number(/^Size: +(\d+) kB$/m.exec(part)![1]) * 1024, /^VmFlags:.* rr( |$)/m.test(part)]);
}

function open(disk: FileDisk): MappedSegment {
  const path = join(mkdtempSync(join(root, "s-")), "00000000000000000000");
  disk.createSegment(path, SEGMENT_BYTES);
  const segment = disk.openSegment(path, 0, SEGMENT_BYTES, true);
  expect(segment).toBeInstanceOf(MappedSegment);
  return segment as MappedSegment;
}

for (const backend of ["mmap-io", "koffi"] as const) {
  const reason = problemOf(backend);
  describe.skipIf(skipAloud(`pages warmed by ${backend}`, reason))(backend, () => warmed(new FileDisk(backend)));
}

function warmed(disk: FileDisk): void {
  test("a write to a page that is not there gets that page alone", () => {
    const segment = open(disk);
    segment.warm(0, PAGE_BYTES);
    const page = (8 * MEBIBYTE) / PAGE_BYTES;
    segment.bytes[page * PAGE_BYTES] = 1;
    expect(cachedPages(segment).filter((found) => found > 1)).toEqual([page]);
    segment.close();
  });

  test("the pages that are asked for come, and no others", async () => {
    const segment = open(disk);
    segment.warm(MEBIBYTE + 1, MEBIBYTE + 128 * 1024);
    segment.warm(MEBIBYTE + 128 * 1024, 5 * MEBIBYTE);
    const wanted = Array.from({ length: (4 * MEBIBYTE) / PAGE_BYTES }, (_, i) => MEBIBYTE / PAGE_BYTES + i);
    const isThere = () => cachedPages(segment).length >= 32;
    while (!isThere()) await turn();
    await segment.sync();
    for (const page of cachedPages(segment)) expect(wanted).toContain(page);
    segment.close();
  });

  test("from the append position on faults read no other pages, until the segment's end is near", () => {
    const segment = open(disk);
    expect(parts(segment.path)).toEqual([[SEGMENT_BYTES, false]]);
    segment.warm(3 * MEBIBYTE + 5, 4 * MEBIBYTE);
    const written: [number, boolean] = [3 * MEBIBYTE, false];
    expect(parts(segment.path)).toEqual([written, [SEGMENT_BYTES - 3 * MEBIBYTE, true]]);
    segment.warm(4 * MEBIBYTE, SEGMENT_BYTES - 1);
    expect(parts(segment.path)).toEqual([written, [SEGMENT_BYTES - 3 * MEBIBYTE, true]]);
    segment.warm(SEGMENT_BYTES - 1, SEGMENT_BYTES + MEBIBYTE);
    expect(parts(segment.path).every(([, isAlone]) => !isAlone)).toBe(true);
    segment.close();
  });
}
