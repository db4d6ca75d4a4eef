/** What becomes of a message before it goes out. */
import { expect, test } from "vitest";
import { subscriptionOf } from "#src/client/heartbeat.js";
import { type Message, outgoingOf } from "#src/client/message.js";
import { settingsOf } from "#src/client/options.js";
import { popHandle, renewedHandle, topicOfHandle } from "#src/client/pop-handle.js";
import { queueByHash } from "#src/client/queue-choice.js";
import type { ReceivedMessage } from "#src/client/received-message.js";
import { UniqueIds } from "#src/client/unique-id.js";
import { HandClock } from "../remoting/peers.js";

const outgoing = (message: Partial<Message>) => outgoingOf({ topic: "T", body: "x", ...message }, "ID", 100);

test("properties have Apache's names", () => {
  const { properties, body } = outgoing({
    tags: "A",
    keys: ["k1", "k2"],
    orderKey: "o",
    priority: 3,
    deliverAt: new Date(5),
    properties: new Map([["own", "1"]]),
    waitStoreMsgOk: false,
  });
  expect(Object.fromEntries(properties)).toEqual({
    own: "1",
    TAGS: "A",
    KEYS: "k1 k2",
    __SHARDINGKEY: "o",
    TIMER_DELIVER_MS: "5",
    _SYS_MSG_PRIORITY_: "3",
    WAIT: "false",
    UNIQ_KEY: "ID",
  });
  expect(Buffer.from(body).toString()).toBe("x");
});

test.each<[string, Partial<Message>]>([
  ["The body is empty", { body: "" }],
  ["more than maxMessageSize", { body: "x".repeat(101) }],
  ["neither a text nor bytes", { body: 5 as never }],
  ["has a meaning of its own", { properties: { DELAY: "3" } }],
  ["a separator of properties", { properties: { "a\u0001": "3" } }],
  ["a separator of properties", { tags: "a\u0002b" }],
  ["or empty", { tags: "" }],
  ["or empty", { properties: { a: 5 as never } }],
  ["only one can be given", { delayMs: 5, delayLevel: 1 }],
  ["not an integer from 0 on", { delayMs: -1 }],
  ["not an integer from 0 on", { deliverAt: new Date("nonsense") }],
  ["The properties take", { properties: { a: "x".repeat(32_767) } }],
])("refused: %s", (why, message) => {
  expect(() => outgoing(message)).toThrow(why);
});

test("unique ids: address, process, milliseconds of the month, a counter that runs over", () => {
  const clock = new HandClock();
  clock.now = new Date(2026, 4, 3, 0, 0, 1).getTime();
  const ids = new UniqueIds(clock, "10.1.2.3", 0x12345);
  const first = ids.next();
  expect(first).toMatch(/^0A0102032345[0-9A-F]{20}$/);
  expect(Number.parseInt(first.slice(20, 28), 16)).toBe(2 * 86_400_000 + 1000);
  const all = new Set([first]);
  for (let i = 0; i < 65_535; i++) all.add(ids.next());
  expect(all.size).toBe(65_536);
  clock.now = new Date(2026, 5, 1, 0, 0, 0, 7).getTime();
  expect(Number.parseInt(ids.next().slice(20, 28), 16)).toBe(7);
  expect(new UniqueIds(clock, "fe80::1").next()).toHaveLength(56);
});

test("a key's queue is what Apache's SelectMessageQueueByHash says", () => {
  const queues = Array.from({ length: 7 }, (_, queueId) => ({ topic: "T", brokerName: "b", queueId }));
  const keys = ["polygenelubricants", "b", "order-17", "-x", "Z9-key"];
  expect(keys.map((key) => queueByHash(queues, key).queueId)).toEqual([2, 0, 3, 3, 0]);
});

test("subscriptions as Apache reads expressions", () => {
  expect(subscriptionOf("T", " A ||B|| ", 1)).toMatchObject({ expressionType: "TAG", tagsSet: new Set(["A", "B"]) });
  expect(subscriptionOf("T", "*", 1)).toMatchObject({ subString: "*", tagsSet: new Set() });
  expect(subscriptionOf("T", "", 1)).toMatchObject({ subString: "*" });
  expect(subscriptionOf("T", { sql: "a > 1" }, 1)).toMatchObject({ expressionType: "SQL92", subString: "a > 1" });
});

test("addresses of name servers", () => {
  expect(settingsOf({ namesrvAddr: " a:1; [::1]:2 ;" }).namesrvAddrs).toEqual(["a:1", "[::1]:2"]);
  for (const namesrvAddr of ["", ";", "a", "a:0", "a:x", ":1", "a:70000"]) {
    expect(() => settingsOf({ namesrvAddr })).toThrow(expect.objectContaining({ code: "COMETMQ_CONFIG" }));
  }
});

test("handles of popped messages", () => {
  const message = (topic: string) =>
    ({ queue: { topic, brokerName: "b", queueId: 3 }, queueOffset: 12 }) as unknown as ReceivedMessage;
  const fields = { popTime: "1000", invisibleTime: "60", reviveQid: "7", startOffsetInfo: "0 3 10;2 3 11" };
  const handle = popHandle(message("T"), "G", fields);
  expect(handle).toBe("10 1000 60 7 0 b 3 12");
  expect(popHandle(message("%RETRY%G+T"), "G", fields)).toBe("11 1000 60 7 2 b 3 12");
  expect(renewedHandle(handle, { popTime: "2000", invisibleTime: "5", reviveQid: "1" })).toBe("10 2000 5 1 0 b 3 12");
  const topics = ["0", "1", "2"].map((mark) => topicOfHandle(`10 1000 60 7 ${mark} b 3 12`, "T", "G"));
  expect(topics).toEqual(["T", "%RETRY%G_T", "%RETRY%G+T"]);
});
