import { expect, test } from "vitest";
import { consistentHash } from "#src/server/proxy/consistent-hash.js";

/** Inputs, and the buckets that Guava 32's Hashing.consistentHash gives of 1, 2, 4, 8, 16 and 100. */
const GUAVA: readonly (readonly [number, readonly number[]])[] = [
  [0, [0, 0, 0, 0, 0, 0]],
  [1, [0, 0, 0, 6, 6, 55]],
  [-1, [0, 1, 2, 7, 10, 92]],
  [42, [0, 1, 2, 2, 2, 43]],
  [3288497, [0, 1, 1, 5, 5, 5]],
  [1234255109, [0, 1, 3, 3, 3, 39]],
  [-2147483648, [0, 1, 2, 2, 2, 58]],
  [2147483647, [0, 0, 0, 0, 9, 56]],
  [123456789, [0, 0, 0, 7, 7, 34]],
  [-987654321, [0, 1, 1, 7, 7, 85]],
];

test.each(GUAVA)("%i goes where Guava puts it", (input, buckets) => {
  expect([1, 2, 4, 8, 16, 100].map((count) => consistentHash(input, count))).toEqual(buckets);
});
