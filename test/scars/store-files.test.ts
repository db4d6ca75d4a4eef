/** What has broken elsewhere around files and maps of a log, done to this store. */
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend, FileDisk } from "#src/io/file-disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { MessageStore } from "#src/store/message-store.js";
import { diskOf, imageOf, message, openStore, ROOT } from "../property/store-fixture.js";
import { emptyPut, fill, SEGMENT_BYTES } from "../unit/store/harness.js";

const BACKENDS: Backend[] = ["mmap-io", "koffi", "file"];
const usable = BACKENDS.filter((backend) => {
  try {
    return chooseBackend(backend) === backend;
  } catch {
    process.stderr.write(`store-files: the backend ${backend} does not load here and is not tested\n`);
    return false;
  }
});

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function freshDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), "cometmq-scar-"));
  directories.push(directory);
  return directory;
}

test("#6747: a light queue with a slash in its name made directories of its own, and the next start stopped at them", async () => {
  const disk = new MemoryDisk();
  const store = await openStore(disk, SEGMENT_BYTES);
  const queue = store.queue("orders", 0);
  const names = ["%LMQ%a/b", "%LMQ%/../../out", "%LMQ%good"];
  const properties = {
    INNER_MULTI_DISPATCH: names.join(","),
    INNER_MULTI_QUEUE_OFFSET: names.map(() => "0").join(","),
  };
  expect(store.put(message(queue, Buffer.from("body"), properties), emptyPut())).toBe(0);
  await store.settled();
  // What a kill leaves; recovery enters the record into the queues that it names.
  const image = [...imageOf(disk)].filter(([file]) => !file.startsWith(`${ROOT}/consumequeue/`));
  const again = diskOf(new Map(image));
  for (let start = 0; start < 2; start++) {
    await using recovered = await openStore(again, SEGMENT_BYTES, { lmqEnabled: true });
    expect(recovered.topics().sort()).toEqual(["%LMQ%good", "orders"]);
    expect(again.list(`${ROOT}/consumequeue`)).toEqual(["%LMQ%good", "orders"]);
    expect(again.list(`${ROOT}/consumequeue/%LMQ%good`)).toEqual(["0"]);
  }
});

test.each(usable)(
  "rocksdb-js#481: a map beyond the end of its file ended the process; a file cut short is refused (%s)",
  async (backend) => {
    const directory = freshDirectory();
    const options = { directory, backend, segmentBytes: SEGMENT_BYTES, threads: false };
    const store = await MessageStore.open(options);
    fill(store, 2);
    await store.close();
    const log = path.join(directory, "commitlog");
    const cut = path.join(log, readdirSync(log).sort().at(-1)!);
    truncateSync(cut, SEGMENT_BYTES - 1);
    await expect(MessageStore.open(options)).rejects.toMatchObject({
      code: "COMETMQ_STORE_LAYOUT",
      message: expect.stringContaining(cut),
    });
    expect(readFileSync(cut).length).toBe(SEGMENT_BYTES - 1);
  },
);

test.each(usable)("ozra/mmap-io#31: what lay beyond 2 GiB of a map was a bus error (%s)", (backend) => {
  const file = path.join(freshDirectory(), "segment");
  const sizeBytes = 2 ** 31 + 8192;
  // A hole: on the disk it takes only the page that is written.
  closeSync(openSync(file, "w"));
  truncateSync(file, sizeBytes);
  const disk = new FileDisk(backend);
  const position = 2 ** 31 + 100;
  let segment: ReturnType<FileDisk["openSegment"]>;
  try {
    segment = disk.openSegment(file, 0, sizeBytes, true);
  } catch (error) {
    // mmap-io alone cannot: then it is an error, and no signal.
    expect(error).toMatchObject({ code: "COMETMQ_BACKEND" });
    return;
  }
  segment.write(Buffer.from("comet"), 0, 5, position);
  expect(segment.read(position, 5).toString()).toBe("comet");
  const there = Buffer.alloc(5);
  const fd = openSync(file, "r");
  readSync(fd, there, 0, 5, position);
  closeSync(fd);
  expect(there.toString()).toBe("comet");
  segment.close();
});
