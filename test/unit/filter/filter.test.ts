/** The filter's bounds, what it takes of a record, and its cache. What expressions mean is in test/golden/filter.test.ts. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FilterCache } from "#src/filter/filter-cache.js";
import { compileFilter } from "#src/filter/message-filter.js";
import { encodeRecord } from "#src/record/encode.js";
import { encodeProperties } from "#src/record/properties.js";
import { generateParser, PARSER_FILE } from "../../../scripts/grammar.mjs";

const compile = (expression: string) => compileFilter("SQL92", expression);

function matches(expression: string, properties: Record<string, string>): boolean {
  const bytes = encodeProperties(Object.entries(properties));
  return compile(expression).matches(bytes, 0, bytes.length);
}

test("the parser in the repository is the one of the grammar", () => {
  expect(readFileSync(PARSER_FILE, "utf8") === generateParser(), "run npm run grammar").toBe(true);
});

describe("bounds", () => {
  test.each([
    ["nothing", "", /is empty/],
    ["16 K characters and one more", `a = '${"x".repeat(16 * 1024 - 5)}'`, /has 16385 characters, at most 16384/],
    ["parentheses", `${"(".repeat(257)}a${")".repeat(257)}`, /nested more than 256/],
    ["signs", `a = ${"- ".repeat(300)}1`, /nested more than 256/],
    ["NOT", `${"NOT ".repeat(300)}a`, /nested more than 256/],
    ["a chain of equals", `a${" = a".repeat(300)}`, /chained more than 256/],
    ["a chain of searches", `a${" contains 'x'".repeat(300)}`, /chained more than 256/],
  ])("%s is refused with what is wrong", (_, expression, problem) => {
    expect(() => compile(expression)).toThrow(expect.objectContaining({ code: "COMETMQ_BAD_EXPRESSION" }));
    expect(() => compile(expression)).toThrow(problem);
  });

  test("what is just within them is taken and evaluated", () => {
    expect(matches(`${"(".repeat(250)}a = 5${")".repeat(250)}`, { a: "5" })).toBe(true);
    expect(matches(`${"NOT ".repeat(200)}(a = 5)`, { a: "5" })).toBe(true);
    expect(matches(`a = 5${" or a = 6".repeat(1500)}`, { a: "6" })).toBe(true);
    expect(matches(`a in ('x'${", 'y'".repeat(2000)}, 'z')`, { a: "z" })).toBe(true);
    expect(matches(`a = '${"x".repeat(16 * 1024 - 6)}'`, { a: "x".repeat(16 * 1024 - 6) })).toBe(true);
  });

  test("nested BETWEENs are asked once a level, not twice as often with each", () => {
    let nested = "a";
    for (let i = 0; i < 60; i++) nested = `-(${nested} between 1 and 2)`;
    const filter = compile(`${nested} is null`);
    const bytes = encodeProperties([["a", "1"]]);
    expect(filter.matches(bytes, 0, bytes.length)).toBe(true);
    expect(filter.steps).toBeLessThan(200);
  });

  test("steps grow with what has to be read", () => {
    const filter = compile("a contains 'x' or b contains 'y' or c = 1");
    const small = encodeProperties([["a", "y"]]);
    filter.matches(small, 0, small.length);
    const few = filter.steps;
    const large = encodeProperties([["a", "y".repeat(30_000)]]);
    filter.matches(large, 0, large.length);
    expect(filter.steps - few).toBeGreaterThan(100 * few);
  });
});

test("hundreds of names are told apart", () => {
  const names = Array.from({ length: 900 }, (_, i) => `n${i}`);
  const filter = compile(names.map((name) => `${name} = 1`).join(" or "));
  for (const name of ["n0", "n451", "n899"]) {
    const bytes = encodeProperties([[name, "1"]]);
    expect(filter.matches(bytes, 0, bytes.length)).toBe(true);
  }
  const other = encodeProperties([
    ["n900", "1"],
    ["n8", "2"],
  ]);
  expect(filter.matches(other, 0, other.length)).toBe(false);
});

test("a filter keeps nothing of one record for the next", () => {
  const filter = compile("a = 1 and b = 2");
  const both = encodeProperties(Object.entries({ a: "1", b: "2" }));
  const one = encodeProperties(Object.entries({ b: "2" }));
  expect([both, one, both].map((bytes) => filter.matches(bytes, 0, bytes.length))).toEqual([true, false, true]);
});

test("a whole record is judged by its own properties, IPv6 hosts and long topics included", () => {
  const filter = compile("a = 5");
  const record = (topic: string, host: string, properties: Record<string, string>) =>
    encodeRecord({
      topic,
      body: Buffer.from("a\u00015\u0002"),
      properties: encodeProperties(Object.entries(properties)),
      bornHost: host,
      storeHost: host,
    });
  for (const host of ["192.0.2.1:10911", "[2001:db8::1]:10911"]) {
    for (const topic of ["T", "T".repeat(200)]) {
      expect(filter.matchesRecord(record(topic, host, { a: "5" }))).toBe(true);
      expect(filter.matchesRecord(record(topic, host, { a: "6" }))).toBe(false);
    }
  }
  expect(filter.matchesRecord(Buffer.alloc(40))).toBe(false);
  expect(filter.matchesRecord(Buffer.alloc(200, 0x7f))).toBe(false);
});

test("a type that is none is refused by its name", () => {
  expect(() => compileFilter("XPATH", "a")).toThrow(/XPATH is neither TAG nor SQL92/);
});

describe("the cache", () => {
  test("compiles once, and keeps what was used last", () => {
    const cache = new FilterCache();
    const first = cache.get("SQL92", "a = 1");
    for (let i = 0; i < 999; i++) cache.get("SQL92", `b = ${i}`);
    expect(cache.get("SQL92", "a = 1")).toBe(first);
    for (let i = 0; i < 999; i++) cache.get("SQL92", `c = ${i}`);
    expect(cache.get("SQL92", "a = 1")).toBe(first);
    expect(cache.size).toBe(1000);
    for (let i = 0; i < 1000; i++) cache.get("SQL92", `d = ${i}`);
    expect(cache.get("SQL92", "a = 1")).not.toBe(first);
  });

  test("is bounded by characters too, and keeps nothing that does not compile", () => {
    const cache = new FilterCache();
    for (let i = 0; i < 100; i++) cache.get("SQL92", `a = '${String(i).padEnd(16_000, "x")}'`);
    expect(cache.size).toBeLessThan(70);
    const before = cache.size;
    expect(() => cache.get("SQL92", "a >")).toThrow();
    expect(cache.size).toBe(before);
  });
});

test("the bounds of BETWEEN are compared as the filter compares them: a long and a double as doubles", () => {
  expect(matches("a between 9007199254740993 and 9007199254740993.0", { b: "1" })).toBe(false);
  expect(() => compile("a between 9007199254740995 and 9007199254740993.0")).toThrow(/the wrong way round/);
});
