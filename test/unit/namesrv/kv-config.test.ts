import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { KV_LIMITS, KvConfig } from "#src/server/namesrv/kv-config.js";

const PATH = "/ns/kvConfig.json";

function diskWith(content: string): MemoryDisk {
  const disk = new MemoryDisk();
  disk.makeDirectory("/ns");
  disk.writeAtomically(PATH, content);
  return disk;
}

test("the file is Apache's, and what was put is there after opening again", async () => {
  const disk = new MemoryDisk();
  const config = KvConfig.open(disk, PATH);
  expect(disk.sizeOf(PATH)).toBe(-1);
  void config.put("ORDER_TOPIC_CONFIG", "T", "a:4;b:4");
  expect(config.get("ORDER_TOPIC_CONFIG", "T")).toBeUndefined();
  await config.put("__proto__", "1", "../x");
  expect(disk.readFile(PATH)!.toString()).toBe(
    '{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"a:4;b:4"},"__proto__":{"1":"../x"}}}',
  );
  const again = KvConfig.open(disk, PATH);
  expect(again.get("ORDER_TOPIC_CONFIG", "T")).toBe("a:4;b:4");
  expect(again.get("__proto__", "1")).toBe("../x");
  await again.delete("ORDER_TOPIC_CONFIG", "T");
  expect(KvConfig.open(disk, PATH).list("ORDER_TOPIC_CONFIG")).toEqual(new Map());
  expect(disk.list("/ns")).toEqual(["kvConfig.json"]);
});

test("a file as Apache writes it is read", () => {
  const config = KvConfig.open(diskWith('{"configTable":{"ns":{"a":"b"},"empty":{}}}'), PATH);
  expect(config.get("ns", "a")).toBe("b");
  expect(config.list("empty")).toEqual(new Map());
  expect(config.list("other")).toBeUndefined();
  expect(KvConfig.open(diskWith(""), PATH).list("ns")).toBeUndefined();
  expect(KvConfig.open(diskWith("{}"), PATH).list("ns")).toBeUndefined();
});

test.each(["[]", "{", '{"configTable":[]}', '{"configTable":{"a":1}}', '{"configTable":{"a":{"b":[]}}}'])(
  "a file that is something else stops the start and is left as it was: %s",
  (content) => {
    const disk = diskWith(content);
    expect(() => KvConfig.open(disk, PATH)).toThrow(expect.objectContaining({ code: "COMETMQ_CONFIG" }));
    expect(disk.readFile(PATH)!.toString()).toBe(content);
  },
);

test("counts and lengths are bounded, across a restart too", async () => {
  const limits = { namespacesMax: 2, keysMax: 3, nameCharsMax: 4, valueCharsMax: 5, charsMax: 100 };
  const disk = new MemoryDisk();
  let config = KvConfig.open(disk, PATH, limits);
  const refused = (namespace: string, key: string, value = "v") =>
    expect((async () => config.put(namespace, key, value))()).rejects.toMatchObject({ code: "COMETMQ_BAD_REQUEST" });
  await refused("long.", "k");
  await refused("n", "long.");
  await refused("n", "k", "longer");
  await config.put("n", "k", "12345");
  await config.put("m", "k", "v");
  await refused("o", "k");
  await config.put("m", "l", "v");
  await refused("m", "m");
  await config.put("m", "l", "w");
  config = KvConfig.open(disk, PATH, limits);
  await refused("m", "m");
  await config.delete("m", "l");
  await config.delete("m", "l");
  await config.put("m", "m", "v");
  await refused("m", "n");
});

test("all values together have a bound, across a restart too; a shorter one makes room", async () => {
  const limits = { ...KV_LIMITS, charsMax: 10 };
  const disk = new MemoryDisk();
  let config = KvConfig.open(disk, PATH, limits);
  const refused = (key: string, value: string) =>
    expect((async () => config.put("n", key, value))()).rejects.toMatchObject({ code: "COMETMQ_BAD_REQUEST" });
  await config.put("n", "a", "1234");
  await refused("b", "12345");
  await config.put("n", "b", "1234");
  config = KvConfig.open(disk, PATH, limits);
  await refused("a", "12345");
  await refused("c", "");
  await config.put("n", "a", "1");
  await config.put("n", "c", "12");
  await refused("d", "1");
  await config.delete("n", "b");
  await config.put("m", "d", "1234");
  expect(config.list("n")).toEqual(
    new Map([
      ["a", "1"],
      ["c", "12"],
    ]),
  );
});
