/** A process killed in the midst of retention, of a roll, of recovery: what the next start makes of the store. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { FAILPOINTS } from "#src/base/failpoint.js";
import { MessageStore } from "#src/store/message-store.js";
import { put, readAll, SEGMENT_BYTES } from "./harness.js";

const CHILD = join(import.meta.dirname, "retention-child.mjs");
const ROUNDS = 6;

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

interface Acked {
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly phyOffset: number;
  readonly text: string;
}

function run(
  directory: string,
  rounds: number,
  threads: string,
  failpoint: string,
): { signal: string | null; acked: Acked[] } {
  const child = spawnSync(process.execPath, [CHILD, directory, String(rounds), threads], {
    env: { ...process.env, COMETMQ_FAILPOINT: failpoint },
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (child.signal === null && child.status !== 0) throw new Error(child.stderr);
  const acked = child.stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const [topic = "", queueId, queueOffset, phyOffset, text = ""] = line.split(" ");
      return { topic, queueId: Number(queueId), queueOffset: Number(queueOffset), phyOffset: Number(phyOffset), text };
    });
  return { signal: child.signal, acked };
}

/** Opens what was left behind and compares it with what had been acknowledged. */
async function check(directory: string, acked: readonly Acked[]): Promise<void> {
  await using store = await MessageStore.open({
    directory,
    segmentBytes: SEGMENT_BYTES,
    queueFileBytes: 400,
    indexSizes: { maxHashSlotNum: 64, maxIndexNum: 101 },
  });
  expect(store.recovery.findings).toEqual([]);
  const queues = new Map<string, Acked[]>();
  for (const message of acked) {
    const name = `${message.topic} ${message.queueId}`;
    queues.set(name, [...(queues.get(name) ?? []), message]);
  }
  for (const [name, messages] of queues) {
    const { topic, queueId } = messages[0]!;
    const kept = messages.filter(({ phyOffset }) => phyOffset >= store.minPhyOffset);
    const min = kept[0]?.queueOffset ?? messages.length;
    const queue = store.queue(topic, queueId);
    expect([name, store.minOffset(queue)]).toEqual([name, min]);
    // The last record may have been written without its acknowledgement getting out.
    const read = readAll(store, topic, queueId, min);
    expect(read.slice(0, kept.length)).toEqual(kept.map(({ queueOffset, text }) => [queueOffset, text]));
    expect(read.length - kept.length).toBeLessThanOrEqual(1);
    const files = readdirSync(join(directory, "consumequeue", topic, String(queueId)));
    const max = store.maxOffset(queue);
    expect(Number(files[0])).toBeGreaterThanOrEqual(Math.min(min, max - 1) * 20 - 400 + 1);
    expect(put(store, topic, queueId, "next").queueOffset).toBe(max);
    for (const { text } of kept) {
      expect(store.lookUp.queryByKey({ topic, key: text, kind: "K", countMax: 9 }).records.length).toBe(1);
    }
  }
}

const PLACES = [
  ...["segment-delete-before", "segment-delete-after"].flatMap((name) => [`${name}`, `${name}:2`, `${name}:7`]),
  ...["", ":2", ":5", ":20"].map((count) => `queue-files-delete-after${count}`),
  ...["", ":3", ":9"].map((count) => `segment-roll${count}`),
];

test.each(
  PLACES.flatMap((place) => [
    [place, "threads"],
    [place, "inline"],
  ]),
)("killed at %s, %s", async (place, threads) => {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-crash-"));
  directories.push(directory);
  const { signal, acked } = run(directory, ROUNDS, threads!, place!);
  expect(signal).toBe("SIGKILL");
  await check(directory, acked);
});

test.each(["recovery-truncate-before", "recovery-truncate-after"])("killed again at %s", async (place) => {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-crash-"));
  directories.push(directory);
  const { signal, acked } = run(directory, ROUNDS, "threads", "segment-delete-after:3");
  expect(signal).toBe("SIGKILL");
  for (let i = 0; i < 2; i++) expect(run(directory, 0, "threads", place).signal).toBe("SIGKILL");
  await check(directory, acked);
});

test("every failpoint is passed in these tests, and the process lives without one", () => {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-crash-"));
  directories.push(directory);
  const { signal, acked } = run(directory, 2, "threads", "");
  expect(signal).toBeNull();
  expect(acked.length).toBe(202);
  const names = new Set(PLACES.map((place) => place.split(":")[0]));
  // Those of the broker, and of threads and disks that fail, are passed in tests of their own.
  const elsewhere = /^(recovery|transaction|dispatch|disk)-/;
  expect(FAILPOINTS.filter((name) => !names.has(name) && !elsewhere.test(name))).toEqual([]);
});
