import { describe, expect, it } from "vitest";
import { isDirectoryName, listQueues, queueDirectory, queueNameProblem } from "#src/consumequeue/queue-directory.js";
import { MemoryDisk } from "#src/io/memory-disk.js";

describe("queue directory", () => {
  it("takes names that are one step, whatever they look like to JavaScript", () => {
    for (const topic of [
      "T",
      "%RETRY%group",
      "%LMQ%a",
      "__proto__",
      "constructor",
      "1",
      "a|b",
      "T".repeat(255),
      "青",
    ]) {
      expect(queueDirectory("/s/consumequeue", topic, 7)).toBe(`/s/consumequeue/${topic}/7`);
    }
  });

  it("refuses names that lead elsewhere", () => {
    for (const topic of [
      "",
      ".",
      "..",
      "a/b",
      "/a",
      "../../etc",
      "a\\b",
      "a\0b",
      "a\nb",
      "T".repeat(256),
      "青".repeat(86),
    ]) {
      expect(isDirectoryName(topic)).toBe(false);
      expect(() => queueDirectory("/s", topic, 0)).toThrow(expect.objectContaining({ code: "COMETMQ_STORE_CORRUPT" }));
    }
    for (const queueId of [-1, 1.5, Number.NaN, 2 ** 31]) expect(() => queueDirectory("/s", "T", queueId)).toThrow();
  });

  it("says which part of a name no queue can have", () => {
    expect(queueNameProblem("T", 0)).toBeUndefined();
    expect(queueNameProblem("T", 2 ** 31 - 1)).toBeUndefined();
    expect(queueNameProblem("a/b", 0)).toMatch(/^topic: "a\/b" cannot name a directory/);
    expect(queueNameProblem(undefined as unknown as string, 0)).toMatch(/^topic: undefined/);
    for (const queueId of [-1, 1.5, Number.NaN, 2 ** 31, "0" as unknown as number])
      expect(queueNameProblem("T", queueId)).toMatch(/^queueId: .* is no whole number from 0 to 2147483647\.$/);
  });

  it("lists queues by topic and number, and reports what is none", () => {
    const disk = new MemoryDisk();
    const root = "/s/consumequeue";
    for (const name of ["B/0", "A/10", "A/2", "A/x", "A/007", "A/-1", "A/4294967296"])
      disk.makeDirectory(`${root}/${name}`);
    disk.writeAtomically(`${root}/A/3`, "a file");
    disk.writeAtomically(`${root}/stray`, "a file");
    const listing = listQueues(disk, root);
    expect(listing.queues).toEqual([
      { topic: "A", queueId: 2, directory: `${root}/A/2` },
      { topic: "A", queueId: 10, directory: `${root}/A/10` },
      { topic: "B", queueId: 0, directory: `${root}/B/0` },
    ]);
    const unknown = ["A/-1", "A/007", "A/3", "A/4294967296", "A/x", "stray"];
    expect(listing.unknown).toEqual(unknown.map((name) => `${root}/${name}`));
    expect(disk.sizeOf(`${root}/stray`)).toBe(6);
    expect(listQueues(disk, "/nowhere")).toEqual({ queues: [], unknown: [] });
  });
});
