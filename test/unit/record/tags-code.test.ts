import { describe, expect, test } from "vitest";
import { encodeRecord } from "#src/record/encode.js";
import { RecordVerdict, RecordView } from "#src/record/record-view.js";
import { DEFAULT_DELAY_LEVELS, deliverTimestamp, deliveryTagsCode, parseDelayLevels } from "#src/record/tags-code.js";

const levels = parseDelayLevels(DEFAULT_DELAY_LEVELS);
const STORED = 1_762_255_040_133;
/** "TagA".hashCode() */
const TAG_A = 2598919;

function tagsCode(topic: string, properties: Record<string, string>): number {
  const bytes = encodeRecord({ topic, storeTimestamp: STORED, properties: new Map(Object.entries(properties)) });
  const record = new RecordView();
  expect(record.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length)).toBe(
    RecordVerdict.RECORD,
  );
  return deliveryTagsCode(record, bytes, levels);
}

describe("the tags code of a record", () => {
  test("is the hash of its tag, 0 without one", () => {
    expect(tagsCode("t", { TAGS: "TagA" })).toBe(TAG_A);
    expect(tagsCode("t", { TAGS: "polygenelubricants" })).toBe(-(2 ** 31));
    expect(tagsCode("t", { TAGS: "标签" })).toBe(857175);
    expect(tagsCode("t", { KEYS: "k" })).toBe(0);
    expect(tagsCode("t", { TAGS: "TagA", DELAY: "3" })).toBe(TAG_A);
  });

  test("is the time it is due while it waits in the schedule topic", () => {
    expect(tagsCode("SCHEDULE_TOPIC_XXXX", { DELAY: "1", TAGS: "TagA" })).toBe(STORED + 1000);
    expect(tagsCode("SCHEDULE_TOPIC_XXXX", { DELAY: "+3" })).toBe(STORED + 10_000);
    expect(tagsCode("SCHEDULE_TOPIC_XXXX", { DELAY: "18" })).toBe(STORED + 7_200_000);
    expect(tagsCode("SCHEDULE_TOPIC_XXXX", { DELAY: "19" })).toBe(STORED + 7_200_000);
    expect(tagsCode("SCHEDULE_TOPIC_XXXY", { DELAY: "1", TAGS: "TagA" })).toBe(TAG_A);
  });

  test.each(["0", "-1", "x", "1x", "2147483648", " 1"])("is the tag's hash for a DELAY of %j", (delay) => {
    expect(tagsCode("SCHEDULE_TOPIC_XXXX", { DELAY: delay, TAGS: "TagA" })).toBe(TAG_A);
  });
});

describe("delay levels", () => {
  test("are parsed with their units", () => {
    expect(parseDelayLevels("1s 2m 3h 4d")).toEqual([1000, 120_000, 10_800_000, 345_600_000]);
    expect(levels.length).toBe(18);
    expect(deliverTimestamp(levels, 5, 100)).toBe(60_100);
  });

  test.each(["", "1", "s", "1s  2s", "1x", "-1s", "1.5s"])("%j is refused", (text) => {
    expect(() => parseDelayLevels(text)).toThrow(expect.objectContaining({ code: "COMETMQ_CONFIG" }));
  });
});
