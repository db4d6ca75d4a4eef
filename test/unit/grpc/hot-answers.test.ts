/** What is encoded by hand has the bytes of what protobufjs makes of the same message. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { loadMethods } from "#src/grpc/proto.js";
import { framed } from "./framed.js";

const METHODS = loadMethods();

const text = fc.oneof(fc.string({ maxLength: 90 }), fc.string({ unit: "binary", maxLength: 90 }), fc.constant(""));
const count = fc.oneof(
  fc.nat(300),
  fc.maxSafeNat(),
  fc.constantFrom(0, 127, 128, 16_383, 16_384, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 35, -1),
);
const int32 = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0x7fffffff }), fc.constantFrom(0, -1, -0x80000000));
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const time = fc.record({ seconds: count, nanos: int32 });
const status = fc.record({ code: int32, message: text });
const strange = fc.oneof(fc.constantFrom("__proto__", "constructor", "1", "0"), text);

const systemProperties = fc.record(
  {
    tag: maybe(text),
    keys: fc.array(text, { maxLength: 3 }),
    messageId: text,
    bodyDigest: maybe(fc.record({ type: int32, checksum: text })),
    bodyEncoding: int32,
    messageType: int32,
    bornTimestamp: maybe(time),
    bornHost: text,
    storeTimestamp: maybe(time),
    storeHost: text,
    deliveryTimestamp: maybe(time),
    receiptHandle: maybe(text),
    queueId: int32,
    queueOffset: maybe(count),
    deliveryAttempt: maybe(int32),
    messageGroup: maybe(text),
    traceContext: maybe(text),
    orphanedTransactionRecoveryDuration: maybe(time),
    deadLetterQueue: maybe(fc.record({ topic: text, messageId: text })),
    liteTopic: maybe(text),
    priority: maybe(int32),
  },
  { requiredKeys: [] },
);
const message = fc.record({
  topic: maybe(fc.record({ resourceNamespace: text, name: text }, { requiredKeys: ["name"] })),
  userProperties: fc
    .array(fc.tuple(strange, text), { maxLength: 4 })
    .map((entries) => Object.assign(Object.create(null) as object, Object.fromEntries(entries))),
  systemProperties: maybe(systemProperties),
  body: fc
    .oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(100_000)))
    .map((bytes) => Buffer.from(bytes)),
});

const ANSWERS: Readonly<Record<string, fc.Arbitrary<object>>> = {
  AckMessage: fc.record(
    { status, entries: fc.array(fc.record({ messageId: text, receiptHandle: text, status }), { maxLength: 4 }) },
    { requiredKeys: ["status"] },
  ),
  SendMessage: fc.record(
    {
      status,
      entries: fc.array(
        fc.record(
          { status, messageId: text, transactionId: text, offset: count, recallHandle: text },
          { requiredKeys: ["status"] },
        ),
        { maxLength: 4 },
      ),
    },
    { requiredKeys: ["status"] },
  ),
  ReceiveMessage: fc.oneof(
    fc.record({ status }),
    fc.record({ message }),
    fc.record({ deliveryTimestamp: time }),
    fc.record({ status, message, deliveryTimestamp: time }),
  ),
};

test.each(Object.entries(ANSWERS))("the answer of %s", (name, answers) => {
  const { response } = METHODS.get(name)!;
  fc.assert(
    fc.property(answers, (answer) => {
      expect(response.encodeFramed(answer).equals(framed(response.encode(answer)))).toBe(true);
    }),
    { numRuns: 200 },
  );
});
