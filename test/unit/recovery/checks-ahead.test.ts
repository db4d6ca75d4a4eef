/** The thread that goes ahead of recovery's walk: what it says is what the walk would have found out, or it says nothing. */
import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { expect, test } from "vitest";
import { CursorStep, LogCursor } from "#src/commitlog/log-cursor.js";
import { SegmentQueue, segmentName } from "#src/commitlog/segment-queue.js";
import { FileDisk } from "#src/io/file-disk.js";
import { IndexedProperties } from "#src/record/indexed-properties.js";
import { encodeProperties } from "#src/record/properties.js";
import { ChecksAhead, checksAhead } from "#src/recovery/checks-ahead.js";
import type { MessageStore } from "#src/store/message-store.js";
import { type GetResult, GetStatus, type PutResult, PutStatus } from "#src/store/types.js";
import { messageOf, newDirectory, openStore } from "../store/fixture.js";
import { until } from "../store/harness.js";

const SEGMENT_BYTES = 16 * 1024 * 1024;

async function filledStore(directory: string, count: number, bodyBytes: number): Promise<number[]> {
  const store = await openStore({ directory, segmentBytes: SEGMENT_BYTES });
  const result: PutResult = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
  const offsets: number[] = [];
  for (let i = 0; i < count; i++) {
    const message = messageOf(store, "TopicTest", i % 2, "x".repeat(bodyBytes));
    const pairs: [string, string][] =
      i % 3 === 0
        ? [["KEYS", `k${i}`]]
        : [
            ["TAGS", "TagA"],
            ["UNIQ_KEY", `u${i}`],
          ];
    message.properties = encodeProperties(pairs);
    message.propertiesLength = message.properties.length;
    expect(store.put(message, result)).toBe(PutStatus.PUT_OK);
    offsets.push(result.phyOffset);
  }
  await store.close();
  return offsets;
}

/** Flips a bit in the body of the record at `phyOffset`. */
function damage(directory: string, phyOffset: number): void {
  const base = phyOffset - (phyOffset % SEGMENT_BYTES);
  const fd = openSync(`${directory}/commitlog/${segmentName(base)}`, "r+");
  const at = phyOffset - base + 100;
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  writeSync(fd, Buffer.from([byte[0]! ^ 4]), 0, 1, at);
  closeSync(fd);
}

test("every record behind the beginning is known with its properties, and one that is damaged never", async () => {
  const directory = newDirectory();
  const offsets = await filledStore(directory, 3000, 1000);
  const damagedOffset = offsets[1500]!;
  damage(directory, damagedOffset);
  const disk = new FileDisk();
  const segments = new SegmentQueue({
    disk,
    directory: `${directory}/commitlog`,
    segmentBytes: SEGMENT_BYTES,
    writable: false,
  });
  segments.load();
  const { firstOffset, endOffset } = segments;
  const task = {
    backend: disk.backend,
    directory: segments.directory,
    segmentBytes: SEGMENT_BYTES,
    firstOffset,
    endOffset,
  };
  const ahead = new ChecksAhead(task, 0);
  const cursor = new LogCursor(segments);
  const own = new IndexedProperties();
  cursor.seek(offsets[1000]!);
  for (let i = 1000; i < 2000; i++) {
    expect(cursor.next(endOffset)).toBe(CursorStep.RECORD);
    const { record, recordOffset, bytes } = cursor;
    expect(recordOffset).toBe(offsets[i]);
    if (recordOffset === damagedOffset) {
      // The thread is way ahead, and had time to say so.
      for (let k = 0; k < 10; k++) {
        expect(ahead.knows(recordOffset, record.position)).toBe(false);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      continue;
    }
    await until(() => ahead.knows(recordOffset, record.position), `the record ${i}`);
    own.scan(bytes, record.propertiesStart, record.propertiesStart + record.propertiesLength);
    for (const [name, start] of own.starts.entries()) {
      expect(ahead.properties.starts[name]).toBe(start);
      if (start >= 0) expect(ahead.properties.ends[name]).toBe(own.ends[name]);
    }
  }
  await ahead.stop();
  segments.close();
});

test("a long log whose queues and index are lost: all of it comes back, but for the record that is damaged", async () => {
  const directory = newDirectory();
  const count = 330;
  const offsets = await filledStore(directory, count, 256 * 1024);
  damage(directory, offsets[200]!);
  for (const name of ["consumequeue", "index", "checkpoint", "dispatch.checkpoint"]) {
    rmSync(`${directory}/${name}`, { recursive: true, force: true });
  }
  const disk = new FileDisk();
  const segments = new SegmentQueue({
    disk,
    directory: `${directory}/commitlog`,
    segmentBytes: SEGMENT_BYTES,
    writable: false,
  });
  segments.load();
  const started = checksAhead(disk, segments, 0);
  expect(started).toBeDefined();
  await started?.stop();
  segments.close();
  const store = await openStore({ directory, segmentBytes: SEGMENT_BYTES });
  expect(store.recovery.recordCount).toBe(count - 1);
  expect(store.recovery.damages).toHaveLength(1);
  expect([...readable(store, 0), ...readable(store, 1)].sort((a, b) => a - b)).toEqual(
    offsets.filter((_, i) => i !== 200),
  );
});

function readable(store: MessageStore, queueId: number): number[] {
  const queue = store.queue("TopicTest", queueId);
  const result = { records: [], queueOffsets: [] } as unknown as GetResult;
  const found: number[] = [];
  for (let offset = 0; offset < store.maxOffset(queue); offset = result.nextBeginOffset) {
    if (store.get(queue, offset, { maxCount: 1, maxBytes: 2 ** 20 }, undefined, result) !== GetStatus.FOUND) continue;
    for (const record of result.records) found.push(Number(record.readBigInt64BE(28)));
  }
  return found;
}

test("a thread that dies takes nobody along: the walk goes on by itself, and may still end it", async () => {
  const directory = newDirectory();
  await filledStore(directory, 10, 1000);
  const commitLog = `${directory}/commitlog`;
  // There is no such segment.
  const task = { directory: commitLog, segmentBytes: SEGMENT_BYTES, firstOffset: 0, endOffset: 2 * SEGMENT_BYTES };
  rmSync(`${commitLog}/${segmentName(0)}`);
  const checks = new ChecksAhead({ ...task, backend: new FileDisk().backend }, 0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(checks.knows(0, 0)).toBe(false);
  await checks.stop();
});
