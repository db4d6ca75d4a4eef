/** SIGTERM in the middle of everything: what was acknowledged is there, and the store was closed in order. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { ResponseCode } from "#src/remoting/codes.js";
import { portOf, run } from "./command.js";
import { clientOf, closeAll, pulledMessages, send, temporaryDirectory } from "./harness.js";

afterEach(closeAll);

const PRODUCERS = 4;
const IN_FLIGHT = 16;
const QUEUES = 4;
/** So many are acknowledged before the signal comes. */
const BEFORE = 2000;

test.each(["ASYNC_FLUSH", "SYNC_FLUSH"])("%s: under load, a broker ends in order and loses nothing", async (flush) => {
  const directory = temporaryDirectory();
  const conf = join(directory, "broker.conf");
  const sizes = ["mappedFileSizeCommitLog=4194304", "mappedFileSizeConsumeQueue=20000", "maxIndexNum=4000"];
  writeFileSync(conf, [`flushDiskType=${flush}`, "maxHashSlotNum=1000", ...sizes, ""].join("\n"));
  const store = join(directory, "store");
  const args = ["start", "-c", conf, "--data", store, "--namesrv-port", "0", "--broker-port", "0", "--grpc-port", "0"];
  const first = await run(...args);
  const port = portOf(first.ready.get("broker")!);

  /** Body to where its answer says it is. */
  const acknowledged = new Map<string, { queueId: number; queueOffset: number; msgId: string }>();
  let told!: () => void;
  const enough = new Promise<void>((resolve) => {
    told = resolve;
  });
  async function produce(name: string): Promise<void> {
    const client = clientOf(port);
    for (let i = 0; ; i++) {
      const body = `${name}-${i} ${"x".repeat(i % 2000)}`;
      const answer = await send(client, { topic: "T", queueId: i % QUEUES }, body);
      if (answer.code !== ResponseCode.SUCCESS) throw new Error(`${answer.code}: ${answer.remark}`);
      const { queueId, queueOffset, msgId } = answer.fields;
      acknowledged.set(body, { queueId: Number(queueId), queueOffset: Number(queueOffset), msgId: msgId! });
      if (acknowledged.size === BEFORE) told();
    }
  }
  const producing = Array.from({ length: PRODUCERS * IN_FLIGHT }, (_, i) => produce(`p${i}`).catch((error) => error));
  await enough;
  first.child.kill("SIGTERM");
  expect(await first.exit).toBe(0);
  expect(first.stderr).toBe("");
  for (const ended of await Promise.all(producing)) {
    // The connection went, or could not be made any more: nobody was told of a failure that was none.
    expect(ended).toMatchObject({ code: expect.stringMatching(/^COMETMQ_(REMOTE|CONNECT)$/) });
  }
  expect(existsSync(join(store, "abort"))).toBe(false);
  expect(acknowledged.size).toBeGreaterThanOrEqual(BEFORE);

  const second = await run(...args);
  const consumer = clientOf(portOf(second.ready.get("broker")!));
  const found = new Map<string, { queueId: number; queueOffset: number; msgId: string }>();
  for (let queueId = 0; queueId < QUEUES; queueId++) {
    for (let queueOffset = 0; ; ) {
      const messages = await pulledMessages(consumer, { topic: "T", queueId, queueOffset });
      if (messages.length === 0) break;
      for (const message of messages) {
        expect(message.queueOffset).toBe(queueOffset++);
        const { msgId } = message;
        found.set(message.body.toString(), { queueId: message.queueId, queueOffset: message.queueOffset, msgId });
      }
    }
  }
  for (const [body, place] of acknowledged) {
    // The port is another one after the restart, the place in the log is not.
    const { msgId, ...there } = found.get(body) ?? { msgId: "" };
    expect({ ...there, phyOffset: msgId.slice(16) }).toEqual({
      queueId: place.queueId,
      queueOffset: place.queueOffset,
      phyOffset: place.msgId.slice(16),
    });
  }
  second.child.kill("SIGTERM");
  expect(await second.exit).toBe(0);
  expect(existsSync(join(store, "abort"))).toBe(false);
});

test("a second process is refused the directory, says which one, and leaves it to the first", async () => {
  const store = join(temporaryDirectory(), "store");
  const conf = join(temporaryDirectory(), "broker.conf");
  writeFileSync(conf, "mappedFileSizeCommitLog=4194304\nmaxHashSlotNum=1000\nmaxIndexNum=4000\n");
  const args = ["start", "-c", conf, "--data", store, "--namesrv-port", "0", "--broker-port", "0", "--grpc-port", "0"];
  const first = await run(...args);
  await expect(run(...args)).rejects.toThrow(
    `ended with 1: cometmq: The store ${store} is in use by another process. Stop the process that holds the directory, or choose another one. (COMETMQ_STORE_LOCKED)`,
  );
  const client = clientOf(portOf(first.ready.get("broker")!));
  expect((await send(client, {}, "x")).code).toBe(ResponseCode.SUCCESS);
  first.child.kill("SIGINT");
  expect(await first.exit).toBe(0);
});

test("a port that is taken is told, and the store is closed again", async () => {
  const directory = temporaryDirectory();
  const conf = join(directory, "broker.conf");
  writeFileSync(conf, "mappedFileSizeCommitLog=4194304\nmaxHashSlotNum=1000\nmaxIndexNum=4000\n");
  const first = await run("namesrv", "--namesrv-port", "0");
  const taken = String(portOf(first.ready.get("namesrv")!));
  const store = join(directory, "store");
  await expect(
    run("start", "-c", conf, "--data", store, "--namesrv-port", "0", "--broker-port", taken, "--grpc-port", "0"),
  ).rejects.toThrow(`The broker cannot listen on 127.0.0.1:${taken} (EADDRINUSE).`);
  expect(existsSync(join(store, "abort"))).toBe(false);
});
