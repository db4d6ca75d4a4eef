/** What the tests of this area share: contexts over small files, and a disk that counts handles and fails on request. */
import { BlockPool } from "#src/consumequeue/block-pool.js";
import { ConsumeQueue } from "#src/consumequeue/consume-queue.js";
import { ConsumeQueueReader } from "#src/consumequeue/consume-queue-reader.js";
import { FileCache } from "#src/consumequeue/file-cache.js";
import { QueueContext } from "#src/consumequeue/queue-files.js";
import { UNIT_BYTES, type UnitBatch } from "#src/consumequeue/unit.js";
import { CometError } from "#src/base/errors.js";
import type { Disk, DiskFile } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";

export const DIRECTORY = "/store/consumequeue/T/0";

export class Fixture {
  readonly disk: Disk;
  readonly cache: FileCache;
  readonly context: QueueContext;
  readonly blocks: BlockPool;

  constructor(unitsPerFile: number, disk: Disk = new MemoryDisk(), handles = 16, blocks = 4) {
    this.disk = disk;
    this.cache = new FileCache(disk, handles);
    this.context = new QueueContext({
      disk,
      cache: this.cache,
      fileBytes: unitsPerFile * UNIT_BYTES,
      unitBytes: UNIT_BYTES,
      sizeOption: "mappedFileSizeConsumeQueue",
    });
    this.blocks = new BlockPool(blocks);
  }

  queue(directory: string = DIRECTORY): ConsumeQueue {
    return new ConsumeQueue(this.context, directory, "T", 0);
  }

  /** A new object over the same files. */
  reopened(mode: "abnormal" | "normal" | "trusted", directory: string = DIRECTORY): ConsumeQueue {
    const queue = this.queue(directory);
    queue.load();
    queue.recover(mode);
    return queue;
  }

  reader(directory: string = DIRECTORY): ConsumeQueueReader {
    const { disk, cache, blocks } = this;
    return new ConsumeQueueReader({ disk, cache, blocks, fileBytes: this.context.fileBytes }, directory);
  }

  bytes(name: string, directory: string = DIRECTORY): Buffer {
    return this.disk.readFile(`${directory}/${name}`)!;
  }
}

/** Unit k of a test queue: records of 100 bytes, one after the other from log offset 1000. */
export const phyOf = (k: number): number => 1000 + 100 * k;
export const SIZE = 100;

export function appendUnits(queue: ConsumeQueue, from: number, to: number): void {
  for (let k = from; k < to; k++) queue.append(phyOf(k), SIZE, k, k);
}

export function phyOffsets(batch: UnitBatch): number[] {
  return [...batch.phyOffset.subarray(0, batch.count)];
}

/** Delegates to a MemoryDisk; counts open handles, and refuses writes while `failWith` is set. */
export class WatchedDisk {
  readonly #disk = new MemoryDisk();
  openHandles = 0;
  openMax = 0;
  reads = 0;
  /** Handles that can be open at once. */
  handlesMax = Number.POSITIVE_INFINITY;
  failWith: "COMETMQ_DISK_FULL" | "COMETMQ_IO" | undefined;
  /** Writes allowed before `failWith` takes effect. */
  failAfter = 0;
  syncs: string[] = [];
  /** Resolves the syncs under way, when set. */
  holdSyncs: Promise<void> | undefined;

  asDisk(): Disk {
    const watched = this;
    return new Proxy(this.#disk as Disk, {
      get(target, property) {
        if (property === "openFile")
          return (path: string, create: boolean) => watched.#open(target.openFile(path, create));
        const value = target[property as keyof Disk];
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  #open(file: DiskFile): DiskFile {
    if (this.openHandles >= this.handlesMax) throw new CometError("COMETMQ_HANDLES", "As asked.");
    this.openHandles++;
    this.openMax = Math.max(this.openMax, this.openHandles);
    let open = true;
    const check = (): DiskFile => {
      if (!open) throw new Error(`used after close: ${file.path}`);
      return file;
    };
    const forWriting = (): DiskFile => {
      if (this.failWith !== undefined && this.failAfter-- <= 0) throw new CometError(this.failWith, "As asked.");
      return check();
    };
    return {
      path: file.path,
      readAt: (...args) => {
        this.reads++;
        return check().readAt(...args);
      },
      writeAt: (...args) => forWriting().writeAt(...args),
      truncate: (size) => forWriting().truncate(size),
      sizeBytes: () => check().sizeBytes(),
      sync: async () => {
        check();
        await this.holdSyncs;
        check();
        this.syncs.push(file.path);
      },
      syncNow: () => {
        check();
        this.syncs.push(file.path);
      },
      close: () => {
        if (open) this.openHandles--;
        open = false;
        file.close();
      },
    };
  }
}
