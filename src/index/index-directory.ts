/**
 * The index files of a store, for the thread that writes them: recovery first, then the dispatch thread. Files are in
 * order of their names; only the last one is written to (store/index/IndexService). Names are checked before they become
 * paths, and a file that is not one of ours is reported and left alone.
 *
 * After a crash there are two ways. `discardAfter` is Apache's: every file that reaches past the checkpoint's index time
 * goes, which means the unfinished one always does, and what the log's replay does not reach stays unindexed.
 * `repairAfter` keeps what is in order in those files. After either, and whenever the log was cut, `truncateAfter` takes
 * off what lies past the log's end (see index-repair), and the replay adds what is missing.
 */
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";
import { EntryReader } from "./entry-reader.js";
import {
  IndexFile,
  indexFileBytes,
  indexFileName,
  type IndexProblem,
  type IndexSizes,
  isIndexFileName,
} from "./index-file.js";
import { cutEntries, rebuildSlots } from "./index-repair.js";

export interface IndexTruncation {
  readonly removedFiles: number;
  readonly removedEntries: number;
}

export class IndexDirectory {
  readonly path: string;
  readonly sizes: IndexSizes;
  /** Oldest first. */
  readonly files: IndexFile[] = [];
  /** What loading found; nothing was changed. */
  readonly problems: IndexProblem[] = [];
  readonly #disk: Disk;

  private constructor(disk: Disk, path: string, sizes: IndexSizes) {
    this.#disk = disk;
    this.path = path;
    this.sizes = sizes;
  }

  /** Reads every header; a missing directory is an empty one. */
  static load(disk: Disk, path: string, sizes: IndexSizes): IndexDirectory {
    const directory = new IndexDirectory(disk, path, sizes);
    const sizeBytes = indexFileBytes(sizes);
    for (const name of disk.list(path)) {
      const filePath = `${path}/${name}`;
      if (!isIndexFileName(name) || disk.isDirectory(filePath)) {
        directory.problems.push({ path: filePath, kind: "foreign", detail: "not an index file" });
        continue;
      }
      const foundBytes = disk.sizeOf(filePath);
      if (foundBytes === 0) {
        directory.problems.push({ path: filePath, kind: "empty", detail: "a file was being made" });
        continue;
      }
      if (foundBytes !== sizeBytes) {
        directory.problems.push({ path: filePath, kind: "size", detail: `${foundBytes} bytes, expected ${sizeBytes}` });
        continue;
      }
      const file = new IndexFile(disk, path, name, sizes);
      const implausible = loadHeader(file);
      if (implausible !== "") directory.problems.push({ path: filePath, kind: "header", detail: implausible });
      directory.files.push(file);
    }
    return directory;
  }

  get last(): IndexFile | undefined {
    return this.files.at(-1);
  }

  /** Entries in all files, as the headers have it. */
  get entryCount(): number {
    return this.files.reduce((sum, { header }) => sum + header.indexCount - 1, 0);
  }

  /** Length of the files, holes included (Apache's getTotalSize). */
  get totalBytes(): number {
    return this.files.length * indexFileBytes(this.sizes);
  }

  /** Makes the next file; it goes on from the last one's end. */
  append(nowMs: number): IndexFile {
    this.#disk.makeDirectory(this.path);
    let name = indexFileName(nowMs, this.last?.name ?? "");
    while (this.#disk.sizeOf(`${this.path}/${name}`) >= 0) name = indexFileName(nowMs, name);
    const file = new IndexFile(this.#disk, this.path, name, this.sizes);
    file.create(this.last?.header);
    this.files.push(file);
    return file;
  }

  /** Removes the oldest files while all they point at lies before `minPhyOffset`; the last file always stays. */
  deleteExpired(minPhyOffset: number): number {
    let removed = 0;
    while (this.files.length > 1 && this.files[0]!.header.endPhyOffset < minPhyOffset) {
      this.files[0]!.remove();
      this.files.shift();
      removed++;
    }
    return removed;
  }

  /** Apache's way after a crash: removes files whose end is after the checkpoint's index time. Returns how many. */
  discardAfter(indexMsgTimestamp: number): number {
    const kept = this.files.filter((file) => {
      if (file.header.endTimestamp <= indexMsgTimestamp) return true;
      file.remove();
      return false;
    });
    const removed = this.files.length - kept.length;
    this.files.splice(0, this.files.length, ...kept);
    return removed;
  }

  /**
   * Our way after a crash: in files that end after the checkpoint's index time, and those with an implausible header,
   * keeps the entries that are in order. When one of the former lost any, later files go as well: the replay brings
   * their keys back, but it would not fill a gap. Returns how many entries were lost. After a clean stop, with Infinity,
   * it mends implausible headers only.
   */
  repairAfter(indexMsgTimestamp: number): number {
    const suspects = new Set(
      this.problems.filter((problem) => problem.kind === "header").map((problem) => problem.path),
    );
    let lost = 0;
    for (let i = 0; i < this.files.length; i++) {
      const file = this.files[i]!;
      // A new file has the end of the one before it until its header is written again: its slots may be ahead of that.
      const isUntold = file.header.indexCount === 1 && Number.isFinite(indexMsgTimestamp);
      const isRecent = file.header.endTimestamp > indexMsgTimestamp || isUntold;
      if (!isRecent && !suspects.has(file.path)) continue;
      const lostHere = rebuildSlots(file, Number.MAX_SAFE_INTEGER, this.files[i - 1]?.header, isRecent);
      file.close();
      lost += lostHere;
      if (!isRecent || lostHere === 0) continue;
      for (const later of this.files.splice(i + 1)) {
        lost += later.header.indexCount - 1;
        later.remove();
      }
    }
    return lost;
  }

  /**
   * Takes off every entry at or past `maxPhyOffset`, the log's end, so that what is appended from there on is indexed
   * as if those entries had never been. Files of no length, left by a process killed while it made one, go too. Cheap
   * when there is nothing to do: call it on every start.
   */
  truncateAfter(maxPhyOffset: number): IndexTruncation {
    for (const problem of this.problems) if (problem.kind === "empty") this.#disk.remove(problem.path);
    let { removedFiles, removedEntries } = this.removeFrom(maxPhyOffset);
    for (let file = this.last; file !== undefined; file = this.last) {
      const before = this.files.at(-2)?.header;
      const counted = file.header.indexCount - 1;
      const removed = cutEntries(file, maxPhyOffset, before);
      removedEntries += removed >= 0 ? removed : rebuildSlots(file, maxPhyOffset, before, false);
      const wasCutEmpty = file.header.indexCount === 1 && counted > 0;
      if (!wasCutEmpty && (file.header.indexCount > 1 || before === undefined || before.endPhyOffset < maxPhyOffset)) {
        file.close();
        break;
      }
      file.remove();
      this.files.pop();
      removedFiles++;
    }
    return { removedFiles, removedEntries };
  }

  /**
   * Of that the part that costs nothing: newest files go whole whose first entry lies at `phyOffset` or past it. To be
   * called before a repair, which need not look at them then.
   */
  removeFrom(phyOffset: number): IndexTruncation {
    let removedFiles = 0;
    let removedEntries = 0;
    const entry = new EntryReader();
    for (let file = this.last; file !== undefined; file = this.last) {
      entry.reset(file);
      const isThere = entry.read(1) && (file.header.indexCount > 1 || entry.keyHash > 0);
      if (!isThere || entry.phyOffset < phyOffset) break;
      removedEntries += file.header.indexCount - 1;
      file.remove();
      this.files.pop();
      removedFiles++;
    }
    return { removedFiles, removedEntries };
  }

  close(): void {
    for (const file of this.files) file.close();
  }
}

/** What is implausible about the header; the file is closed again. */
function loadHeader(file: IndexFile): string {
  try {
    return file.load();
  } finally {
    file.close();
  }
}

/** Refuses a directory whose files have other sizes than the options say: writing beside them would mix two layouts. */
export function assertIndexSizes(directory: IndexDirectory): void {
  const other = directory.problems.find((problem) => problem.kind === "size");
  if (other === undefined) return;
  const what = `${other.path} has ${other.detail}`;
  if (directory.files.length > 0) {
    const detail = `${what}, as other index files have: \`cometmq store repair\` makes the index anew.`;
    throw new CometError("COMETMQ_STORE_CORRUPT", detail);
  }
  const detail = `${what} for these maxHashSlotNum and maxIndexNum. If these are right, \`cometmq store repair --index\` mends it.`;
  throw new CometError("COMETMQ_STORE_LAYOUT", detail);
}
