import fc from "fast-check";
import { expect, test } from "vitest";
import { NameTable } from "#src/server/broker/name-table.js";
import { isNotAllowedSendTopic, isSafeName, validateGroup, validateTopic } from "#src/server/broker/names.js";

const PATTERN = "contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$";

test("a topic is refused in the words of Apache's validator", () => {
  expect(validateTopic("Order_1-a|b%")).toBe("");
  expect(validateTopic("  ")).toBe("The specified topic is blank.");
  expect(validateTopic("bad topic!")).toBe(`The specified topic: bad topic!, ${PATTERN}`);
  expect(validateTopic("a".repeat(127))).toBe("");
  const long = "a".repeat(128);
  expect(validateTopic(long)).toBe(`The specified topic: ${long}, is longer than topic max length: 127`);
  expect(validateTopic(`%RETRY%${"a".repeat(248)}`)).toBe("");
  expect(validateTopic(`%DLQ%${"a".repeat(251)}`)).toMatch(/^The specified topic is DLQ or Retry topic: .* 255$/);
});

test("a group may have 120 characters, so that its retry topics stay file names", () => {
  expect(validateGroup("g".repeat(120))).toBe("");
  expect(validateGroup("g".repeat(121))).toMatch(/is longer than group max length: 120$/);
  expect(validateGroup("")).toBe("The specified group is blank.");
  expect(validateGroup("a/b")).toBe(`The specified group: a/b, ${PATTERN}`);
});

test("names that could leave their directory are never legal", () => {
  for (const name of ["..", ".", "a/b", "../../x", "a\\b", "a\0b", "", "a\n", "é", "a".repeat(256)]) {
    expect(validateTopic(name)).not.toBe("");
    expect(isSafeName(name)).toBe(false);
  }
  for (const name of ["my-host.example.org", "%RETRY%g+T", "__proto__", "constructor", "1"]) {
    expect(isSafeName(name)).toBe(true);
  }
});

test("clients may not send to topics that the broker writes", () => {
  expect(isNotAllowedSendTopic("SCHEDULE_TOPIC_XXXX")).toBe(true);
  expect(isNotAllowedSendTopic("TBW102")).toBe(false);
});

class Item {
  readonly name: string;
  readonly nameBytes: Buffer;
  constructor(name: string) {
    this.name = name;
    this.nameBytes = Buffer.from(name);
  }
}

test("a table finds by bytes what a map finds by name, through growth and deletion", () => {
  const odd = fc.constantFrom("__proto__", "constructor", "1", "toString", "é", "");
  // Few enough names that most deletions meet one, enough that the table grows and has long runs of taken slots.
  const name = fc.oneof({ weight: 1, arbitrary: odd }, { weight: 9, arbitrary: fc.nat(120).map((n) => `topic-${n}`) });
  const step = fc.tuple(
    name,
    fc.integer({ min: 0, max: 2 }).map((n) => n > 0),
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 100, maxLength: 400 }), (steps) => {
      const table = new NameTable<Item>();
      const model = new Map<string, Item>();
      for (const [key, add] of steps) {
        if (add) {
          const item = new Item(key);
          table.set(item);
          model.delete(key);
          model.set(key, item);
        } else {
          expect(table.delete(key)).toBe(model.get(key));
          model.delete(key);
        }
      }
      expect(table.size).toBe(model.size);
      expect([...table.values()]).toEqual([...model.values()]);
      for (const [key] of steps) {
        const bytes = Buffer.from(`..${key}..`);
        expect(table.get(key)).toBe(model.get(key));
        expect(table.getBytes(bytes, 2, bytes.length - 2)).toBe(model.get(key));
      }
    }),
  );
});
