/** Directories that a store does not open, and must not touch; and what it finds beside its own files. */
import { spawn } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ErrorCode } from "#src/base/errors.js";
import type { StoreOptions } from "#src/store/options.js";
import { PutStatus } from "#src/store/types.js";
import { FakeLog } from "../broker/harness.js";
import {
  bodiesIn,
  listingOf,
  messageOf,
  newDirectory,
  newPutResult,
  openStore,
  put,
  QUEUE_FILE_BYTES,
  SEGMENT_BYTES,
  writtenStore,
} from "./fixture.js";

async function expectRefused(options: StoreOptions, code: ErrorCode, message: RegExp, watched = options.directory) {
  const before = listingOf(watched);
  await expect(openStore(options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  expect(listingOf(watched)).toEqual(before);
}

/** Some store of three segments and more. */
const written = newDirectory();
const bodies = await writtenStore(written, 300, 10_000);

function copyOfStore(): string {
  const directory = newDirectory();
  cpSync(written, directory, { recursive: true, preserveTimestamps: true });
  return directory;
}

const segmentName = (n: number): string => String(n * SEGMENT_BYTES).padStart(20, "0");

test("the store that the others are copies of can be opened", async () => {
  const directory = copyOfStore();
  expect(readdirSync(join(directory, "commitlog"))).toEqual([0, 1, 2].map(segmentName));
  expect(existsSync(join(directory, "abort"))).toBe(false);
  const store = await openStore({ directory });
  expect(bodiesIn(store, "T", 0)).toEqual(bodies);
  expect(readFileSync(join(directory, "abort"), "utf8").split("\n")[0]).toBe(String(process.pid));
});

test("a directory with something else in it is no store", async () => {
  const directory = newDirectory();
  mkdirSync(join(directory, "config"));
  mkdirSync(join(directory, "src", "deep"), { recursive: true });
  writeFileSync(join(directory, "src", "deep", "index.ts"), "export {};\n");
  writeFileSync(join(directory, "package.json"), "{}\n");
  await expectRefused({ directory }, "COMETMQ_NOT_A_STORE", /has no commitlog, but it holds "package\.json"/);
});

test("a new store may begin where there is nothing, or nothing but what stores have", async () => {
  const empty = newDirectory();
  expect(put(await openStore({ directory: empty }), "T", 0, "x")).toBe(PutStatus.PUT_OK);
  const missing = join(newDirectory(), "a", "b");
  expect(put(await openStore({ directory: missing }), "T", 0, "x")).toBe(PutStatus.PUT_OK);
  const configured = newDirectory();
  mkdirSync(join(configured, "config"));
  writeFileSync(join(configured, "config", "topics.json"), "{}");
  writeFileSync(join(configured, "lock"), "lock");
  writeFileSync(join(configured, "broker.conf"), "brokerName=broker-a\n");
  expect(put(await openStore({ directory: configured }), "T", 0, "x")).toBe(PutStatus.PUT_OK);
});

test("a file is no store, neither as the root nor as its commitlog", async () => {
  const parent = newDirectory();
  writeFileSync(join(parent, "store"), "content");
  await expectRefused({ directory: join(parent, "store") }, "COMETMQ_NOT_A_STORE", /store is a file\./, parent);
  await expectRefused(
    { directory: join(parent, "store", "sub") },
    "COMETMQ_IO",
    /Could not create the directory/,
    parent,
  );
  const directory = newDirectory();
  writeFileSync(join(directory, "commitlog"), "content");
  await expectRefused({ directory }, "COMETMQ_NOT_A_STORE", /commitlog is a file\./);
});

test.each(["consumequeue", "batchconsumequeue", "index"])(
  "a file in the place of %s is told before anything is made",
  async (name) => {
    const directory = copyOfStore();
    rmSync(join(directory, name), { recursive: true, force: true });
    writeFileSync(join(directory, name), "content");
    await expectRefused({ directory }, "COMETMQ_NOT_A_STORE", new RegExp(`${name} is a file\\.`));
  },
);

test("the segment that has another length than the others is named, also where it is the first", async () => {
  const directory = copyOfStore();
  const first = join(directory, "commitlog", segmentName(0));
  truncateSync(first, 5);
  const options = { directory, segmentBytes: undefined };
  await expectRefused(options, "COMETMQ_STORE_LAYOUT", /0{20} has 5 bytes/);
  await expectRefused({ directory }, "COMETMQ_STORE_LAYOUT", /0{20} has 5 bytes/);
  rmSync(first);
  mkdirSync(first);
  await expectRefused(options, "COMETMQ_STORE_CORRUPT", /0{20} is a directory/);
});

test("a store in use is refused with its directory's name, here and from another process", async () => {
  const directory = copyOfStore();
  const store = await openStore({ directory });
  await expect(openStore({ directory })).rejects.toMatchObject({
    code: "COMETMQ_STORE_LOCKED",
    message: `The store ${directory} is in use by this process. Stop the process that holds the directory, or choose another one.`,
  });
  const program = `
    const { MessageStore } = await import(${JSON.stringify(import.meta.resolve("#src/store/message-store.js"))});
    await MessageStore.open({ directory: ${JSON.stringify(directory)} }).catch((error) => console.log(error.message));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
  expect(said).toMatch(`The store ${directory} is in use by another process. Stop the process`);
  expect(readFileSync(join(directory, "abort"), "utf8").split("\n")[0]).toBe(String(process.pid));
  expect(put(store, "T", 0, "still mine")).toBe(PutStatus.PUT_OK);
});

test("segments of another size than is set are refused", async () => {
  const directory = copyOfStore();
  const options = { directory, segmentBytes: 2 * SEGMENT_BYTES };
  await expectRefused(options, "COMETMQ_STORE_LAYOUT", /have 1048576 bytes, but mappedFileSizeCommitLog is 2097152\./);
  // Without a size the store is opened as it was written.
  const store = await openStore({ directory, segmentBytes: undefined, queueFileBytes: undefined });
  expect(bodiesIn(store, "T", 0)).toEqual(bodies);
});

test("a segment of a length of its own is refused", async () => {
  const directory = copyOfStore();
  truncateSync(join(directory, "commitlog", segmentName(1)), 4096);
  await expectRefused({ directory }, "COMETMQ_STORE_LAYOUT", /00001048576 has 4096 bytes/);
});

test("a segment that is too long is refused", async () => {
  const directory = copyOfStore();
  appendFileSync(join(directory, "commitlog", segmentName(1)), "x");
  await expectRefused(
    { directory },
    "COMETMQ_STORE_LAYOUT",
    /00001048576 has 1048577 bytes.*sizes it was written with/,
  );
});

test("a log in another format is refused, not cleared away", async () => {
  const directory = copyOfStore();
  for (const name of readdirSync(join(directory, "commitlog"))) {
    const path = join(directory, "commitlog", name);
    const bytes = readFileSync(path);
    for (let at = bytes.indexOf("daa320", 0, "hex"); at >= 0; at = bytes.indexOf("daa320", at + 1, "hex")) {
      bytes.writeUInt32BE(0xdaa3_30b0, at);
    }
    writeFileSync(path, bytes);
  }
  for (const aborted of [false, true]) {
    if (aborted) writeFileSync(join(directory, "abort"), "1");
    const before = readFileSync(join(directory, "commitlog", segmentName(0)));
    await expect(openStore({ directory })).rejects.toMatchObject({
      code: "COMETMQ_STORE_CORRUPT",
      message: expect.stringMatching(/0000 begins with the unknown magic code 0xdaa330b0, and the log has no record/),
    });
    expect(readFileSync(join(directory, "commitlog", segmentName(0))).equals(before)).toBe(true);
    expect(existsSync(join(directory, "lost+found"))).toBe(false);
  }
});

test("checkpoints that are cut short, make no sense or come from the future are told, and made anew", async () => {
  const future = Buffer.alloc(4096);
  future.writeBigInt64BE(BigInt(Date.now() + 400 * 24 * 3_600_000), 0);
  for (const [name, content] of [
    ["checkpoint", future],
    ["checkpoint", Buffer.alloc(4096, 0xff)],
    ["checkpoint", Buffer.alloc(20)],
    ["dispatch.checkpoint", "{"],
    ["dispatch.checkpoint", JSON.stringify({ version: 3, position: 1 })],
  ] as const) {
    for (const aborted of [false, true]) {
      const directory = copyOfStore();
      writeFileSync(join(directory, name), content);
      if (aborted) writeFileSync(join(directory, "abort"), "1");
      const log = new FakeLog();
      const store = await openStore({ directory, log });
      expect(log.at("warn", /checkpoints that make no sense/)).toEqual([{ unusable: [join(directory, name)] }]);
      expect(bodiesIn(store, "T", 0)).toEqual(bodies);
      expect(store.recovery).toMatchObject({ fromOffset: 0, cutBytes: 0, findings: [], damages: [] });
      await store.close();
      const again = await openStore({ directory, log });
      expect(log.at("warn", /checkpoints that make no sense/)).toHaveLength(1);
      expect(again.recovery.aborted).toBe(false);
    }
  }
});

test("a missing segment between others is refused", async () => {
  const directory = copyOfStore();
  rmSync(join(directory, "commitlog", segmentName(1)));
  rmSync(join(directory, "lock"));
  writeFileSync(join(directory, "commitlog", `${segmentName(3)}.reserving`), "half made");
  await expectRefused({ directory }, "COMETMQ_STORE_CORRUPT", /the segment 00000000000001048576 is missing/);
  // Also after a crash.
  writeFileSync(join(directory, "abort"), "1");
  await expectRefused({ directory }, "COMETMQ_STORE_CORRUPT", /the segment 00000000000001048576 is missing/);
});

test("a log that has lost all its segments is refused while queues point into it", async () => {
  const directory = copyOfStore();
  for (const name of readdirSync(join(directory, "commitlog"))) rmSync(join(directory, "commitlog", name));
  await expectRefused({ directory }, "COMETMQ_STORE_CORRUPT", /commitlog has no segment, but the queues in/);
});

test("queue files of another size are refused", async () => {
  const directory = copyOfStore();
  const options = { directory, queueFileBytes: 2 * QUEUE_FILE_BYTES };
  await expectRefused(options, "COMETMQ_STORE_LAYOUT", /files of 20000 were expected \(mappedFileSizeConsumeQueue\)/);
});

test("index files of another size are refused", async () => {
  const directory = newDirectory();
  const store = await openStore({ directory });
  const message = { properties: Buffer.from("KEYS\u0001k\u0002"), propertiesStart: 0, propertiesLength: 7 };
  store.put({ ...messageOf(store, "T", 0, "x"), ...message }, newPutResult());
  await store.close();
  expect(readdirSync(join(directory, "index"))).toHaveLength(1);
  const options = { directory, indexSizes: { maxHashSlotNum: 50, maxIndexNum: 400 } };
  await expectRefused(options, "COMETMQ_STORE_LAYOUT", /for these maxHashSlotNum and maxIndexNum/);
});

test("what is not the store's lies there untouched, and is told", async () => {
  const directory = copyOfStore();
  const foreign: [string, string][] = [
    ["commitlog/notes.txt", "mine"],
    ["commitlog/000000000000000000000", "21 digits"],
    ["commitlog/.hidden", "dot"],
    ["consumequeue/stray", "no topic"],
    ["consumequeue/T/queue", "no queue"],
    ["consumequeue/T/0/readme", "no queue file"],
    ["index/readme", "no index file"],
    ["unknown", "in the root"],
  ];
  for (const [name, content] of foreign) writeFileSync(join(directory, name), content);
  const log = new FakeLog();
  const store = await openStore({ directory, log });
  expect(bodiesIn(store, "T", 0)).toEqual(bodies);
  for (let i = 0; i < 300; i++) expect(put(store, "T", 0, "y".repeat(10_000))).toBe(PutStatus.PUT_OK);
  await store.close();
  for (const [name, content] of foreign) expect(readFileSync(join(directory, name), "utf8")).toBe(content);
  expect(log.at("warn", /files that are no segments are left alone/)).toEqual([
    { directory: join(directory, "commitlog"), foreign: [".hidden", "000000000000000000000", "notes.txt"] },
  ]);
  const [told, ...more] = log.at("warn", /paths that are no queues are left alone/);
  expect(more).toEqual([]);
  expect((told!.foreignPaths as string[]).sort()).toEqual(
    ["T/0/readme", "T/queue", "stray"].map((name) => join(directory, "consumequeue", name)),
  );
});

test("leftovers of segments that were being made go, once the store is opened", async () => {
  const directory = copyOfStore();
  const commitLog = join(directory, "commitlog");
  writeFileSync(join(commitLog, `${segmentName(3)}.reserving`), "half made");
  writeFileSync(join(commitLog, segmentName(3)), "");
  const store = await openStore({ directory });
  expect(bodiesIn(store, "T", 0)).toEqual(bodies);
  await store.close();
  expect(readdirSync(commitLog)).toEqual([0, 1, 2].map(segmentName));
});

test("a log kept elsewhere is found where it is", async () => {
  const directory = copyOfStore();
  const commitLogDirectory = join(newDirectory(), "log");
  renameSync(join(directory, "commitlog"), commitLogDirectory);
  const store = await openStore({ directory, commitLogDirectory });
  expect(bodiesIn(store, "T", 0)).toEqual(bodies);
  expect(existsSync(join(directory, "commitlog"))).toBe(false);
});

test("a queue that cannot be called so is a mistake of the caller's, not of the store", async () => {
  const store = await openStore({ directory: newDirectory() });
  for (const [topic, queueId, named] of [
    ["../T", 0, "topic"],
    ["", 0, "topic"],
    ["T", -1, "queueId"],
    ["T", 0.5, "queueId"],
  ] as const) {
    const message = expect.stringMatching(new RegExp(`^${named}: .* Correct the named option\\.$`));
    expect(() => store.queue(topic, queueId)).toThrow(expect.objectContaining({ code: "COMETMQ_CONFIG", message }));
  }
  expect(store.allQueues()).toEqual([]);
  await store.close();
});

test("a segment whose name no log reaches is refused: what is put there would lie in one place", async () => {
  for (const name of ["09007199254740992000", "18446744073709551616"]) {
    const directory = newDirectory();
    mkdirSync(join(directory, "commitlog"));
    writeFileSync(join(directory, "commitlog", name), Buffer.alloc(SEGMENT_BYTES));
    await expectRefused({ directory }, "COMETMQ_STORE_CORRUPT", /no log reaches so far/);
  }
});
