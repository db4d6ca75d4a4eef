import fc from "fast-check";
import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { FastjsonEntries, type FastjsonMap, toPrettyFastjson } from "#src/remoting/fastjson.js";
import { ConfigText } from "#src/server/broker/config-text.js";
import { JsonConfigFile } from "#src/server/broker/json-config-file.js";

const PATH = "/data/config/t.json";

function load(disk: MemoryDisk) {
  let value: unknown;
  const file = new JsonConfigFile(disk, PATH);
  const report = file.load((content: FastjsonMap) => {
    value = content.get("n");
  });
  return { file, report, value };
}

/** Fails the calls whose number is in `failing`. */
class FailingDisk extends MemoryDisk {
  failing = new Set<number>();
  #calls = 0;

  #count(): void {
    if (this.failing.has(this.#calls++)) throw new CometError("COMETMQ_DISK_FULL", "No space.");
  }

  override writeAtomically(path: string, content: Uint8Array | string): void {
    this.#count();
    super.writeAtomically(path, content);
  }

  override rename(from: string, to: string): void {
    this.#count();
    super.rename(from, to);
  }
}

test("each save keeps the generation before as the backup", async () => {
  const disk = new MemoryDisk();
  const { file, report } = load(disk);
  expect(report).toEqual({ path: PATH, outcome: "missing", problems: [], droppedCount: 0 });
  await file.save({ n: 1 });
  await file.save({ n: 2 });
  expect(load(disk)).toMatchObject({ report: { outcome: "loaded", problems: [] }, value: 2 });
  expect(disk.readFile(`${PATH}.bak`)?.toString()).toBe('{\n\t"n":1\n}');
});

test("tables are written an entry at a time, in room that serves the next text", () => {
  const text = new ConfigText();
  const many = (count: number) =>
    new FastjsonEntries(function* () {
      for (let i = 0; i < count; i++) yield [i % 2 === 0 ? `größe ${i}` : i, new Map([[i, `"${i}"`]])];
    });
  const content = (count: number) => ({
    v: 1,
    none: undefined,
    table: many(count),
    list: [1, 2],
    empty: many(0),
    last: {},
  });
  const large = text.write(content(5000)).toString();
  expect(large).toBe(toPrettyFastjson({ ...content(5000), list: [1, 2] }));
  expect(text.write(content(1)).toString()).toBe(toPrettyFastjson(content(1)));
  expect(text.write([]).toString()).toBe("[]");
});

test("a file torn at any byte is recovered from the backup, and never takes the backup's place", async () => {
  const whole = Buffer.from(new ConfigText().write({ n: 2 }));
  for (let length = 0; length < whole.length; length++) {
    const disk = new MemoryDisk();
    const writer = new JsonConfigFile(disk, PATH);
    await writer.save({ n: 1 });
    await writer.save({ n: 2 });
    disk.writeAtomically(PATH, whole.subarray(0, length));
    const { file, report, value } = load(disk);
    expect(value).toBe(1);
    expect(report.outcome).toBe("recovered");
    expect(report.problems).toHaveLength(1);
    await file.save({ n: 3 });
    expect(load(disk)).toMatchObject({ report: { outcome: "loaded" }, value: 3 });
    expect(disk.readFile(`${PATH}.bak`)?.toString()).toBe('{\n\t"n":1\n}');
    expect(disk.readFile(`${PATH}.damaged`)?.length).toBe(length);
  }
});

test("when both generations are damaged that is said, and both are kept", async () => {
  const disk = new MemoryDisk();
  disk.writeAtomically(PATH, Buffer.alloc(40));
  disk.writeAtomically(`${PATH}.bak`, "[1]");
  const { file, report, value } = load(disk);
  expect(value).toBeUndefined();
  expect(report.outcome).toBe("lost");
  expect(report.problems).toHaveLength(2);
  await file.save({ n: 1 });
  expect(disk.readFile(`${PATH}.bak`)?.toString()).toBe("[1]");
  expect(disk.readFile(`${PATH}.damaged`)).toEqual(Buffer.alloc(40));
});

test("whatever step of whatever save fails, the last acknowledged generation or a later one is read", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(20)), fc.integer({ min: 1, max: 8 }), async (failing, saveCount) => {
      const disk = new FailingDisk();
      disk.failing = new Set(failing);
      const file = new JsonConfigFile(disk, PATH);
      let acknowledged = 0;
      for (let n = 1; n <= saveCount; n++) {
        try {
          await file.save({ n });
          acknowledged = n;
        } catch (error) {
          expect((error as CometError).code).toBe("COMETMQ_DISK_FULL");
        }
        expect(load(disk).value ?? 0).toBe(acknowledged);
      }
    }),
  );
});
