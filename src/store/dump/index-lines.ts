/** The headers of the index files, and what look-ups by key answer. */
import { IndexDirectory } from "../../index/index-directory.js";
import { indexFileBytes, type IndexSizes } from "../../index/index-file.js";
import { IndexQuery } from "../../index/index-query.js";
import type { Disk } from "../../io/disk.js";
import type { KeyQueries, IndexedKey } from "./key-queries.js";
import type { DumpLine } from "./line.js";
import type { RecordLog } from "./record-log.js";

/** Apache answers a look-up with so many offsets at most (maxMsgsNumBatch). */
const OFFSETS_MAX = 64;
/** Of every so many look-ups one is made with time limits as well. */
const TIMED_EVERY = 16;
const WINDOW_MS = 2000;
/** Long.MAX_VALUE of Java, which stands for no limit. */
const NO_END = "9223372036854775807";
const NOBODY: IndexedKey = { topic: "NoSuchTopic", key: "no-such-key", kind: "K" };

export interface IndexLinesOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly sizes: IndexSizes;
  readonly log: RecordLog;
  /** False answers as if there were no index. */
  readonly known: boolean;
}

export function* indexLines(options: IndexLinesOptions, queries: KeyQueries): Generator<DumpLine> {
  const { disk, directory, sizes } = options;
  yield* indexFileLines(options);
  const query = new IndexQuery(disk, directory, sizes, { visitedEntriesMax: Number.POSITIVE_INFINITY });
  const lookUp = (asked: IndexedKey, beginMs: number, endMs: number): number[] =>
    options.known ? query.query({ ...asked, countMax: OFFSETS_MAX, beginMs, endMs }).phyOffsets : [];
  try {
    let count = 0;
    for (const asked of queries.sorted()) {
      const offsets = lookUp(asked, 0, Number.POSITIVE_INFINITY);
      yield lookUpLine(asked, 0, NO_END, offsets);
      if (count++ % TIMED_EVERY !== 0 || offsets.length === 0) continue;
      const time = options.log.storeTimestampAt(offsets[Math.floor(offsets.length / 2)]!);
      if (time === undefined) continue;
      yield lookUpLine(asked, 0, String(time), lookUp(asked, 0, time));
      yield lookUpLine(asked, time, NO_END, lookUp(asked, time, Number.POSITIVE_INFINITY));
      const [begin, end] = [time - WINDOW_MS, time + WINDOW_MS];
      yield lookUpLine(asked, begin, String(end), lookUp(asked, begin, end));
    }
    yield lookUpLine(NOBODY, 0, NO_END, lookUp(NOBODY, 0, Number.POSITIVE_INFINITY));
  } finally {
    query.close();
  }
}

export function* indexFileLines({ disk, directory, sizes, known }: IndexLinesOptions): Generator<DumpLine> {
  if (!known) return;
  const index = IndexDirectory.load(disk, directory, sizes);
  for (const [n, { header }] of index.files.entries()) {
    yield {
      type: "indexFile",
      n,
      size: indexFileBytes(sizes),
      beginTimestamp: header.beginTimestamp,
      endTimestamp: header.endTimestamp,
      beginPhyOffset: header.beginPhyOffset,
      endPhyOffset: header.endPhyOffset,
      hashSlotCount: header.hashSlotCount,
      indexCount: header.indexCount,
    };
  }
  index.close();
}

function lookUpLine({ topic, key, kind }: IndexedKey, begin: number, end: string, offsets: number[]): DumpLine {
  return { type: "index", topic, key, kind, begin: String(begin), end, offsets };
}
