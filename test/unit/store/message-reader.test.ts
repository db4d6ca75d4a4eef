import { expect, test } from "vitest";
import type { SegmentQueue } from "#src/commitlog/segment-queue.js";
import { QueueProgress } from "#src/dispatch/shared-progress.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { MessageReader } from "#src/store/message-reader.js";
import { QueueUnits } from "#src/store/queue-units.js";

test("a unit that gives its record less bytes than any has points at none", () => {
  const disk = new MemoryDisk();
  disk.createSegment("/0", 4096);
  const segment = disk.openSegment("/0", 0, 4096);
  const segments = { at: () => segment } as Partial<SegmentQueue> as SegmentQueue;
  const reader = new MessageReader(segments, new QueueUnits(new QueueProgress()));
  for (const sizeBytes of [-1, 0, 1, 2, 3, 4, 90]) {
    segment.whole!.view.setInt32(0, sizeBytes);
    expect(reader.recordAt(0, sizeBytes)).toBeUndefined();
  }
  segment.whole!.view.setInt32(0, 91);
  expect(reader.recordAt(0, 91)).toHaveLength(91);
});
