/**
 * Apache takes over what CometMQ wrote, and gives it back: with other sizes of segments, queue files and index files, and
 * other contents for each seed. `npm run test:golden` names more seeds in COMETMQ_GOLDEN_SEEDS, and then has every size.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { encodeProperties } from "#src/record/properties.js";
import { MessageStore } from "#src/store/message-store.js";
import type { StoreOptions } from "#src/store/options.js";
import { emptyGetResult, GetStatus, PutStatus } from "#src/store/types.js";
import { copyAsKilled } from "../unit/store/fixture.js";
import { emptyPut, input } from "../unit/store/harness.js";
import { apacheDump, apacheReopen, describeWithApache } from "./apache.js";

const COMMAND = path.join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const SEEDS = (process.env.COMETMQ_GOLDEN_SEEDS ?? "").split(",").filter(Boolean).map(Number);

interface Sizes {
  readonly segmentBytes: number;
  readonly queueFileBytes: number;
  readonly indexSizes: { maxHashSlotNum: number; maxIndexNum: number };
  readonly count: number;
}

const SIZES: Sizes[] = [
  { segmentBytes: 20_480, queueFileBytes: 20 * 7, indexSizes: { maxHashSlotNum: 3, maxIndexNum: 50 }, count: 160 },
  { segmentBytes: 65_536, queueFileBytes: 20 * 50, indexSizes: { maxHashSlotNum: 101, maxIndexNum: 700 }, count: 400 },
  { segmentBytes: 100_003, queueFileBytes: 20 * 33, indexSizes: { maxHashSlotNum: 7, maxIndexNum: 90 }, count: 300 },
  {
    segmentBytes: 1 << 20,
    queueFileBytes: 20 * 300,
    indexSizes: { maxHashSlotNum: 997, maxIndexNum: 5000 },
    count: 2500,
  },
];
const CASES =
  SEEDS.length === 0
    ? [[SIZES[0]!, 1] as const]
    : SIZES.flatMap((sizes) => SEEDS.map((seed) => [sizes, seed] as const));

/** Park and Miller's generator: the same contents for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = (seed % 2_147_483_646) + 1;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

const optionsOf = (directory: string, { segmentBytes, queueFileBytes, indexSizes }: Sizes): StoreOptions => ({
  directory,
  segmentBytes,
  queueFileBytes,
  indexSizes,
});

/** Keys that are ASCII, that are not, and that are no UTF-8 at all. */
function propertiesOf(i: number, random: (below: number) => number): Buffer {
  const keys = [`k${i}`, `schlüssel${i % 5} k${i}`, `鍵${i} \u{1f511}`][random(3)]!;
  const plain = encodeProperties([
    ["KEYS", keys],
    ["UNIQ_KEY", `TAKEOVER${i}`],
    ["TAGS", ["red", "grün", "blue"][random(3)]!],
  ]);
  if (random(8) > 0) return plain;
  return Buffer.concat([
    Buffer.from("KEYS\u0001k"),
    Buffer.from("eda080f541e282", "hex"),
    Buffer.from("\u0002"),
    plain.subarray(0, 0),
  ]);
}

async function write(directory: string, sizes: Sizes, seed: number): Promise<MessageStore> {
  const random = randomFrom(seed);
  const store = await MessageStore.open(optionsOf(directory, sizes));
  const result = emptyPut();
  for (let i = 0; i < sizes.count; i++) {
    const topic = ["orders", "a-topic_with%signs", "T".repeat(60)][random(3)]!;
    const message = input(store, topic, random(4), "");
    message.body = Buffer.alloc(1 + random(1500), `body ${seed} ${i} `);
    message.bodyLength = message.body.length;
    message.properties = propertiesOf(i, random);
    message.propertiesLength = message.properties.length;
    message.bornTimestamp = 1_700_000_000_000 + i;
    if (store.put(message, result) !== PutStatus.PUT_OK) throw new Error("the put failed");
  }
  await store.settled();
  return store;
}

/** Every record's queue and bytes, but those of topic `Reopened`. */
async function contentOf(directory: string, sizes: Sizes): Promise<string[]> {
  await using store = await MessageStore.open(optionsOf(directory, sizes));
  await store.settled();
  const content: string[] = [];
  const result = emptyGetResult();
  for (const queue of store.allQueues()) {
    if (queue.topic === "Reopened") continue;
    const limits = { maxCount: 32, maxBytes: 1 << 22 };
    for (let offset = 0; ; offset = result.nextBeginOffset) {
      if (store.get(queue, offset, limits, undefined, result) !== GetStatus.FOUND) break;
      for (const [i, record] of result.records.entries()) {
        content.push(`${queue.topic} ${queue.queueId} ${result.queueOffsets[i]} ${record.toString("base64")}`);
      }
    }
  }
  return content.sort();
}

async function cometDump(directory: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [COMMAND, "store", "dump", "--json", directory], {
    maxBuffer: 1 << 28,
  });
  return stdout.trimEnd().split("\n");
}

describeWithApache("Apache takes over", () => {
  test.each(CASES)("a store of sizes %j, seed %i", { timeout: 120_000 }, async (sizes, seed) => {
    const scratch = mkdtempSync(path.join(tmpdir(), "cometmq-takeover-"));
    try {
      const [live, killed, given] = ["live", "killed", "given"].map((name) => path.join(scratch, name)) as [
        string,
        string,
        string,
      ];
      const store = await write(path.join(live, "store"), sizes, seed);
      // What a killed process leaves: all it wrote, and the abort file.
      copyAsKilled(live, killed);
      await store.close();
      for (const dir of [live, killed]) {
        const { maxHashSlotNum, maxIndexNum } = sizes.indexSizes;
        writeFileSync(
          path.join(dir, "broker.conf"),
          `mappedFileSizeCommitLog=${sizes.segmentBytes}\nmappedFileSizeConsumeQueue=${sizes.queueFileBytes}\n` +
            `maxHashSlotNum=${maxHashSlotNum}\nmaxIndexNum=${maxIndexNum}\n`,
        );
      }
      const [apache, comet] = await Promise.all([apacheDump(live), cometDump(live)]);
      const differing = apache.findIndex((line, i) => line !== comet[i]);
      expect([differing, comet[differing]]).toEqual([-1, apache[differing]]);

      const lines = await apacheReopen(killed, ["--append", "25", "--queues", "3", "--out", given]);
      expect(JSON.parse(lines.at(-1)!)).toMatchObject({ stage: "ok", appended: 25 });
      const written = await contentOf(path.join(live, "store"), sizes);
      expect(written.length).toBe(sizes.count);
      expect(await contentOf(path.join(given, "store"), sizes)).toEqual(written);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
});
