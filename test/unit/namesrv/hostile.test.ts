/** Any fields, any bodies, to every request a name server knows: each is answered, and the tables keep their bounds. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { SerializeType } from "#src/remoting/types.js";
import { Bench } from "./harness.js";

const FIELD_NAMES = [
  ...["clusterName", "brokerName", "brokerAddr", "brokerId", "haServerAddr", "heartbeatTimeoutMillis", "bodyCrc32"],
  ...["compressed", "enableActingMaster", "topic", "cluster", "namespace", "key", "value", "acceptStandardJsonOnly"],
  ...["__ZONE_NAME", "__ZONE_MODE", "__proto__", "constructor", "unknown"],
];
const text = fc.oneof(
  fc.constantFrom(
    "",
    "0",
    "1",
    "-1",
    "true",
    "false",
    "null",
    "9223372036854775807",
    "1e400",
    "__proto__",
    "constructor",
  ),
  fc.constantFrom("T", "a", "C", "../../x", "\u0000", "x".repeat(300), "é\ud83d\ude00"),
  fc.string(),
);
const member = fc.constantFrom(
  "topicConfigSerializeWrapper",
  "topicConfigTable",
  "dataVersion",
  "queueDatas",
  "T",
  "perm",
);
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.jsonValue(),
    fc.dictionary(member, tie("json")),
    fc.array(tie("json"), { maxLength: 2 }),
  ),
}));
const body = fc.oneof(
  fc.constant(undefined),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  json.map((value) => Buffer.from(JSON.stringify(value))),
  fc.constantFrom("{{}:1}", "{1:", "orderMessageEnable=true", "a", "\\").map((line) => Buffer.from(line)),
);

test("every request is answered, and afterwards an honest broker is served", () => {
  const bench = new Bench();
  const codes = bench.codes();
  const fields = fc.dictionary(fc.constantFrom(...FIELD_NAMES), text, { noNullPrototype: false });
  const serializeType = fc.constantFrom(...Object.values(SerializeType));
  const version = fc.constantFrom(0, 36, 37, 400, 493, 100_000);
  fc.assert(
    fc.property(fc.constantFrom(...codes), fields, body, serializeType, version, (code, given, bytes, type, from) => {
      const options = { serializeType: type, version: from, ...(bytes === undefined ? {} : { body: bytes }) };
      const answer = bench.ask(code, given, options);
      expect(answer.opaque).toBe(7);
      expect([0, 1, 16, 17, 22]).toContain(answer.code);
      if (answer.code !== 0) expect(answer.remark.length).toBeGreaterThan(0);
      expect(answer.remark.length).toBeLessThan(1000);
    }),
    { numRuns: 3000 },
  );
  const honest = {
    clusterName: "Honest",
    brokerName: "honest",
    brokerAddr: "h:10911",
    brokerId: 0,
    haServerAddr: "h:10912",
  };
  const topics = Buffer.from('{"topicConfigSerializeWrapper":{"topicConfigTable":{"Honest":{},"Honest2":{}}}}');
  expect(bench.ask(103, honest, { body: topics }).code).toBe(0);
  expect(bench.ask(105, { topic: "Honest" }).body.toString()).toContain('"h:10911"');
});
