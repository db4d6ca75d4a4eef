/** What was put can be read, in views too, and lies in the files, byte for byte, whatever was written and synced together. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { segmentName } from "#src/commitlog/segment-queue.js";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend, FileDisk } from "#src/io/file-disk.js";
import { type GetResult, GetStatus, type PutResult, PutStatus } from "#src/store/types.js";
import { skipAloud } from "../io/small-disk.js";
import { bodiesIn, newDirectory, newPutResult, openStore, put } from "./fixture.js";

const KIBIBYTE = 1024;
/** No multiple of what is written together. */
const SEGMENT_BYTES = 1024 * KIBIBYTE + 20 * KIBIBYTE;

function loads(backend: Backend): boolean {
  try {
    return chooseBackend(backend) === backend;
  } catch (error) {
    skipAloud(`a log read by ${backend}`, (error as Error).message);
    return false;
  }
}

const EVERYTHING = { maxCount: 1000, maxBytes: 64 * 1024 * KIBIBYTE };
const bodyOf = (i: number): string => `m${i} `.padEnd((i * 7919) % (40 * KIBIBYTE), `${i}.`);

test.each((["mmap-io", "koffi", "file"] as const).filter(loads))(
  "%s: after many syncs of little and of several segments all is where it was put, in views that were taken before too",
  async (backend) => {
    const directory = newDirectory();
    const disk = new FileDisk(backend);
    const store = await openStore({ directory, disk, segmentBytes: SEGMENT_BYTES, flushIntervalMs: 600_000 });
    const logPath = (base: number) => join(directory, "commitlog", segmentName(base));
    const results: PutResult[] = [];
    const views: Buffer[] = [];
    // Some hundred KiB between two syncs, and now and then some segments.
    for (let round = 0; round < 16; round++) {
      const first = results.length;
      for (let count = round % 8 === 7 ? 130 : 16; count > 0; count--) {
        const result = newPutResult();
        expect(put(store, "T", 0, bodyOf(results.length), result)).toBe(PutStatus.PUT_OK);
        results.push(result);
      }
      await store.settled();
      const got = { records: [] as Buffer[], queueOffsets: [] as number[] } as unknown as GetResult;
      expect(store.get(store.queue("T", 0), first, EVERYTHING, undefined, got)).toBe(GetStatus.FOUND);
      views.push(...got.records);
      await store.whenFlushed(store.maxPhyOffset);
    }
    const end = results.at(-1)!.phyOffset + results.at(-1)!.sizeBytes;

    expect(views).toHaveLength(results.length);
    expect(bodiesIn(store, "T", 0)).toEqual(results.map((_, i) => bodyOf(i)));
    const files = new Map<number, Buffer>();
    for (let base = 0; base < end; base += SEGMENT_BYTES) files.set(base, readFileSync(logPath(base)));
    for (const [i, { phyOffset, sizeBytes }] of results.entries()) {
      const base = phyOffset - (phyOffset % SEGMENT_BYTES);
      const onDisk = files.get(base)!.subarray(phyOffset - base, phyOffset - base + sizeBytes);
      expect(views[i]!.equals(onDisk)).toBe(true);
      expect(onDisk.includes(bodyOf(i))).toBe(true);
    }
    await store.close();

    const again = await openStore({ directory, segmentBytes: SEGMENT_BYTES });
    expect(bodiesIn(again, "T", 0)).toEqual(results.map((_, i) => bodyOf(i)));
  },
);
