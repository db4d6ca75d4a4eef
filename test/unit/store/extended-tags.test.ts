/** Queues of a store with `enableConsumeQueueExt`: a unit's tags code may be an address into `consumequeue_ext`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { javaHash } from "#src/base/java-hash.js";
import { UNIT_BYTES } from "#src/consumequeue/unit.js";
import { encodeProperties } from "#src/record/properties.js";
import { emptyGetResult, GetStatus } from "#src/store/types.js";
import { messageOf, newDirectory, newPutResult, openStore } from "./fixture.js";

test("a tag is looked for in the record where the unit has an address", async () => {
  const directory = newDirectory();
  const written = await openStore({ directory });
  for (const tag of ["red", "blue", "red"]) {
    const properties = encodeProperties([["TAGS", tag]]);
    const message = { ...messageOf(written, "T", 0, tag), properties, propertiesLength: properties.length };
    written.put(message, newPutResult());
  }
  await written.close();
  const path = join(directory, "consumequeue", "T", "0", "0".repeat(20));
  const units = readFileSync(path);
  for (let unit = 0; unit < 3; unit++) units.writeBigInt64BE(-(2n ** 63n) + BigInt(46 * unit), unit * UNIT_BYTES + 12);
  writeFileSync(path, units);

  const store = await openStore({ directory });
  const result = emptyGetResult();
  const limits = { maxCount: 10, maxBytes: 1 << 20 };
  const offsetsOf = (tag: string) => {
    store.get(store.queue("T", 0), 0, limits, new Set([javaHash(tag)]), result);
    return [...result.queueOffsets];
  };
  expect(offsetsOf("red")).toEqual([0, 2]);
  expect(offsetsOf("blue")).toEqual([1]);
  expect(offsetsOf("green")).toEqual([]);
  expect(result).toMatchObject({ status: GetStatus.NO_MATCHED_MESSAGE, nextBeginOffset: 3 });
});
