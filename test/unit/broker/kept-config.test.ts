import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { readBrokerConfig } from "#src/server/broker/broker-config.js";
import { changeProperties, parseProperties } from "#src/server/protocol/java-properties.js";
import { TestBroker } from "./harness.js";

const UPDATE = 25;
const PATH = "/etc/broker.conf";

function brokerOf(disk: MemoryDisk): TestBroker {
  const text = disk.readFile(PATH)?.toString() ?? "";
  const reading = { ...readBrokerConfig(text), path: PATH };
  return new TestBroker({}, { reading }, disk);
}

test("a changed setting holds after a restart, and the file stays its owner's otherwise", async () => {
  const disk = new MemoryDisk();
  const before =
    "# ours\nbrokerName = b\r\nmaxMessageSize:40\\\n  00\n\nflushDiskType=ASYNC_FLUSH\nmaxMessageSize=4001\n";
  disk.writeAtomically(PATH, before);
  const broker = brokerOf(disk);
  const changes = "defaultTopicQueueNums=3\nmaxMessageSize=5000\n";
  expect(await broker.askLate(UPDATE, {}, changes)).toMatchObject({ code: 0, remark: "" });
  const after = "# ours\nbrokerName = b\nmaxMessageSize=5000\n\nflushDiskType=ASYNC_FLUSH\ndefaultTopicQueueNums=3\n";
  expect(disk.readFile(PATH)!.toString()).toBe(after);
  expect(disk.readFile(`${PATH}.bak`)!.toString()).toBe(before);
  const { config } = brokerOf(disk).context;
  expect([config.brokerName, config.defaultTopicQueueNums, config.maxMessageSize]).toEqual(["b", 3, 5000]);
});

test("what is refused is not kept, and what could not be kept holds and is said so", async () => {
  const disk = new MemoryDisk();
  const broker = brokerOf(disk);
  for (const refused of ["brokerConfigPath=/x", "listenPort=1", "maxMessageSize=many", "noSuchThing=1"]) {
    expect((await broker.askLate(UPDATE, {}, refused)).code).not.toBe(0);
  }
  expect(disk.sizeOf(PATH)).toBe(-1);
  disk.replace = () => Promise.reject(new Error("read-only file system"));
  const answer = await broker.askLate(UPDATE, {}, "maxMessageSize=5000");
  expect(answer).toMatchObject({ code: 0, remark: expect.stringContaining("read-only file system") });
  expect(broker.context.config.maxMessageSize).toBe(5000);
});

test("whatever the text is, the changes are in it afterwards and all else is as it was", () => {
  const piece = fc.constantFrom(
    "a",
    "b",
    "=",
    ":",
    " ",
    "\\",
    "\n",
    "\r\n",
    "#",
    "!",
    "\\\n",
    "\\n",
    "1",
    "\t",
    "a=1\n",
  );
  const text = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(""));
  const value = fc.string({ unit: fc.constantFrom("x", "\\", "\n", "=", "#") }).map((chars) => `v${chars}`);
  fc.assert(
    fc.property(text, fc.dictionary(fc.constantFrom("a", "b", "new"), value), (before, entries) => {
      const changes = new Map(Object.entries(entries));
      const expected = new Map([...parseProperties(before), ...changes]);
      const after = parseProperties(changeProperties(before, changes));
      // Half a line at the end is a property without a name, or none.
      for (const properties of [expected, after]) properties.delete("");
      expect(Object.fromEntries(after)).toEqual(Object.fromEntries(expected));
    }),
    { numRuns: 2000 },
  );
});
