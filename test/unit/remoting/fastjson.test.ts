import { expect, test } from "vitest";
import {
  booleanIn,
  integerIn,
  JavaDouble,
  listIn,
  mapIn,
  parseFastjson,
  textIn,
  toFastjson,
  toPrettyFastjson,
} from "#src/remoting/fastjson.js";

test("integer keys and object keys", () => {
  const text = '{"offsetTable":{1:5,-2:1},"q":{{"brokerName":"a","queueId":0}:{"max":17},{"x":1}:2}}';
  const value = parseFastjson(text);
  expect(mapIn(value, "offsetTable")).toEqual(
    new Map([
      [1, 5],
      [-2, 1],
    ]),
  );
  const queues = [...mapIn(value, "q")!];
  expect(queues).toEqual([
    [
      new Map<string, unknown>([
        ["brokerName", "a"],
        ["queueId", 0],
      ]),
      new Map([["max", 17]]),
    ],
    [new Map([["x", 1]]), 2],
  ]);
  expect(toFastjson(value)).toBe(text);
});

test("plain JSON of every kind, with white space, single quotes and control characters", () => {
  const value = parseFastjson(
    ' { "a" : [ 1 , -2.5e3 , true , false , null , [ ] , { } ] , \'b\' : \'it"s\\\'\' , "c":"x\u0001\\u0041\\n" } ',
  );
  expect(value).toEqual(
    new Map<string, unknown>([
      ["a", [1, -2500, true, false, null, [], new Map()]],
      ["b", "it\"s'"],
      ["c", "x\u0001A\n"],
    ]),
  );
  expect(parseFastjson("12")).toBe(12);
  expect(parseFastjson(Buffer.from('"é"'))).toBe("é");
});

test.each([
  ['\ufeff{"a":1}'],
  ['{"a":1,}'],
  ['// by hand\n{"a":1}'],
  ['/* by\nhand */ { /**/ "a" /* : */ : /*1*/ 1 // one\n } //'],
  ['{"a":+1}'],
  ['{"a":1L}'],
])("%j is taken as by fastjson2", (text) => {
  expect(parseFastjson(text)).toEqual(new Map([["a", 1]]));
  expect(parseFastjson("[1,2,]")).toEqual([1, 2]);
  expect(parseFastjson('"//"')).toBe("//");
});

test("names of JavaScript's own are keys like any other", () => {
  const value = parseFastjson('{"__proto__":{"x":1},"constructor":2}');
  expect([...mapIn(value, "__proto__")!]).toEqual([["x", 1]]);
  expect(integerIn(value, "constructor")).toBe(2);
  expect(({} as { x?: number }).x).toBeUndefined();
});

test.each([
  "",
  " ",
  "{",
  "}",
  "{1}",
  "{1:}",
  '{"a":1,,}',
  "{,}",
  "[,]",
  "[1,,]",
  '{"a":1/}',
  '{"a":1/*}',
  "/",
  "[1 2]",
  '{"a" 1}',
  "{a:1}",
  "{[1]:2}",
  "{true:1}",
  '"abc',
  '"\\x"',
  '"\\u12g4"',
  "tru",
  "01x",
  "-",
  "1.",
  "NaN",
  "{} {}",
  "'",
])("malformed: %j", (text) => {
  expect(parseFastjson(text)).toBeUndefined();
});

test("a key that is beyond all numbers is none: it could not be written again", () => {
  for (const key of ["9".repeat(400), "1e999", "-1e999"]) expect(parseFastjson(`{${key}:1}`)).toBe(undefined);
  expect(toFastjson(parseFastjson(`{"a":${"9".repeat(400)}}`))).toBe('{"a":null}');
});

test("depth is bounded, in keys too", () => {
  expect(parseFastjson("[".repeat(64) + "]".repeat(64))).toBeDefined();
  expect(parseFastjson("[".repeat(65) + "]".repeat(65))).toBeUndefined();
  expect(parseFastjson("[".repeat(1_000_000))).toBeUndefined();
  expect(parseFastjson("{".repeat(1_000_000))).toBeUndefined();
  expect(parseFastjson('{"a":{"b":1}}', 1)).toBeUndefined();
});

test("typed look-ups give undefined for what is absent or of another kind", () => {
  const value = parseFastjson('{"t":"x","i":3,"d":1.5,"b":true,"l":[1],"m":{}}');
  expect([textIn(value, "t"), textIn(value, "i"), textIn(value, "none"), textIn(undefined, "t")]).toEqual([
    "x",
    undefined,
    undefined,
    undefined,
  ]);
  expect([integerIn(value, "i"), integerIn(value, "d"), integerIn(value, "t")]).toEqual([3, undefined, undefined]);
  expect([booleanIn(value, "b"), booleanIn(value, "i")]).toEqual([true, undefined]);
  expect([listIn(value, "l"), listIn(value, "m")]).toEqual([[1], undefined]);
  expect([mapIn(value, "m"), mapIn(value, "l")]).toEqual([new Map(), undefined]);
});

test("plain objects are written like maps", () => {
  const key = { brokerName: "broker-a", queueId: 0, topic: 'T"' };
  const value = {
    a: new Map([[key, { max: 1, none: undefined }]]),
    b: ["x", null, undefined, Number.NaN],
    c: new Map([[0, true]]),
  };
  expect(toFastjson(value)).toBe(
    '{"a":{{"brokerName":"broker-a","queueId":0,"topic":"T\\""}:{"max":1}},"b":["x",null,null,null],"c":{0:true}}',
  );
  expect(toFastjson([new JavaDouble(0), new JavaDouble(-3), new JavaDouble(0.25), new JavaDouble(Number.NaN)])).toBe(
    "[0.0,-3.0,0.25,null]",
  );
});

test("config files are laid out as Apache's", () => {
  const value = new Map<string, unknown>([
    ["dataVersion", { counter: 1, stateVersion: 0 }],
    ["empty", {}],
    ["numbers", [46, 107]],
    [
      "offsets",
      new Map([
        [0, 2],
        [1, 18],
      ]),
    ],
    ["topics", ["a", "b"]],
  ]);
  expect(toPrettyFastjson(value as Map<string, never>)).toBe(
    '{\n\t"dataVersion":{\n\t\t"counter":1,\n\t\t"stateVersion":0\n\t},\n\t"empty":{\n\t\t\n\t},\n\t"numbers":[46,107],\n\t"offsets":{\n\t\t0:2,\n\t\t1:18\n\t},\n\t"topics":[\n\t\t"a",\n\t\t"b"\n\t]\n}',
  );
});
