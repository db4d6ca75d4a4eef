import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe } from "vitest";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend, FileDisk } from "#src/io/file-disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { describeDisk } from "../../conformance/disk.js";
import { skipAloud } from "./small-disk.js";

const root = mkdtempSync(join(tmpdir(), "cometmq-disk-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const FILE_BACKENDS: Backend[] = ["mmap-io", "koffi", "file"];

for (const backend of FILE_BACKENDS) {
  const reason = problemOf(backend);
  if (skipAloud(`the disk ${backend}`, reason)) describe.skip(backend);
  else describeDisk(backend, () => ({ disk: new FileDisk(backend), directory: mkdtempSync(join(root, "d-")) }));
}

describeDisk("memory", () => {
  const disk = new MemoryDisk();
  disk.makeDirectory("/memory");
  return { disk, directory: "/memory" };
});

function problemOf(backend: Backend): string | undefined {
  try {
    chooseBackend(backend);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
