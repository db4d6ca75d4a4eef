/** The wall clock jumps while a server works: nothing waits for ever, nothing goes early, and the order of time holds. */
import { expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { Producer } from "#src/client/producer.js";
import { PushConsumer } from "#src/client/push-consumer.js";
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { emptyHistory } from "./history.js";
import { Committer, Load } from "./load.js";
import { onEnd, pause, say, scratchDirectory, seedOf, skipAloud, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { Shim } from "./shim.js";
import { verifyAll } from "./verify.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const DELAY_LEVEL = 2;
const DELAY_MS = 5000;
const DELAYED = 20;
/** A delay may end late by the service's own steps, and by a busy machine. */
const LATE_MS_MAX = 15_000;

const JUMPS: readonly [string, number][] = [
  ["an hour back", -HOUR],
  ["an hour ahead", HOUR],
  ["four days ahead", 4 * DAY],
  ["a day back", -DAY],
  ["a second back", -1000],
  ["a minute ahead", MINUTE],
];

/** Offsets by time grow with the time asked for. */
async function expectTimesInOrder(port: number): Promise<void> {
  const client = new RemotingClient("127.0.0.1", port);
  let before = 0;
  for (let ms = Date.now() - 2 * DAY; ms < Date.now() + 6 * DAY; ms += 2 * HOUR) {
    const fields = { topic: "T0", queueId: 0, timestamp: ms };
    const answer = await client.call(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, fields, undefined, 20_000);
    expect(answer.code).toBe(ResponseCode.SUCCESS);
    expect(Number(answer.fields.offset)).toBeGreaterThanOrEqual(before);
    before = Number(answer.fields.offset);
  }
  await client.close();
}

test.each(JUMPS.slice(0, times(1, JUMPS.length)))("the clock jumps %s", async (what, jumpMs) => {
  const { seed, random } = seedOf(`clock: ${what}`);
  const directory = scratchDirectory("clock");
  const shim = Shim.build(directory);
  if (typeof shim === "string") return skipAloud("clock jumps", shim);
  const history = emptyHistory();
  // Looks for expired files all day long: of what was just written none may go.
  const config = { cleanResourceInterval: 1000, deleteWhen: Array.from({ length: 24 }, (_, i) => i).join(";") };
  const server = await Server.start({ directory, config, env: shim.env });
  const namesrvAddr = `127.0.0.1:${server.namesrvPort}`;
  const admin = await Admin.start({ namesrvAddr });
  await admin.createTopic("Delayed", { readQueueNums: 1, writeQueueNums: 1 });
  await admin.close();
  const producer = await Producer.start({ namesrvAddr });
  onEnd(() => producer.close());
  const arrivals = new Map<string, number>();
  const consumer = await PushConsumer.start({
    namesrvAddr,
    group: "D",
    subscriptions: { Delayed: "*" },
    consumeFrom: "first",
    onMessage: (message) => void arrivals.set(message.text(), performance.now()),
  });
  onEnd(() => consumer.close());
  const load = new Load(server.port, { random, history, paceMs: 60 });
  const committer = new Committer(server.port, history, "G", "T0");
  await until(() => load.ackedCount > 300, "acknowledgements");
  const sentAtMs = performance.now();
  for (let i = 0; i < DELAYED; i++) {
    await producer.send({ topic: "Delayed", body: `before ${i}`, delayLevel: DELAY_LEVEL });
  }
  shim.moveClock(jumpMs);
  const taken = load.ackedCount;
  await until(() => load.ackedCount > taken + 200, "acknowledgements after the jump");
  await until(() => arrivals.size === DELAYED, "what was delayed before the jump", DELAY_MS + LATE_MS_MAX);
  const arrivedMs = Math.max(...arrivals.values()) - sentAtMs;
  const againAtMs = performance.now();
  for (let i = 0; i < DELAYED; i++) {
    await producer.send({ topic: "Delayed", body: `after ${i}`, delayLevel: DELAY_LEVEL });
  }
  await until(() => arrivals.size === 2 * DELAYED, "what was delayed after the jump", DELAY_MS + LATE_MS_MAX);
  const earliestMs =
    Math.min(...[...arrivals].filter(([body]) => body.startsWith("after")).map(([, at]) => at)) - againAtMs;
  expect(earliestMs).toBeGreaterThan(DELAY_MS - 1000);
  // And back to the true time, as when somebody has noticed.
  shim.moveClock(0);
  const back = load.ackedCount;
  await until(() => load.ackedCount > back + 200, "acknowledgements after the jump back");
  await pause(1500);
  await expectTimesInOrder(server.port);
  await load.stop();
  await committer.stop();
  await consumer.close();
  await producer.close();
  // The doctor goes by the clock, too: it finds times in the checkpoint that are still to come.
  const figures = await verifyAll(server, history, { expectedFinding: /"path":"checkpoint"/ });
  say("T1", `clock: ${what}, and back`, {
    ...figures,
    delayedArrivedAfterMs: Math.round(arrivedMs),
    seed,
  });
});
