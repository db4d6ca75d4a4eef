/** A header that was made of an object is what a peer would have read of the same fields. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";
import { LocalHeader } from "#src/remoting/local-header.js";
import { type Fields, SerializeType } from "#src/remoting/types.js";

const text = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1 }),
  fc.constantFrom("12", "-7", "+3", "1.5", "true", "TRUE"),
);
const long = fc.string({ minLength: 900, maxLength: 2000 });
const value = fc.oneof(text, long, fc.maxSafeInteger(), fc.boolean(), fc.constant(undefined));
const name = fc.constantFrom("topic", "queueId", "properties", "order", "attemptId", "consumerGroup");

function received(fields: Fields): HeaderView {
  const writer = new FrameWriter();
  writer.request(1, SerializeType.ROCKETMQ, 10, false, fields);
  const view = new HeaderView();
  expect(view.parse(writer.buffer, 8, writer.length, SerializeType.ROCKETMQ)).toBe(true);
  return view;
}

test("whatever is asked, in whichever order", () => {
  const header = new LocalHeader();
  fc.assert(
    fc.property(fc.dictionary(name, value), fc.boolean(), (fields: Fields, bytesFirst) => {
      header.setFields(fields);
      const other = received(fields);
      const asBytes = (view: HeaderView) =>
        [...Object.keys(fields), "absent"].map((field) => {
          const index = view.find(field);
          return index < 0 ? undefined : view.valueText(index);
        });
      const asValues = (view: HeaderView) =>
        [...Object.keys(fields), "absent"].map((field) => [view.text(field), view.integer(field), view.boolean(field)]);
      if (bytesFirst) expect(asBytes(header)).toEqual(asBytes(other));
      expect(asValues(header)).toEqual(asValues(other));
      expect(asBytes(header)).toEqual(asBytes(other));
      expect(header.fields()).toEqual(other.fields());
    }),
    { numRuns: 100 },
  );
});
