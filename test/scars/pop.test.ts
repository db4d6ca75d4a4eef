/** What broke pop consumption elsewhere, each under the number of Apache's issue, and what broke here. */
import { afterEach, expect, test, vi } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { PutStatus } from "#src/store/types.js";
import { GROUP, type Held, PopLife, TOPIC } from "../property/pop-fixture.js";

const MINUTE_MS = 60_000;
const RETRY = `%RETRY%${GROUP}_${TOPIC}`;

const lives: PopLife[] = [];
afterEach(async () => {
  for (const life of lives.splice(0)) await life.close();
});

async function open(...args: ConstructorParameters<typeof PopLife>): Promise<PopLife> {
  const life = await new PopLife(...args).open();
  lives.push(life);
  return life;
}

async function sendMany(life: PopLife, count: number, prefix = "m"): Promise<void> {
  for (let i = 0; i < count; i++) await life.send(`${prefix}${i}`, 0);
}

const bodies = (held: readonly Held[]) => held.map(({ body }) => body);
const ackAll = (life: PopLife, held: readonly Held[]) => held.map((one) => life.ack(one));

test.each(["restart", "kill"] as const)("a group goes on where it was after a %s (#3503)", async (way) => {
  const life = await open(1);
  await sendMany(life, 5);
  ackAll(life, life.pop({ maxMsgNums: 3 }));
  await life[way]();
  expect(bodies(life.pop())).toEqual(["m3", "m4"]);
});

test("a slow consumer is not taken for one that failed (#3787)", async () => {
  const life = await open(1);
  await sendMany(life, 10);
  for (const held of life.pop({ invisibleTime: 2 * MINUTE_MS })) {
    await life.advance(9000);
    expect(life.ack(held)).toBe(ResponseCode.SUCCESS);
  }
  await life.advance(10 * MINUTE_MS);
  expect(life.pop()).toEqual([]);
  expect(life.base.bodies(RETRY)).toEqual([]);
});

test("acknowledgements that come more than once hold nothing up (#5408)", async () => {
  const life = await open(1);
  await sendMany(life, 2);
  const held = life.pop();
  for (let i = 0; i < 5; i++) expect(ackAll(life, held)).toEqual([0, 0]);
  expect(life.committed(TOPIC, 0)).toBe(2);
  await life.kill();
  expect(ackAll(life, held)).toEqual([0, 0]);
  expect(life.pop()).toEqual([]);
});

test("a message that comes again is what it was, its flag included (#6339)", async () => {
  const life = await open(1);
  await life.send("m", 0, { TAGS: "red", KEYS: "k", user: "v" });
  const [first] = life.pop();
  await life.advance(MINUTE_MS);
  const [again] = life.pop();
  const { flag, sysFlag, bornTimestamp, bornHost, properties } = first!.message;
  expect(again!.message).toMatchObject({ flag, sysFlag, bornTimestamp, bornHost });
  expect(flag).toBe(7);
  for (const [name, value] of properties) expect([name, again!.message.properties.get(name)]).toEqual([name, value]);
});

test("giving a message out again is tried until it works (#7412)", async () => {
  const life = await open(1);
  await sendMany(life, 2);
  life.pop();
  const { store } = life.base;
  const put = store.put.bind(store);
  store.put = () => PutStatus.DISK_FULL;
  await life.advance(10 * MINUTE_MS);
  expect(life.service.state.leases.size).toBe(2);
  expect(life.committed(TOPIC, 0)).toBe(0);
  store.put = put;
  await life.advance(2000);
  expect(bodies(life.pop())).toEqual(["m0", "m1"]);
});

test("no other message is given out for one that is gone with its segment (#7724)", async () => {
  const retention = { cleanResourceInterval: 1000, maxLogBytes: 48 * 1024, cleanFileForciblyEnable: true };
  const life = await open(1, {}, { segmentBytes: 16 * 1024, retention });
  await sendMany(life, 3, "old");
  expect(bodies(life.pop({ invisibleTime: 30 * MINUTE_MS }))).toEqual(["old0", "old1", "old2"]);
  for (let i = 0; i < 12; i++) await life.send(`${i}`.padEnd(8000, "x"), 0);
  await life.base.store.deleteExpired();
  await life.advance(5000);
  expect(life.base.store.minOffset(life.base.store.queue(TOPIC, 0))).toBeGreaterThan(3);
  await life.advance(30 * MINUTE_MS);
  expect(life.base.bodies(RETRY)).toEqual([]);
  expect(life.service.state.leases.size).toBe(0);
});

test("every message that is not acknowledged comes again, whichever of its pop are (#7914)", async () => {
  const life = await open(1);
  await sendMany(life, 96);
  const left: string[] = [];
  for (let i = 0; i < 3; i++) {
    for (const held of life.pop()) {
      if (held.queueOffset % 3 === i) left.push(held.body);
      else life.ack(held);
    }
  }
  await life.advance(MINUTE_MS);
  const again = [...life.pop(), ...life.pop()];
  expect(bodies(again)).toEqual(left);
});

test("an ordered pop whose tag nobody has is past those messages for good (#8268)", async () => {
  const life = await open(1);
  await life.send("other", 0, { TAGS: "b" });
  const ordered = { order: true, expType: "TAG", exp: "a" };
  expect(life.pop(ordered)).toEqual([]);
  expect(life.committed(TOPIC, 0)).toBe(1);
  await life.send("mine", 0, { TAGS: "a" });
  const got = life.pop(ordered);
  expect(bodies(got)).toEqual(["mine"]);
  ackAll(life, got);
  expect([life.pop(ordered), life.committed(TOPIC, 0)]).toEqual([[], 2]);
});

test("leases of a topic that is deleted do not come back with another of its name (#8479)", async () => {
  const life = await open(1);
  await sendMany(life, 5, "old");
  const held = life.pop();
  await life.base.settle();
  expect((await life.askLate(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: TOPIC })).code).toBe(0);
  life.base.broker.context.topics.createInSendMessage(TOPIC, "TBW102", "", 1, 0);
  await sendMany(life, 2, "new");
  expect(ackAll(life, held)).not.toContain(ResponseCode.SUCCESS);
  expect(bodies(life.pop())).toEqual(["new0", "new1"]);
  await life.advance(MINUTE_MS);
  expect(life.base.bodies(RETRY)).toEqual(["new0", "new1"]);
});

test.each([false, true])(
  "a reset counts, whatever is popped at the time (#9025, #9369; ordered: %s)",
  async (order) => {
    const life = await open(1);
    await sendMany(life, 6);
    const fields = { order, maxMsgNums: 4 };
    const held = life.pop(fields);
    ackAll(life, held.slice(0, 2));
    const reset = { topic: TOPIC, group: GROUP, timestamp: 0, queueId: 0, offset: 1 };
    expect((await life.askLate(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, reset)).code).toBe(0);
    ackAll(life, held.slice(2));
    expect(life.committed(TOPIC, 0)).toBe(1);
    await life.kill();
    const again = life.pop(fields);
    expect(bodies(again)).toEqual(["m1", "m2", "m3", "m4"]);
    ackAll(life, again);
    expect(life.committed(TOPIC, 0)).toBe(5);
    await life.advance(10 * MINUTE_MS);
    expect(bodies(life.pop(fields))).toEqual(["m5"]);
  },
);

test("the offset of a message that is given out again waits for the disk (#9626)", async () => {
  const life = await open(1);
  await sendMany(life, 2);
  life.pop();
  const { store } = life.base;
  const whenFlushed = store.whenFlushed.bind(store);
  let flush = () => {};
  store.whenFlushed = () =>
    new Promise((resolve) => {
      flush = resolve;
    });
  await life.advance(MINUTE_MS);
  expect(life.base.bodies(RETRY)).toEqual(["m0", "m1"]);
  expect(life.committed(TOPIC, 0)).toBe(0);
  flush();
  await life.base.settle();
  expect(life.committed(TOPIC, 0)).toBe(2);
  store.whenFlushed = whenFlushed;
});

test("thousands that run out at one moment all come again (#9956)", async () => {
  const life = await open(1);
  const count = 3000;
  await sendMany(life, count);
  const at = life.clock.nowMs() + 5 * MINUTE_MS;
  for (let left = count; left > 0; left -= 32) {
    for (const held of life.pop()) expect(life.change(held, at - life.clock.nowMs())).toBeDefined();
  }
  await life.advance(5 * MINUTE_MS + 1000);
  await life.advance(1000);
  expect(life.base.messages(RETRY)).toHaveLength(count);
  expect(life.committed(TOPIC, 0)).toBe(count);
});

test("a kill right after the first message of a retry topic does not make the topic unknown", async () => {
  const life = await open(1);
  await sendMany(life, 1);
  life.pop();
  await life.advance(MINUTE_MS);
  await life.kill();
  expect(bodies(life.pop())).toEqual(["m0"]);
});

test("a message that was sent with a handle among its properties can be acknowledged", async () => {
  const life = await open(1);
  await life.send("m", 0, { POP_CK: "0 1 1 0 0 broker-a 0 0" });
  life.pop();
  await life.advance(MINUTE_MS);
  const [again] = life.pop();
  expect(again!.handle.split(" ")[4]).toBe("1");
  expect(life.ack(again!)).toBe(ResponseCode.SUCCESS);
});

test("an acknowledgement does not wait for dispatch of those before it", async () => {
  const life = await open(1);
  await sendMany(life, 3);
  const held = life.pop();
  const catchUp = vi.spyOn(life.base.store, "catchUp");
  expect(ackAll(life, held.slice(1))).toEqual([0, 0]);
  expect(catchUp).not.toHaveBeenCalled();
});

test("who gave an ordered message back can not acknowledge it for who has it now", async () => {
  const life = await open(1);
  await sendMany(life, 1);
  const [first] = life.pop({ order: true, invisibleTime: MINUTE_MS }) as [Held];
  life.change(first, 0);
  await life.advance(1);
  const [second] = life.pop({ order: true, invisibleTime: 1000 }) as [Held];
  expect(life.ack(first)).toBe(ResponseCode.NO_MESSAGE);
  await life.advance(1000);
  expect(bodies(life.pop({ order: true }))).toEqual(["m0"]);
  expect(life.ack(second)).toBe(ResponseCode.NO_MESSAGE);
});

test("an ordered message acknowledged before its turn does not come again to a group that was away for days", async () => {
  const life = await open(1);
  await sendMany(life, 3);
  const held = life.pop({ order: true, maxMsgNums: 2 });
  expect(life.ack(held[1]!)).toBe(ResponseCode.SUCCESS);
  for (let hours = 0; hours < 72; hours += 8) await life.advance(8 * 60 * MINUTE_MS);
  expect(bodies(life.pop({ order: true }))).toEqual(["m0", "m2"]);
});

test("with five hundred acknowledged before their turn, a filter that wants none of them passes nothing else over", async () => {
  const life = await open(1);
  await life.send("late", 0, { TAGS: "A" });
  for (let i = 1; i < 700; i++) await life.send(`m${i}`, 0, { TAGS: "B" });
  life.pop({ order: true, maxMsgNums: 1, invisibleTime: 1, attemptId: "x" });
  const acked = new Set<string>();
  for (let round = 0; round < 40; round++) {
    const [first, ...others] = life.pop({ order: true, attemptId: "x" });
    expect(first!.body).toBe("late");
    for (const one of others) if (life.ack(one) === ResponseCode.SUCCESS) acked.add(one.body);
    if (others.length === 0) break;
  }
  expect(acked.size).toBeGreaterThanOrEqual(512);
  await life.advance(10 * MINUTE_MS);
  const rest: string[] = [];
  for (let round = 0; round < 40; round++) {
    const held = life.pop({ order: true, exp: "B", expType: "TAG" });
    rest.push(...bodies(held));
    ackAll(life, held);
  }
  const expected = Array.from({ length: 699 }, (_, i) => `m${i + 1}`).filter((body) => !acked.has(body));
  expect(rest).toEqual(expected);
});

test("a repeated attempt that brings another ordered message does not say that it was tried before", async () => {
  const life = await open(1);
  await sendMany(life, 2);
  for (let i = 0; i < 3; i++) {
    life.pop({ order: true, maxMsgNums: 1, invisibleTime: 1, attemptId: `a${i}` });
    await life.advance(1);
  }
  const [tried] = life.pop({ order: true, maxMsgNums: 1, attemptId: "b" });
  expect([tried!.body, tried!.orderCount]).toEqual(["m0", 3]);
  life.ack(tried!);
  const [fresh] = life.pop({ order: true, maxMsgNums: 1, attemptId: "b" });
  expect([fresh!.body, fresh!.orderCount]).toEqual(["m1", 0]);
});
