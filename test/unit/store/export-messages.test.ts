/** Which messages an export takes. */
import { rmSync } from "node:fs";
import { expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { ReadOnlyDisk } from "#src/io/read-only-disk.js";
import { exportMessages } from "#src/store/export-messages.js";
import { SmallStore } from "../recovery/doctor-fixture.js";

test("up to an offset, of a topic that was deleted and made again: its messages, also where no queue tells where they begin", async () => {
  const small = new SmallStore();
  await small.grow(40, undefined, () => "T");
  const store = await small.open();
  await store.deleteTopics(["T"]);
  await store.close();
  await small.grow(10, undefined, () => "T");
  const wanted = small.messages
    .slice(40)
    .filter(({ queueId, queueOffset }) => queueId === 0 && queueOffset < 3)
    .map(({ body }) => body);
  expect(wanted).toHaveLength(3);
  const filter = { topic: "T", queueId: 0, toOffset: 3 };
  const exported = () =>
    [
      ...exportMessages({ disk: new ReadOnlyDisk(), clock: systemClock, facts: small.facts, filter, bodyForm: "auto" }),
    ].map(({ body }) => body);
  expect(exported()).toEqual(wanted);
  rmSync(small.queuePath("T", 0, 0));
  expect(exported()).toEqual(wanted);
});
