/** The order in which a Java broker writes properties again: lists of java.util.HashMap with the initial capacity 128. */
import { expect, test } from "vitest";
import { javaHash } from "#src/base/java-hash.js";
import { inApacheOrder } from "#src/record/properties.js";

function orderOf(count: number): string {
  const properties = new Map(Array.from({ length: count }, (_, i) => [`own-${i}`, "v"]));
  const ordered = inApacheOrder(properties);
  expect(ordered.every(([, value]) => value === "v")).toBe(true);
  return ordered.map(([name]) => name.slice("own-".length)).join(" ");
}

test("a handful", () => {
  expect(orderOf(12)).toBe("9 8 7 11 10 2 1 0 6 5 4 3");
});

// The lists are long: Java's hash of them, made by Java.
test.each([
  [96, 742_442_038],
  [97, -1_391_781_713],
  [200, 1_777_518_120],
])("%d, before and after the map grows", (count, hash) => {
  expect(javaHash(orderOf(count))).toBe(hash);
});

test("names of one bucket keep the order in which they came", () => {
  const names = ["Aa", "BB", "CLUSTER", "UNIQ_KEY"];
  const order = (list: string[]) => inApacheOrder(new Map(list.map((name) => [name, ""]))).map(([name]) => name);
  expect(order(names)).toEqual(["CLUSTER", "UNIQ_KEY", "Aa", "BB"]);
  expect(order(names.toReversed())).toEqual(["UNIQ_KEY", "CLUSTER", "BB", "Aa"]);
});
