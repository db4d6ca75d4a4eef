/**
 * The files of a commit log as they lie in a directory, whatever state it is in: nothing is refused and nothing changed.
 * `commitlog/segment-queue.ts` is the strict one that an open store uses.
 */
import type { Disk } from "../../io/disk.js";

const NAME = /^\d{20}$/;

export interface LogFile {
  readonly name: string;
  readonly path: string;
  /** Log offset of its first byte. */
  readonly base: number;
  /** Length of the file, which should be `segmentBytes`. */
  readonly sizeBytes: number;
}

export interface LogLayout {
  readonly directory: string;
  readonly exists: boolean;
  readonly segmentBytes: number;
  /** In order. Each begins where a segment may begin; some may be missing in between, and lengths may be wrong. */
  readonly files: readonly LogFile[];
  /** Segments by name, but not at a multiple of the segment size. */
  readonly misaligned: readonly LogFile[];
  /** Names that are no segment's. */
  readonly foreign: readonly string[];
}

/** `wantedBytes` is mappedFileSizeCommitLog where it is known; else the size is the one that most files have. */
export function listLog(
  disk: Disk,
  directory: string,
  wantedBytes: number | undefined,
  defaultBytes: number,
): LogLayout {
  const named: LogFile[] = [];
  const foreign: string[] = [];
  for (const name of disk.list(directory)) {
    const path = `${directory}/${name}`;
    const base = Number(name);
    if (!NAME.test(name) || !Number.isSafeInteger(base) || disk.isDirectory(path)) foreign.push(name);
    else named.push({ name, path, base, sizeBytes: disk.sizeOf(path) });
  }
  const segmentBytes = wantedBytes ?? likelySize(named) ?? defaultBytes;
  return {
    directory,
    exists: disk.isDirectory(directory),
    segmentBytes,
    files: named.filter(({ base }) => base % segmentBytes === 0),
    misaligned: named.filter(({ base }) => base % segmentBytes !== 0),
    foreign,
  };
}

/** The commonest size; of equally common ones that which the names are apart. */
function likelySize(files: readonly LogFile[]): number | undefined {
  const counts = new Map<number, number>();
  for (const { sizeBytes } of files) if (sizeBytes > 0) counts.set(sizeBytes, (counts.get(sizeBytes) ?? 0) + 1);
  const most = Math.max(...counts.values());
  const candidates = [...counts.keys()].filter((sizeBytes) => counts.get(sizeBytes) === most);
  const spacing = Math.min(...files.slice(1).map(({ base }, i) => base - files[i]!.base));
  return candidates.find((sizeBytes) => sizeBytes === spacing) ?? candidates[0];
}

/** Log offset behind the last file. */
export function filesEnd(layout: LogLayout): number {
  const last = layout.files.at(-1);
  return last === undefined ? 0 : last.base + layout.segmentBytes;
}

export function fileAt(layout: LogLayout, phyOffset: number): LogFile | undefined {
  const base = phyOffset - (phyOffset % layout.segmentBytes);
  return layout.files.find((file) => file.base === base);
}

/** The missing files between those that are there, as stretches of the log. */
export function holesOf(layout: LogLayout): { from: number; to: number }[] {
  const holes: { from: number; to: number }[] = [];
  for (let i = 1; i < layout.files.length; i++) {
    const from = layout.files[i - 1]!.base + layout.segmentBytes;
    const to = layout.files[i]!.base;
    if (from < to) holes.push({ from, to });
  }
  return holes;
}
