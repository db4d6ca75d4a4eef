/**
 * xxHash64 of each segment's bytes up to the log's end. Bytes of a log never change once they are written, so digests
 * taken earlier must hold later, on a copy, or after a restore; a segment that has grown is compared as far as it was.
 * The file is one line a segment, as checksum tools write: digest, bytes, name.
 */
import xxhash from "xxhash-wasm";
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";
import type { LogLayout } from "./doctor/log-files.js";

const CHUNK_BYTES = 1024 * 1024;
const LINE = /^([0-9a-f]{16}) {2}(\d{1,15}) {2}(\d{20})$/;

export interface SegmentDigest {
  readonly name: string;
  /** From the segment's first byte on. */
  readonly bytes: number;
  /** 16 hexadecimal digits. */
  readonly xxh64: string;
}

export type Hasher = Awaited<ReturnType<typeof xxhash>>;

export function loadHasher(): Promise<Hasher> {
  return xxhash();
}

/** Digest of the file's first `bytes` bytes, or as many as there are. */
export function digestFile(disk: Disk, hasher: Hasher, path: string, name: string, bytes: number): SegmentDigest {
  const hash = hasher.create64();
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const file = disk.openFile(path, false);
  let done = 0;
  try {
    while (done < bytes) {
      const got = file.readAt(chunk, 0, Math.min(CHUNK_BYTES, bytes - done), done);
      if (got === 0) break;
      hash.update(chunk.subarray(0, got));
      done += got;
    }
  } finally {
    file.close();
  }
  return { name, bytes: done, xxh64: hash.digest().toString(16).padStart(16, "0") };
}

/** Of every segment that the log reaches into. */
export function* digestLog(disk: Disk, hasher: Hasher, layout: LogLayout, endOffset: number): Generator<SegmentDigest> {
  for (const { path, name, base } of layout.files) {
    const used = Math.min(layout.segmentBytes, endOffset - base);
    if (used > 0) yield digestFile(disk, hasher, path, name, used);
  }
}

export function formatDigests(digests: readonly SegmentDigest[]): string {
  return digests.map(({ xxh64, bytes, name }) => `${xxh64}  ${bytes}  ${name}\n`).join("");
}

/** COMETMQ_CONFIG for a text that is no list of digests. */
export function parseDigests(text: string, path: string): SegmentDigest[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line, i) => {
      const match = LINE.exec(line);
      if (match === null)
        throw new CometError("COMETMQ_CONFIG", `${path}, line ${i + 1}: this is no segment's digest.`);
      return { xxh64: match[1]!, bytes: Number(match[2]), name: match[3]! };
    });
}
