/**
 * Messages for light queues that another broker's store held when this one took it over: they come to their topic, once, and
 * what the light queues do not get is said and counted.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runtimeInfo } from "#src/server/broker/runtime-info.js";
import { StoreBroker } from "./store-broker.js";
import { COMMIT, end, putForeign, putHalf, ROLLBACK } from "./transaction-fixture.js";

const LIGHT = { INNER_MULTI_DISPATCH: "%LMQ%a,%LMQ%b" };
const SAID = /names light message queues/;
const BODY = Buffer.from("foreign");

let broker: StoreBroker;

beforeEach(async () => {
  broker = await StoreBroker.open();
});
afterEach(() => broker.close());

function belongsTo(topic: string): Record<string, string> {
  return { UNIQ_KEY: "K", REAL_TOPIC: topic, REAL_QID: "1", ...LIGHT };
}

async function deliverAll(): Promise<void> {
  broker.schedule.start();
  broker.timers.start();
  broker.transactions.start();
  for (let i = 0; i < 10; i++) await broker.advance(500);
}

const counted = () => runtimeInfo(broker.broker.context).get("lightQueueMessagesMissed");

/** How such a message is left behind; what is returned has it delivered. */
const KINDS: [string, (topic: string) => () => void][] = [
  [
    "a timer",
    (topic) => {
      const outMs = String(broker.clock.nowMs() + 1000);
      putForeign(broker, "rmq_sys_wheel_timer", { TIMER_OUT_MS: outMs, ...belongsTo(topic) }, BODY);
      return () => {};
    },
  ],
  [
    "one of a delay level",
    (topic) => {
      putForeign(broker, "SCHEDULE_TOPIC_XXXX", { DELAY: "1", ...belongsTo(topic) }, BODY);
      return () => {};
    },
  ],
  [
    "half of a transaction",
    (topic) => {
      const half = putHalf(broker, { TRAN_MSG: "true", PGROUP: "P", ...belongsTo(topic) });
      return () => expect(end(broker, half, COMMIT).code).toBe(0);
    },
  ],
];

describe.each(KINDS)("%s", (_, leave) => {
  test("comes to its topic, and the log and a count say what the light queues miss", async () => {
    const deliver = leave("T");
    await broker.settle();
    deliver();
    await deliverAll();
    expect(broker.bodies("T", 1)).toEqual(["foreign"]);
    expect(broker.store.findQueue("%LMQ%a", 0)).toBeUndefined();
    const said = broker.log.at("warn", SAID);
    expect(said).toHaveLength(1);
    expect(counted()).toBe("1");
  });

  test("of a retry topic is for no light queue, as with Apache", async () => {
    const deliver = leave("%RETRY%G");
    await broker.settle();
    deliver();
    await deliverAll();
    expect(broker.bodies("%RETRY%G", 1)).toEqual(["foreign"]);
    expect(broker.log.at("warn", SAID)).toEqual([]);
    expect(counted()).toBeUndefined();
  });
});

test("many of them are counted one by one and said once a minute", async () => {
  const outMs = String(broker.clock.nowMs() + 1000);
  for (let i = 0; i < 5; i++) {
    putForeign(broker, "rmq_sys_wheel_timer", { TIMER_OUT_MS: outMs, ...belongsTo("T") }, BODY);
  }
  await broker.settle();
  await deliverAll();
  expect(broker.bodies("T", 1)).toHaveLength(5);
  expect(counted()).toBe("5");
  expect(broker.log.at("warn", SAID)).toHaveLength(1);
});

test("one that is rolled back misses nothing", async () => {
  const half = putHalf(broker, { TRAN_MSG: "true", PGROUP: "P", ...belongsTo("T") });
  await broker.settle();
  expect(end(broker, half, ROLLBACK).code).toBe(0);
  await deliverAll();
  expect(counted()).toBeUndefined();
});
