/**
 * A broker's store with every kind of file in it, of which some were changed at random: the broker starts, or refuses with an
 * error that says why; it throws nothing else, takes and gives messages, makes nothing outside of the store, and comes to an
 * end. Seeds and times as in parsers.test.ts.
 */
import { dirname } from "node:path/posix";
import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { RequestCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { Broker } from "#src/server/broker/broker.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { FakeLog, heartbeatBody } from "../unit/broker/harness.js";
import { clientOf, closeAll, properties, pull, send, sendFieldsV2 } from "../server/harness.js";
import { imageOf } from "../property/store-fixture.js";
import { changed } from "./bytes.js";
import { Dice } from "./mutations.js";

const SECONDS = Number(process.env["COMETMQ_FUZZ_SECONDS"] ?? 1);
const SEED = Number(process.env["COMETMQ_SEED"] ?? Date.now() % 1e9);
const ROOT = "/data/store";
const MISSING = Buffer.alloc(0);

const CONFIG = defaultBrokerConfig({
  storePathRootDir: ROOT,
  listenPort: 0,
  brokerName: "b",
  mappedFileSizeCommitLog: 64 * 1024,
  mappedFileSizeConsumeQueue: 20 * 50,
  maxHashSlotNum: 64,
  mappedFileSizeTimerLog: 4096,
  maxIndexNum: 200,
  authenticationMetadataProvider: "LocalAuthenticationMetadataProvider",
});

async function startOn(disk: MemoryDisk, log: FakeLog): Promise<Broker> {
  const given = new Set(["mappedFileSizeCommitLog", "mappedFileSizeConsumeQueue"]);
  return Broker.start({ reading: { config: CONFIG, given }, disk, log });
}

/** By path, everything that a broker keeps. */
async function originals(): Promise<Map<string, Buffer>> {
  const disk = new MemoryDisk();
  const broker = await startOn(disk, new FakeLog());
  const client = clientOf(broker.port);
  const ask = (code: number, fields: Fields, body = "") => client.call(code, fields, Buffer.from(body), 10_000);
  for (let i = 0; i < 60; i++) {
    const more =
      i % 7 === 0 ? { DELAY: "3" } : i % 11 === 0 ? { TIMER_DELAY_SEC: "1000" } : { KEYS: `k${i}`, TAGS: "t" };
    await send(
      client,
      { topic: `T${i % 2}`, queueId: i % 3, properties: properties({ UNIQ_KEY: `u${i}`, ...more }) },
      `body ${i}`,
    );
  }
  const half = properties({ TRAN_MSG: "true", PGROUP: "P", UNIQ_KEY: "half" });
  await client.call(
    RequestCode.SEND_MESSAGE_V2,
    sendFieldsV2({ topic: "T0", sysFlag: 4, properties: half }),
    Buffer.from("half"),
    10_000,
  );
  await ask(RequestCode.HEART_BEAT, {}, heartbeatBody("c", "G", [["T0", "*"]]));
  await ask(RequestCode.UPDATE_CONSUMER_OFFSET, { consumerGroup: "G", topic: "T0", queueId: 0, commitOffset: 3 });
  await ask(RequestCode.POP_MESSAGE, {
    consumerGroup: "G",
    topic: "T1",
    queueId: -1,
    maxMsgNums: 8,
    invisibleTime: 60_000,
    pollTime: 0,
    bornTime: Date.now(),
    initMode: 0,
  });
  await ask(RequestCode.AUTH_CREATE_USER, { username: "u" }, JSON.stringify({ password: "pw" }));
  await ask(
    RequestCode.AUTH_CREATE_ACL,
    { subject: "User:u" },
    JSON.stringify({ policies: [{ entries: [{ resource: "Topic:*", actions: ["Pub"], decision: "Allow" }] }] }),
  );
  await broker.store.settled();
  await broker.close();
  await closeAll();
  return imageOf(disk, "/data");
}

function damaged(dice: Dice, image: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  const copy = new Map(image);
  const paths = [...image.keys()];
  for (let count = 1 + dice.below(3); count > 0; count--) {
    const path = dice.one(paths);
    const bytes = copy.get(path) ?? MISSING;
    const other = image.get(dice.one(paths))!;
    const kind = dice.below(10);
    if (kind === 0) copy.set(path, MISSING);
    else if (kind === 1) copy.delete(path);
    else if (kind === 2) copy.set(path, other);
    else if (kind === 3)
      copy.set(
        `${dirname(path)}/${dice.one(["00000000000000065536", "x", "00000000000000000001", "..x", "-1"])}`,
        other,
      );
    else copy.set(path, hurt(dice, bytes, other));
  }
  return copy;
}

/** Small files as any bytes; large ones keep their size, as files do that are made whole, and are hurt where they are used. */
function hurt(dice: Dice, bytes: Buffer, other: Buffer): Buffer {
  if (bytes.length <= 4096) return changed(dice, bytes, other, ["null", "-1", "[]", "{}", '"../x"', "1e99"]);
  const copy = Buffer.from(bytes);
  for (let edits = 1 + dice.below(4); edits > 0; edits--) {
    const at = dice.below(dice.rarely(3) ? copy.length : 8192) % copy.length;
    const piece = changed(dice, copy.subarray(at, at + 16), other.subarray(0, 64), []);
    const end = Math.min(copy.length, at + 1 + dice.below(32));
    if (piece.length === 0) copy.fill(0, at, end);
    else copy.fill(piece, at, end);
  }
  return dice.rarely(10) ? copy.subarray(0, dice.below(copy.length)) : copy;
}

function diskOf(image: ReadonlyMap<string, Buffer>): MemoryDisk {
  const disk = new MemoryDisk();
  for (const [path, bytes] of image) {
    disk.makeDirectory(dirname(path));
    disk.writeAtomically(path, bytes);
  }
  return disk;
}

/** What was logged as an error and is none that is meant. */
function unmeant(log: FakeLog): unknown[] {
  return log.lines.filter(({ fields }) => {
    const error = fields["err"];
    return (
      error instanceof Error && !(error instanceof CometError) && /^(Type|Range|Reference|Assertion)/.test(error.name)
    );
  });
}

async function live(image: ReadonlyMap<string, Buffer>): Promise<string> {
  const disk = diskOf(image);
  const log = new FakeLog();
  let broker: Broker;
  try {
    broker = await startOn(disk, log);
  } catch (error) {
    if (error instanceof CometError) return error.code;
    throw error;
  }
  try {
    const client = clientOf(broker.port);
    const { code } = await send(client, { topic: "T0" }, "after");
    for (const queueId of [0, 1]) await pull(client, { topic: `T${queueId}`, queueId, queueOffset: 2 });
    await client.call(
      RequestCode.QUERY_MESSAGE,
      { topic: "T0", key: "k2", maxNum: 9, beginTimestamp: 0, endTimestamp: 2e12 },
      undefined,
      10_000,
    );
    expect(unmeant(log)).toEqual([]);
    return `started ${code}`;
  } finally {
    await closeAll();
    await broker.close();
    expect(disk.list("/")).toEqual(["data"]);
    expect(disk.list("/data").filter((name) => !/^store/.test(name))).toEqual([]);
  }
}

test("a broker on damaged files", { timeout: SECONDS * 1000 + 60_000 }, async () => {
  const image = await originals();
  expect(await live(image)).toBe("started 0");
  const outcomes = new Map<string, number>();
  const endMs = performance.now() + SECONDS * 1000;
  let seed = SEED;
  for (; performance.now() < endMs; seed++) {
    const given = damaged(new Dice(seed), image);
    const beginMs = performance.now();
    const outcome = await live(given).catch((cause: unknown) => {
      throw new Error(`COMETMQ_SEED=${seed}`, { cause });
    });
    expect([seed, performance.now() - beginMs < 10_000]).toEqual([seed, true]);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  process.stderr.write(`fuzz: store files, seeds ${SEED} to ${seed - 1}: ${JSON.stringify([...outcomes])}\n`);
  expect(outcomes.get("started 0")).toBeGreaterThan(0);
});
