/**
 * Requests that no client would send: fields that are missing, doubled in meaning or out of range, bodies that are any
 * JSON or any bytes. Whatever comes, a processor answers; nothing throws, no name that could leave its directory gets
 * into a table or to the store.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { isSafeName } from "#src/server/broker/names.js";
import { goldenRequests, HOSTILE_VALUES } from "../fuzz/mutations.js";
import { FakeConnection, heartbeatBody, TestBroker } from "../unit/broker/harness.js";

/** Those that Apache's clients were seen to send, and some that they send at other times. */
const FIELD_NAMES = [
  ...new Set(goldenRequests().flatMap(({ fields }) => Object.keys(fields))),
  ...[
    "indexType",
    "_UNIQUE_KEY_QUERY",
    "setZeroIfNotFound",
    "force",
    "READ_AHEAD_MODE",
    "msgId",
    "clientAddr",
    "offline",
  ],
];
const VALUES = [
  "T",
  "g",
  "0",
  "1",
  "-1",
  "3",
  "4096",
  "true",
  "false",
  "SINGLE_TAG",
  "U",
  "K",
  "{}",
  '{"counter":"x"}',
];
const HOSTILE = [...HOSTILE_VALUES, "+message.type=FIFO", "-x", "x".repeat(100_000)];

const field = fc.tuple(
  fc.constantFrom(...FIELD_NAMES),
  fc.oneof(fc.constantFrom(...VALUES), fc.constantFrom(...HOSTILE), fc.string({ maxLength: 300 })),
);

const member = fc.constantFrom("clientID", "groupName", "topic", "mqSet", "consumerDataSet", "queueId", "attributes");
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom<unknown>(null, true, 0, -1, 1e300, "T", "g", "../x"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(member, tie("value"), { maxKeys: 5 }),
  ),
})).value;
const body = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  json.map((value) => Buffer.from(JSON.stringify(value))),
  fc
    .constantFrom("brokerName=x\nmaxMessageSize=1", "maxMessageSize=", "\\", heartbeatBody("c", "g", [["T", "*"]]))
    .map((text) => Buffer.from(text)),
);

/** These are answered when somebody else has been asked, or the event loop was let go of. */
const LATE_CODES = new Set([215, 223, 307, 309, 316, 317]);

test("every request is answered, and only sound names come into being", async () => {
  const codes = [...new TestBroker().processors.keys()];
  const request = fc.tuple(fc.constantFrom(...codes), fc.array(field, { maxLength: 8 }), body);
  await fc.assert(
    fc.asyncProperty(fc.array(request, { maxLength: 20 }), async (requests) => {
      const broker = new TestBroker({ validateSystemTopicWhenUpdateTopic: false });
      const connection = new FakeConnection();
      for (const [code, fields, bytes] of requests) {
        const asked = Object.fromEntries(fields);
        const answer = LATE_CODES.has(code)
          ? await broker.askLate(code, asked, bytes, connection)
          : broker.ask(code, asked, bytes, connection);
        expect(Number.isInteger(answer.code)).toBe(true);
        expect(answer.remark.length).toBeLessThan(600);
      }
      broker.clock.advance(0);
      const { groups, topics } = broker.context;
      for (const { name } of [...topics.values(), ...groups.values()]) expect(isSafeName(name)).toBe(true);
      for (const { topic, queueId } of broker.store.queues.values()) {
        expect(isSafeName(topic)).toBe(true);
        expect(queueId).toBeGreaterThanOrEqual(0);
      }
      connection.close();
      expect([...broker.context.consumers.values()]).toEqual([]);
    }),
    { numRuns: 400 },
  );
});
