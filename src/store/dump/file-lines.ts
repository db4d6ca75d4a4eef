/** What lies in a store's directory: every file with its length and its SHA-256, ordered by path. */
import { createHash } from "node:crypto";
import type { Disk } from "../../io/disk.js";
import type { DumpLine } from "./line.js";

const CHUNK_BYTES = 1024 * 1024;
/** Deeper than any store; keeps a directory that contains itself from being walked for ever. */
const DEPTH_MAX = 32;

export function* fileLines(disk: Disk, root: string): Generator<DumpLine> {
  for (const path of filePaths(disk, root, "", 0)) {
    const { sizeBytes, sha256 } = digest(disk, `${root}/${path}`);
    yield { type: "file", path, size: sizeBytes, sha256 };
  }
}

function* filePaths(disk: Disk, root: string, prefix: string, depth: number): Generator<string> {
  const names = disk.list(prefix === "" ? root : `${root}/${prefix.slice(0, -1)}`);
  // By the bytes of the whole path, in which a directory's name is followed by a slash.
  const entries = names
    .map((name) => ({ path: prefix + name, isDirectory: disk.isDirectory(`${root}/${prefix}${name}`) }))
    .map(({ path, isDirectory }) => ({ path, isDirectory, key: Buffer.from(isDirectory ? `${path}/` : path) }))
    .sort((a, b) => a.key.compare(b.key));
  for (const { path, isDirectory } of entries) {
    if (path === "lock" || path.startsWith("rocksdbstore")) continue;
    if (!isDirectory) yield path;
    else if (depth < DEPTH_MAX) yield* filePaths(disk, root, `${path}/`, depth + 1);
  }
}

function digest(disk: Disk, path: string): { sizeBytes: number; sha256: string } {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const file = disk.openFile(path, false, true);
  try {
    let sizeBytes = 0;
    for (let got = 1; got > 0; sizeBytes += got) {
      got = file.readAt(chunk, 0, CHUNK_BYTES, sizeBytes);
      hash.update(chunk.subarray(0, got));
    }
    return { sizeBytes, sha256: hash.digest("hex") };
  } finally {
    file.close();
  }
}
