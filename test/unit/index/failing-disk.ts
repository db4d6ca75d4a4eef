import { CometError } from "#src/base/errors.js";
import type { DiskFile } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";

/** A memory disk whose writes fail from a chosen one on, whose syncs fail when told to, and that counts. */
export class FailingDisk extends MemoryDisk {
  /** So many more writes succeed. */
  writesLeft = Infinity;
  syncFails = false;
  readCount = 0;
  writeCount = 0;
  writtenBytes = 0;
  openCount = 0;

  override openFile(path: string, create: boolean): DiskFile {
    const file = super.openFile(path, create);
    this.openCount++;
    const write = () => {
      this.writeCount++;
      if (this.writesLeft-- <= 0) throw new CometError("COMETMQ_DISK_FULL", `Cannot write ${path}.`);
    };
    const sync = () => {
      if (this.syncFails) throw new CometError("COMETMQ_IO", `Cannot sync ${path}.`);
    };
    return {
      path,
      readAt: (target, start, length, position) => {
        this.readCount++;
        return file.readAt(target, start, length, position);
      },
      writeAt: (source, start, length, position) => {
        write();
        this.writtenBytes += length;
        file.writeAt(source, start, length, position);
      },
      sizeBytes: () => file.sizeBytes(),
      truncate: (sizeBytes) => {
        write();
        file.truncate(sizeBytes);
      },
      sync: async () => sync(),
      syncNow: sync,
      close: () => {
        this.openCount--;
        file.close();
      },
    };
  }
}
