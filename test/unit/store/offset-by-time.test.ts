/** Queue offsets by time in a log that has lost messages: the sound ones are found as if nothing were missing. */
import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import {
  bodyOf,
  diskOf,
  imageOf,
  openStore,
  put,
  QUEUE_FILE_BYTES,
  segmentPath,
  TickingClock,
} from "../../property/store-fixture.js";

const SEGMENT_BYTES = 64 * 1024;
const UNITS_PER_FILE = QUEUE_FILE_BYTES / 20;
const COUNT = UNITS_PER_FILE + 30;

const open = (disk: MemoryDisk): Promise<MessageStore> => openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });

test("one bad record costs that record, wherever in its queue's files it lies", async () => {
  const disk = new MemoryDisk();
  const written = await open(disk);
  const messages = Array.from({ length: COUNT }, (_, i) => put(written, "T", 0, bodyOf(i, 40))).map((at) => ({
    ...at,
  }));
  await written.close();
  const image = imageOf(disk);
  image.delete("/store/dispatch.checkpoint");
  const places = [[0], [1], [24], [UNITS_PER_FILE - 1], [UNITS_PER_FILE], [COUNT - 1], [20, 21, 22, 23, 24, 25]];
  for (const lost of places) {
    const damaged = diskOf(image);
    const segment = damaged.openFile(segmentPath(SEGMENT_BYTES, 0), false);
    for (const i of lost) segment.writeAt(Buffer.alloc(8, 0xff), 0, 8, messages[i]!.phyOffset + 90);
    segment.close();
    const store = await open(damaged);
    const queue = store.queue("T", 0);
    const sound = messages.filter((_, i) => !lost.includes(i) && i < store.maxOffset(queue));
    for (const boundary of ["LOWER", "UPPER"] as const) {
      const found = sound.map(({ storeTimestamp }) => store.lookUp.offsetByTime(queue, storeTimestamp, boundary));
      expect(found, `${boundary} without ${lost}`).toEqual(sound.map(({ queueOffset }) => queueOffset));
    }
    await store.close();
  }
});
