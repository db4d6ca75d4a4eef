/** fdatasync, as every file of a store is made durable. */
import * as fs from "node:fs";
import { failpoint } from "../base/failpoint.js";
import { ioError } from "./system-error.js";

/** On a pool thread. */
export function syncFile(fd: number, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    try {
      failpoint("disk-sync");
    } catch (error) {
      reject(ioError("sync", path, error));
      return;
    }
    fs.fdatasync(fd, (error) => (error ? reject(ioError("sync", path, error)) : resolve()));
  });
}

export function syncFileNow(fd: number, path: string): void {
  try {
    failpoint("disk-sync");
    fs.fdatasyncSync(fd);
  } catch (error) {
    throw ioError("sync", path, error);
  }
}
