import { expect, test } from "vitest";
import { RecentText } from "#src/base/recent-text.js";

test("is the text of the bytes, whatever it was before", () => {
  const recent = new RecentText();
  const bytes = Buffer.from("orders/orders-2/ordérs//orders");
  const expected = bytes.toString();
  for (let round = 0; round < 2; round++) {
    for (let start = 0; start < bytes.length; start += 3) {
      for (let end = start; end <= bytes.length; end += 2) {
        expect(recent.of(bytes, start, end)).toBe(bytes.toString("utf8", start, end));
      }
    }
  }
  expect(recent.of(bytes, 0, bytes.length)).toBe(expected);
});

test("does not change with the bytes that it was made of", () => {
  const recent = new RecentText();
  const bytes = Buffer.from("first");
  expect(recent.of(bytes, 0, 5)).toBe("first");
  bytes.write("other");
  expect(recent.of(bytes, 0, 5)).toBe("other");
});
