/** What is decoded by hand is what protobufjs makes of the same bytes, and nothing else is taken. */
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import protobuf from "protobufjs";
import { expect, test } from "vitest";
import { HOT_REQUESTS } from "#src/grpc/hot-requests.js";
import { loadMethods } from "#src/grpc/proto.js";
import { ProtoCursor } from "#src/grpc/proto-cursor.js";

const METHODS = loadMethods();
const folder = fileURLToPath(new URL("../../../proto/", import.meta.url));
const root = new protobuf.Root();
root.resolvePath = (_origin, target) => (target.startsWith("google/") ? target : folder + target);
root.loadSync("apache/rocketmq/v2/service.proto");
root.resolveAll();

const ascii = fc.string({ unit: "binary-ascii", maxLength: 140 });
const text = fc.oneof({ weight: 9, arbitrary: ascii }, { weight: 1, arbitrary: fc.string({ unit: "binary" }) });
const time = fc.record({
  seconds: fc.oneof(fc.nat(2 ** 31), fc.maxSafeNat()),
  nanos: fc.oneof(fc.nat(10), fc.integer()),
});
const resource = fc.record({ resourceNamespace: ascii, name: text });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const int32 = fc.oneof({ weight: 9, arbitrary: fc.nat(0x7fffffff) }, { weight: 1, arbitrary: fc.integer() });

const ack = fc.record({
  group: maybe(resource),
  topic: maybe(resource),
  entries: fc.array(fc.record({ messageId: ascii, receiptHandle: text }), { maxLength: 3 }),
});
const message = fc.record({
  topic: maybe(resource),
  userProperties: fc.dictionary(ascii, ascii, { maxKeys: 3 }),
  systemProperties: maybe(
    fc.record(
      {
        tag: ascii,
        keys: fc.array(ascii, { maxLength: 3 }),
        messageId: ascii,
        bodyEncoding: int32,
        messageType: int32,
        bornTimestamp: maybe(time),
        bornHost: ascii,
        deliveryTimestamp: maybe(time),
        queueId: int32,
        messageGroup: ascii,
        traceContext: text,
      },
      { requiredKeys: [] },
    ),
  ),
  body: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
});
const send = fc.record({ messages: fc.array(message, { maxLength: 3 }) });

const OPTIONS = { defaults: true, arrays: true, objects: true, longs: Number, bytes: String };

/** With every default that is read: absent messages and optional fields are null. */
function plain(name: string, decoded: object): unknown {
  const type = root.lookupType(`apache.rocketmq.v2.${name}Request`);
  return type.toObject(type.fromObject(decoded), OPTIONS);
}

test.each([
  ["AckMessage", ack],
  ["SendMessage", send],
] as const)("%s", (name, requests) => {
  const type = root.lookupType(`apache.rocketmq.v2.${name}Request`);
  const cursor = new ProtoCursor();
  let takenCount = 0;
  fc.assert(
    fc.property(requests as fc.Arbitrary<object>, fc.nat(), (request, cut) => {
      const bytes = Buffer.from(type.encode(request).finish());
      cursor.begin(bytes);
      const read = HOT_REQUESTS.get(`${name}Request`)!(cursor, bytes.length);
      if (!cursor.failed) {
        takenCount++;
        expect(plain(name, read)).toEqual(type.toObject(type.decode(bytes), OPTIONS));
      }
      expect(plain(name, METHODS.get(name)!.request.decode(bytes))).toEqual(type.toObject(type.decode(bytes), OPTIONS));
      // A message that is cut off is refused by both, or is a whole one.
      const shorter = bytes.subarray(0, cut % (bytes.length + 1));
      cursor.begin(shorter);
      const some = HOT_REQUESTS.get(`${name}Request`)!(cursor, shorter.length);
      if (!cursor.failed) expect(plain(name, some)).toEqual(type.toObject(type.decode(shorter), OPTIONS));
    }),
    { numRuns: 200 },
  );
  expect(takenCount).toBeGreaterThan(50);
});

test("any bytes at all: what is taken is what they are", () => {
  const cursor = new ProtoCursor();
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom("0a00", "12020a00", "0a0361626361", "1a04", "0a0a", "80", "ff7f", "2a", "0801"),
      fc.constant(""),
    ),
  );
  fc.assert(
    fc.property(
      fc.constantFrom("AckMessage", "SendMessage"),
      pieces,
      fc.uint8Array({ maxLength: 6 }),
      (name, hex, end) => {
        const type = root.lookupType(`apache.rocketmq.v2.${name}Request`);
        const bytes = Buffer.concat([Buffer.from(hex.join(""), "hex"), end]);
        cursor.begin(bytes);
        const read = HOT_REQUESTS.get(`${name}Request`)!(cursor, bytes.length);
        if (!cursor.failed) expect(plain(name, read)).toEqual(type.toObject(type.decode(bytes), OPTIONS));
      },
    ),
    { numRuns: 1000 },
  );
});
