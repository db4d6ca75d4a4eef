/** What Apache's filter answered, recorded by test/java/filter.test.ts, so that it is checked without Java as well. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { ourAnswer } from "./filter-answers.js";

interface Recorded {
  expression: string;
  properties: Record<string, string>[];
  apache: string;
}

const recorded = readFileSync(path.join(import.meta.dirname, "data", "filter.jsonl"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line): Recorded => JSON.parse(line));

const answerOf = ({ expression, properties }: Recorded) =>
  ourAnswer({ expression, properties: properties.map((set) => Object.entries(set)) });

test("the corpus has every kind of answer", () => {
  const letters = new Set(recorded.flatMap(({ apache }) => [...apache]));
  expect([...letters].sort().join("")).toBe("EFNTX");
  expect(recorded.length).toBeGreaterThan(1000);
});

test("recorded expressions get Apache's answers", () => {
  const wrong = recorded.filter((one) => answerOf(one) !== one.apache);
  expect(wrong.slice(0, 5).map((one) => ({ ...one, ours: answerOf(one) }))).toEqual([]);
});

/** Asked of Apache's classes one by one: what a reader of the grammar would not expect. Properties: a = 5, s = x. */
test.each([
  ["a = 1 what follows is not looked at", "F"],
  ["a = 1 # but one token is", "E"],
  ["a ' ('')", "F"],
  ["a = 5 -- no end of line", "T"],
  ["a = --5", "T"],
  ["a = 05", "F"],
  ["missing = 5", "N"],
  ["5 = missing", "F"],
  ["5 <> missing", "T"],
  ["missing = other", "T"],
  ["a = 5.0", "T"],
  ["s = 5", "X"],
  ["s = 5 or true", "X"],
  ["true or s = 5", "T"],
  ["TRUE = s", "X"],
  ["s = TRUE", "F"],
  ["a > s", "X"],
  ["a between 5 and 4", "E"],
  ["a not between 5 and 4", "T"],
  ["a between -5 and - 6", "F"],
  ["a > 0.0", "E"],
  ["a > '4'", "E"],
  ["- a is null", "T"],
  ["s contains ''", "F"],
  ["s not contains ''", "F"],
  ["missing not contains 'x'", "F"],
  ["missing not in ('x')", "N"],
  ["a", "F"],
  ["a = NULL", "E"],
  ["9223372036854775808 > a", "E"],
  ["-9223372036854775807 < a", "T"],
])("%s: %s", (expression, answer) => {
  const properties: [string, string][] = [
    ["a", "5"],
    ["s", "x"],
  ];
  expect(ourAnswer({ expression, properties: [properties] })).toBe(answer);
});
