/** Work that no request asks for, where the store can not be read for a while: nothing is thrown, lost or done twice. */
import { afterEach, expect, test, vi } from "vitest";
import { CometError } from "#src/base/errors.js";
import { GROUP, PopLife, TOPIC } from "../../property/pop-fixture.js";
import type { StoreBroker } from "./store-broker.js";
import { TimerBroker } from "./timer-harness.js";
import { joinProducer, nextCheck, openBroker, questionsTo, sendHalf } from "./transaction-fixture.js";

const RETRY_MS = 5000;

afterEach(() => vi.restoreAllMocks());

/** Until it is called. */
function unreadable({ store }: StoreBroker): () => void {
  const spies = (["findRecord", "readRecord"] as const).map((method) =>
    vi.spyOn(store.lookUp, method).mockImplementation(() => {
      throw new CometError("COMETMQ_HANDLES", "Too many files are open.");
    }),
  );
  return () => {
    for (const spy of spies) spy.mockRestore();
  };
}

function complaints({ log }: StoreBroker): number {
  return log.at("error", /can not be read now/).length;
}

test("delay levels", async () => {
  const broker = await openBroker();
  broker.send({ DELAY: "1" });
  const readable = unreadable(broker);
  await broker.advance(1000);
  expect([broker.bodies("T", 1), complaints(broker)]).toEqual([[], 1]);
  readable();
  await broker.advance(RETRY_MS);
  expect([broker.bodies("T", 1), complaints(broker)]).toEqual([["body"], 1]);
  await broker.close();
});

test("timers", async () => {
  const timers = await TimerBroker.open();
  timers.wait({ TIMER_DELAY_MS: "1500" });
  const readable = unreadable(timers.broker);
  await timers.advance(1500);
  expect([timers.delivered(), complaints(timers.broker)]).toEqual([[], 1]);
  readable();
  await timers.advance(RETRY_MS);
  expect([timers.delivered(), complaints(timers.broker)]).toEqual([["body"], 1]);
  await timers.close();
});

test("questions about transactions", async () => {
  const broker = await openBroker();
  const producer = joinProducer(broker);
  sendHalf(broker);
  const readable = unreadable(broker);
  await nextCheck(broker);
  expect([questionsTo(producer), complaints(broker)]).toEqual([[], 1]);
  readable();
  await broker.advance(RETRY_MS);
  expect(questionsTo(producer)).toHaveLength(1);
  await broker.close();
});

test("what was popped and not acknowledged", async () => {
  const life = await new PopLife(1).open();
  await life.send("popped", 0);
  expect(life.pop()).toHaveLength(1);
  const readable = unreadable(life.base);
  await life.advance(60_000);
  expect(life.base.log.at("warn", /can not be given out again now/)).toHaveLength(1);
  readable();
  await life.advance(RETRY_MS);
  expect(life.base.messages(`%RETRY%${GROUP}_${TOPIC}`)).toHaveLength(1);
  await life.close();
});
