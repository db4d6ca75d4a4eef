/**
 * Every store that Apache wrote, opened and recovered by CometMQ and dumped line by line: with `recovery: "apache"` each
 * line is Apache's; with CometMQ's own recovery each line is Apache's or one of the differences that
 * docs/internals/recovery-differences.md lists.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Disk } from "#src/io/disk.js";
import { FileDisk } from "#src/io/file-disk.js";
import { OverlayDisk } from "#src/io/overlay-disk.js";
import { isQueued } from "#src/record/sys-flag.js";
import type { RecoveryReport } from "#src/recovery/recover.js";
import { canonicalJson } from "#src/store/dump/line.js";
import { StoreDump } from "#src/store/dump/store-dump.js";
import { MessageStore } from "#src/store/message-store.js";
import { PutStatus } from "#src/store/types.js";
import { messageInput } from "../unit/store/message-input.mjs";
import { expectedText, extractStore, type GoldenStore, storeNames } from "./golden-store.js";
import { treeState } from "./tree-state.js";

interface Line {
  readonly type: string;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly [member: string]: unknown;
}

interface Dumped {
  readonly lines: string[];
  readonly recovery: RecoveryReport;
}

async function dumpOf(
  store: GoldenStore,
  recovery: "thorough" | "apache",
  disk: Disk = new FileDisk(),
): Promise<Dumped> {
  const directory = join(store.dir, "store");
  const dump = await StoreDump.open({ disk, directory, conf: store.conf, recovery });
  const lines = [...dump.lines()].map(canonicalJson);
  const { recovery: report } = dump;
  await dump.close();
  return { lines, recovery: report };
}

const parsed = (lines: readonly string[]) => lines.map((line) => JSON.parse(line) as Line);

describe.each(storeNames())("store %s", (name) => {
  test("recovered Apache's way, every line is Apache's, and nothing in its directory has changed", async () => {
    const store = extractStore(name);
    const before = treeState(store.dir);
    const { lines } = await dumpOf(store, "apache");
    expect(lines).toEqual(expectedText(name));
    expect(treeState(store.dir)).toEqual(before);
  });
});

/** What becomes of a store whose queues and index were all lost: the log brings them back as they were. */
describe.each(["clean", "multi-segment", "broker", "broker-lmq", "prop-crc"])("store %s", (name) => {
  test("queues of every kind and the index come back from the log alone", async () => {
    const disk = new OverlayDisk(new FileDisk());
    const store = extractStore(name);
    for (const lost of ["consumequeue", "batchconsumequeue", "index"]) removeAll(disk, join(store.dir, "store", lost));
    const { lines, recovery } = await dumpOf(store, "thorough", disk);
    const withoutFiles = (text: readonly string[]) => text.filter((line) => !line.startsWith('{"type":"file"'));
    expect(withoutFiles(lines)).toEqual(withoutFiles(expectedText(name)));
    expect(recovery.findings).toEqual([]);
  });
});

function removeAll(disk: Disk, path: string): void {
  for (const name of disk.list(path)) {
    const entry = join(path, name);
    if (disk.isDirectory(entry)) removeAll(disk, entry);
    else disk.remove(entry);
  }
  disk.remove(path);
}

test("what Apache's way left out of a store is there when it is opened the next time", async () => {
  const { dir, conf } = extractStore("cq-lost-deep");
  const size = (name: string) => Number(conf.get(name));
  const options = {
    directory: join(dir, "store"),
    queueFileBytes: size("mappedFileSizeConsumeQueue"),
    indexSizes: { maxHashSlotNum: size("maxHashSlotNum"), maxIndexNum: size("maxIndexNum") },
  };
  const lacking = await MessageStore.open({ ...options, recovery: "apache" });
  expect(lacking.minOffset(lacking.queue("DeepA", 0))).toBe(15);
  await lacking.close();
  const whole = await MessageStore.open(options);
  expect(whole.recovery.fromOffset).toBe(0);
  expect(whole.minOffset(whole.queue("DeepA", 0))).toBe(0);
  expect(whole.lookUp.phyOffsetOf(whole.queue("DeepA", 0), 0)).toBe(1466);
  await whole.close();
});

/** Lines of each type that Apache answers and CometMQ does not, and the other way round. */
interface Difference {
  readonly apache: Readonly<Record<string, number>>;
  readonly comet: Readonly<Record<string, number>>;
}

const DIFFERENCES: Readonly<Record<string, Difference>> = {
  "abort-only": { apache: { indexFile: 1, index: 2 }, comet: { indexFile: 1, index: 2 } },
  "corrupt-middle": {
    apache: { store: 1, checkpoint: 1, queue: 4, offsetByTime: 13, indexFile: 2, index: 101 },
    comet: { store: 1, checkpoint: 1, log: 13, queue: 4, message: 13, offsetByTime: 13, indexFile: 2, index: 121 },
  },
  "corrupt-old": {
    apache: { checkpoint: 1, message: 1, offsetByTime: 2, indexFile: 2, index: 92 },
    comet: { checkpoint: 1, message: 1, offsetByTime: 2, indexFile: 2, index: 88 },
  },
  "corrupt-tail": {
    apache: { checkpoint: 1, indexFile: 1, index: 1 },
    comet: { checkpoint: 1, indexFile: 1, index: 1 },
  },
  "cq-behind": {
    apache: { queue: 2, message: 15, offsetByTime: 8, indexFile: 1, index: 32 },
    comet: { queue: 2, message: 18, offsetByTime: 8, indexFile: 1, index: 37 },
  },
  "cq-lost-deep": {
    apache: { checkpoint: 1, queue: 4, offsetByTime: 16, indexFile: 2, index: 107 },
    comet: { checkpoint: 1, queue: 4, message: 37, offsetByTime: 16, indexFile: 2, index: 159 },
  },
  crashed: {
    apache: { checkpoint: 1, indexFile: 1, index: 113 },
    comet: { checkpoint: 1, indexFile: 2, index: 128 },
  },
  "index-lost": { apache: { index: 394 }, comet: { indexFile: 2, index: 469 } },
};

const same = storeNames().filter((name) => !(name in DIFFERENCES));

test.each(same)("store %s recovered thoroughly has every line of Apache's and no other", async (name) => {
  const { lines } = await dumpOf(extractStore(name), "thorough");
  expect(lines).toEqual(expectedText(name));
});

test("clean and multi-segment are among those without a difference", () => {
  expect(same).toEqual(expect.arrayContaining(["clean", "multi-segment"]));
});

test("the differences are those that the documentation lists", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/internals/recovery-differences.md"), "utf8");
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map((row) => row[1]);
  expect([...new Set(rows)].sort()).toEqual(Object.keys(DIFFERENCES).sort());
});

function countsOf(lines: readonly Line[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { type } of lines) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

/** A store with differences, both sides of it. */
class Compared {
  readonly theirs: Line[];
  readonly ours: Line[];
  /** Lines that only one side has. */
  readonly onlyTheirs: Line[];
  readonly onlyOurs: Line[];
  readonly recovery: RecoveryReport;

  constructor(name: string, { lines, recovery }: Dumped) {
    const expected = expectedText(name);
    this.theirs = parsed(expected);
    this.ours = parsed(lines);
    const [theirSet, ourSet] = [new Set(expected), new Set(lines)];
    this.onlyTheirs = parsed(expected.filter((line) => !ourSet.has(line)));
    this.onlyOurs = parsed(lines.filter((line) => !theirSet.has(line)));
    this.recovery = recovery;
  }

  static readonly #made = new Map<string, Promise<Compared>>();

  static of(name: string): Promise<Compared> {
    let made = Compared.#made.get(name);
    if (made === undefined) {
      made = dumpOf(extractStore(name), "thorough").then((dumped) => new Compared(name, dumped));
      Compared.#made.set(name, made);
    }
    return made;
  }

  /** Offsets that Apache's untimed look-ups answer and ours do not, and the other way round; by topic, kind and key. */
  lookUps(): { key: string; theirs: number[]; ours: number[] }[] {
    const untimed = (lines: readonly Line[]) =>
      new Map(
        lines
          .filter(({ type, begin, end }) => type === "index" && begin === "0" && end === "9223372036854775807")
          .map((line) => [`${line.topic} ${line.kind} ${line.key}`, line.offsets as number[]]),
      );
    const theirs = untimed(this.theirs);
    return [...untimed(this.ours)].map(([key, ours]) => ({ key, theirs: theirs.get(key) ?? [], ours }));
  }
}

const ofType = (lines: readonly Line[], type: string) => lines.filter((line) => line.type === type);

/** The entries that the queues ought to have, by what Apache reads in the log. */
function entriesOfLog(lines: readonly Line[]): unknown[] {
  return ofType(lines, "log")
    .filter(({ sysFlag }) => isQueued(sysFlag as number))
    .map(({ topic, queueId, queueOffset, offset, size, tagsCode }) => [
      topic,
      queueId,
      queueOffset,
      offset,
      size,
      tagsCode,
    ])
    .sort(byText);
}

function entriesOfQueues(lines: readonly Line[]): unknown[] {
  return ofType(lines, "message")
    .map((line) => [line.topic, line.queueId, line.queueOffset, line.commitLogOffset, line.size, line.tagsCode])
    .sort(byText);
}

const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** What look-ups ought to answer, by the messages themselves: newest first, once for each time that a message has the key. */
function answersOfMessages(lines: readonly Line[]): Map<string, number[]> {
  const answers = new Map<string, number[]>();
  const add = (key: string, phyOffset: number) => answers.set(key, [phyOffset, ...(answers.get(key) ?? [])]);
  const messages = ofType(lines, "message").sort((a, b) => Number(a.commitLogOffset) - Number(b.commitLogOffset));
  for (const { topic, commitLogOffset, properties } of messages) {
    const { UNIQ_KEY, KEYS, TAGS } = properties as Record<string, string | undefined>;
    const phyOffset = commitLogOffset as number;
    if (UNIQ_KEY !== undefined) add(`${topic} U ${UNIQ_KEY}`, phyOffset);
    for (const key of KEYS?.split(" ").filter((part) => part !== "") ?? []) add(`${topic} K ${key}`, phyOffset);
    if (TAGS !== undefined) add(`${topic} T ${TAGS}`, phyOffset);
  }
  return answers;
}

describe.each(Object.keys(DIFFERENCES))("store %s recovered thoroughly", (name) => {
  test("has every message of its log under its own offset, and finds each by its keys", async () => {
    const compared = await Compared.of(name);
    const { theirs, ours, onlyTheirs, onlyOurs, recovery } = compared;
    expect(countsOf(onlyTheirs)).toEqual(DIFFERENCES[name]!.apache);
    expect(countsOf(onlyOurs)).toEqual(DIFFERENCES[name]!.comet);
    const goesOn = (DIFFERENCES[name]!.comet.log ?? 0) > 0;
    for (const type of goesOn ? ["file", "blank"] : ["file", "store", "log", "blank"])
      expect(ofType(ours, type)).toEqual(ofType(theirs, type));
    const theirLog = ofType(theirs, "log");
    expect(ofType(ours, "log").slice(0, theirLog.length)).toEqual(theirLog);
    expect(recovery.findings).toEqual([]);

    // A damaged record is in the log still, but in no queue and no index.
    const records = ofType(goesOn ? ours : theirs, "log").filter(({ crcOk }) => crcOk === true);
    const messages = ofType(ours, "message").filter(({ record }) => record !== null);
    expect(entriesOfQueues(messages)).toEqual(entriesOfLog(records));
    expect(messages.every((line) => !("record" in line))).toBe(true);
    for (const queue of ofType(ours, "queue")) {
      const entries = ofType(ours, "message").filter((m) => m.topic === queue.topic && m.queueId === queue.queueId);
      expect([queue.minOffset, queue.maxOffset]).toEqual([0, entries.length]);
    }

    const answers = answersOfMessages(messages);
    const lookUps = compared.lookUps().filter(({ key }) => key !== "NoSuchTopic K no-such-key");
    expect(lookUps.length).toBe(answers.size);
    for (const { key, ours: offsets } of lookUps) expect([key, offsets]).toEqual([key, answers.get(key)!.slice(0, 64)]);
  });
});

/** The log offsets that are among `more` and not among `less`, over all look-ups. */
function surplus(lookUps: { theirs: number[]; ours: number[] }[], more: "theirs" | "ours"): number[] {
  const less = more === "theirs" ? "ours" : "theirs";
  return [...new Set(lookUps.flatMap((lookUp) => lookUp[more].filter((offset) => !lookUp[less].includes(offset))))];
}

describe("the differences are nothing but", () => {
  test("abort-only: keys that Apache put into the index twice", async () => {
    const { onlyTheirs, onlyOurs } = await Compared.of("abort-only");
    expect(ofType(onlyTheirs, "index").map(({ key, offsets }) => [key, offsets])).toEqual([
      ["k7", [80580, 80580, 49152]],
      ["7F0000010A2B18B4AAC2584982A300C3", [80580, 80580]],
    ]);
    expect(ofType(onlyOurs, "index").map(({ offsets }) => offsets)).toEqual([[80580, 49152], [80580]]);
  });

  test("corrupt-tail: keys and times of the record that was cut off", async () => {
    const compared = await Compared.of("corrupt-tail");
    const { endOffset } = compared.recovery;
    const stale = surplus(compared.lookUps(), "theirs");
    expect(stale.length).toBeGreaterThan(0);
    expect(stale.every((offset) => offset >= endOffset)).toBe(true);
    expect(surplus(compared.lookUps(), "ours")).toEqual([]);
    expect(ofType(compared.onlyTheirs, "indexFile").every((file) => (file.endPhyOffset as number) >= endOffset)).toBe(
      true,
    );
    expect(ofType(compared.onlyOurs, "indexFile").every((file) => (file.endPhyOffset as number) < endOffset)).toBe(
      true,
    );
  });

  test("corrupt-middle: twelve messages behind the damaged one, which Apache cuts off", async () => {
    const compared = await Compared.of("corrupt-middle");
    const { onlyOurs, recovery } = compared;
    expect(recovery).toMatchObject({ cutBytes: 0, damages: [{ fromOffset: 152_564, toOffset: 152_996 }] });
    const [damaged, ...back] = ofType(onlyOurs, "log");
    expect([damaged!.offset, damaged!.size, damaged!.crcOk]).toEqual([152_564, 432, false]);
    // One record after the other, to the end.
    let next = 152_996;
    for (const { offset, size, crcOk } of back) {
      expect([offset, crcOk]).toEqual([next, true]);
      next += size as number;
    }
    expect(recovery.endOffset).toBe(next);
    // It was its queue's last message: nothing else gets its offset.
    const blanks = ofType(onlyOurs, "message").filter(({ record }) => record === null);
    expect(blanks.map(({ topic, queueId, queueOffset }) => [topic, queueId, queueOffset])).toEqual([
      ["MiddleB", 0, 61],
    ]);
    // Apache's index still knows what it cut off, and nothing of it is missing here but the damaged one.
    expect(surplus(compared.lookUps(), "theirs")).toEqual([152_564]);
    expect(surplus(compared.lookUps(), "ours").every((offset) => offset >= 152_996)).toBe(true);
  });

  test("corrupt-old: the damaged record, which is not served and not found", async () => {
    const compared = await Compared.of("corrupt-old");
    const { theirs, onlyTheirs, onlyOurs, recovery } = compared;
    const damaged = ofType(theirs, "log").filter(({ crcOk }) => crcOk === false);
    expect(damaged.map(({ offset, size }) => [offset, size])).toEqual([[1648, 273]]);
    expect(recovery.damages).toEqual([{ fromOffset: 1648, toOffset: 1921 }]);
    expect(recovery.cutBytes).toBe(0);
    expect(ofType(onlyTheirs, "message").map(({ commitLogOffset }) => commitLogOffset)).toEqual([1648]);
    expect(ofType(onlyOurs, "message")).toEqual([
      {
        type: "message",
        topic: "OldA",
        queueId: 1,
        queueOffset: 2,
        commitLogOffset: 0,
        size: 2147483647,
        tagsCode: "0",
        record: null,
      },
    ]);
    expect(surplus(compared.lookUps(), "theirs")).toEqual([1648]);
    expect(surplus(compared.lookUps(), "ours")).toEqual([]);
  });

  test("cq-behind: three messages that Apache loses, and what then lies at a wrong offset", async () => {
    const { theirs, ours, onlyTheirs } = await Compared.of("cq-behind");
    expect(ofType(onlyTheirs, "message").every(({ record }) => record !== undefined)).toBe(true);
    const offsetsIn = (lines: readonly Line[]) => ofType(lines, "message").map((line) => line.commitLogOffset);
    const lost = offsetsIn(ours).filter((offset) => !offsetsIn(theirs).includes(offset));
    expect(lost).toEqual([92769, 89925, 90980]);
  });

  test("cq-lost-deep: the messages before the tenth last segment", async () => {
    const compared = await Compared.of("cq-lost-deep");
    const back = ofType(compared.onlyOurs, "message").map((line) => line.commitLogOffset as number);
    expect(back.every((offset) => offset < 16384)).toBe(true);
    expect(back.length).toBe(37);
    expect(ofType(compared.onlyTheirs, "queue").map(({ minOffset }) => minOffset)).toEqual([15, 10, 6, 6]);
    expect(surplus(compared.lookUps(), "theirs")).toEqual([]);
    expect(surplus(compared.lookUps(), "ours").every((offset) => offset < 16384)).toBe(true);
  });

  test("crashed: keys of an index file that was never finished", async () => {
    const compared = await Compared.of("crashed");
    expect(surplus(compared.lookUps(), "theirs")).toEqual([]);
    const back = surplus(compared.lookUps(), "ours");
    expect(back.length).toBeGreaterThan(50);
    expect(back.every((offset) => offset >= 76_570 && offset < 98_304)).toBe(true);
    expect(compared.recovery.cutBytes).toBe(296);
  });

  test("index-lost: all of the index", async () => {
    const { theirs, onlyTheirs } = await Compared.of("index-lost");
    const answered = ofType(theirs, "index").filter(({ offsets }) => (offsets as number[]).length > 0);
    expect(answered).toEqual([]);
    expect(ofType(theirs, "indexFile")).toEqual([]);
    expect(onlyTheirs.length).toBe(ofType(theirs, "index").length - 1);
  });
});

test("a topic of batch queues takes no messages: with ordinary queues beside them Apache would not open the store", async () => {
  const { dir, conf } = extractStore("clean");
  const size = (name: string) => Number(conf.get(name));
  const store = await MessageStore.open({
    directory: join(dir, "store"),
    indexSizes: { maxHashSlotNum: size("maxHashSlotNum"), maxIndexNum: size("maxIndexNum") },
    lmqEnabled: true,
  });
  const result = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
  const put = (topic: string) =>
    store.put(messageInput(store.queue(topic, 0), Buffer.from("x"), Buffer.alloc(0)), result);
  expect([put("BatchCq"), put("OrderA")]).toEqual([PutStatus.SERVICE_NOT_AVAILABLE, PutStatus.PUT_OK]);
  await store.close();
  expect(existsSync(join(dir, "store", "consumequeue", "BatchCq"))).toBe(false);
});
