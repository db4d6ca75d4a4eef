/** Which messages an export takes. */
import { rmSync } from "node:fs";
import { expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { ReadOnlyDisk } from "#src/io/read-only-disk.js";
import { encodeProperties } from "#src/record/properties.js";
import { exportMessages } from "#src/store/export-messages.js";
import { PutStatus } from "#src/store/types.js";
import { SmallStore } from "../recovery/doctor-fixture.js";
import { emptyPut, readAll } from "./harness.js";
import { messageInput } from "./message-input.mjs";

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

test("a record whose __CRC32# is wrong is exported, as the opened store keeps it, and counted", async () => {
  const small = await SmallStore.make(12);
  const store = await small.open();
  const properties = encodeProperties([
    ["KEYS", "wrong"],
    ["__CRC32#", "0000000001"],
  ]);
  const put = (text: string, its: Uint8Array) =>
    store.put(messageInput(store.queue("Orders", 0), Buffer.from(text), Buffer.from(its)), emptyPut());
  expect([put("wrong", properties), put("behind", Buffer.alloc(0))]).toEqual([PutStatus.PUT_OK, PutStatus.PUT_OK]);
  await store.close();
  await using again = await small.open();
  const kept = readAll(again, "Orders", 0, 0).length;
  for (const propertyCrc of ["unknown", "written", "required"] as const) {
    const facts = { ...small.facts, propertyCrc };
    const filter = { topic: "Orders", queueId: 0 };
    const lines = exportMessages({ disk: new ReadOnlyDisk(), clock: systemClock, facts, filter, bodyForm: "auto" });
    const bodies: (string | undefined)[] = [];
    let step = lines.next();
    for (; step.done !== true; step = lines.next()) bodies.push(step.value.body);
    expect(bodies).toHaveLength(kept);
    expect(bodies.slice(-2)).toEqual(["wrong", "behind"]);
    const wrongPropertyCrcCount = propertyCrc === "required" ? kept : 1;
    expect(step.value).toMatchObject({ damagedCount: 0, wrongPropertyCrcCount });
  }
});
