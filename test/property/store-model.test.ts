/**
 * The store against a model of forty lines: any sequence of puts, batches, reads with limits and filters, look-ups by
 * key, orderly restarts and crashes (the directory is copied as it is while the store is open, and the copy is opened)
 * gives what the model gives. On every backend there is.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { javaHash } from "#src/base/java-hash.js";
import type { Disk } from "#src/io/disk.js";
import { chooseBackend, FileDisk } from "#src/io/file-disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { MessageStore } from "#src/store/message-store.js";
import { type GetResult, GetStatus, PutStatus } from "#src/store/types.js";
import { verifyStore } from "../crash/programs/verify.mjs";
import { copyAsKilled } from "../unit/store/fixture.js";
import { bodyOf, diskOf, emptyPutResult, imageOf, message, ROOT } from "./store-fixture.js";

const SIZES = {
  segmentBytes: 16 * 1024,
  queueFileBytes: 20 * 7,
  indexSizes: { maxHashSlotNum: 16, maxIndexNum: 50 },
  maxMessageSize: 1_000_000,
};
const TOPICS = ["orders", "payments"];
const TAGS = ["red", "green", "Aa", "BB"];
/** What remains of a segment for the largest record: the topic, properties and fields of it are less than this. */
const TOO_LARGE_BYTES = SIZES.segmentBytes - 90;

interface ModelMessage {
  readonly body: Buffer;
  readonly tag: string;
  readonly key: string;
  readonly sizeBytes: number;
}

class Model {
  readonly queues = new Map<string, ModelMessage[]>();
  serial = 0;

  queue(name: string): ModelMessage[] {
    const queue = this.queues.get(name) ?? [];
    this.queues.set(name, queue);
    return queue;
  }

  get(name: string, offset: number, maxCount: number, maxBytes: number, tags: readonly string[]) {
    const queue = this.queue(name);
    const answer = { status: GetStatus.FOUND as number, next: offset, found: [] as ModelMessage[] };
    const hashes = tags.map(javaHash);
    if (queue.length === 0) return { ...answer, status: GetStatus.NO_MESSAGE_IN_QUEUE, next: 0 };
    if (offset < 0) return { ...answer, status: GetStatus.OFFSET_TOO_SMALL, next: 0 };
    if (offset === queue.length) return { ...answer, status: GetStatus.OFFSET_OVERFLOW_ONE };
    if (offset > queue.length) return { ...answer, status: GetStatus.OFFSET_OVERFLOW_BADLY, next: queue.length };
    let totalBytes = 0;
    for (; answer.next < queue.length && answer.found.length < maxCount; answer.next++) {
      const one = queue[answer.next]!;
      if (tags.length > 0 && !hashes.includes(javaHash(one.tag))) continue;
      if (answer.found.length > 0 && totalBytes + one.sizeBytes > maxBytes) break;
      totalBytes += one.sizeBytes;
      answer.found.push(one);
    }
    if (answer.found.length === 0) answer.status = GetStatus.NO_MATCHED_MESSAGE;
    return answer;
  }
}

/** Where stores lie, and how one is copied while it is open. */
interface Place {
  readonly open: () => Promise<MessageStore>;
  readonly copy: () => Place;
  readonly discard: () => void;
}

interface Real {
  place: Place;
  store: MessageStore;
}

function memoryPlace(disk: MemoryDisk): Place {
  return {
    open: () => MessageStore.open({ ...SIZES, directory: ROOT, disk: disk as Disk }),
    copy: () => memoryPlace(diskOf(imageOf(disk))),
    discard: () => {},
  };
}

const home = mkdtempSync(join(tmpdir(), "cometmq-model-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const newDirectory = (): string => mkdtempSync(join(home, "s-"));

function directoryPlace(backend: "mmap-io" | "koffi" | "file", threads: boolean, directory = newDirectory()): Place {
  return {
    open: () => MessageStore.open({ ...SIZES, directory, disk: new FileDisk(backend), threads }),
    copy() {
      const copy = newDirectory();
      copyAsKilled(directory, copy);
      return directoryPlace(backend, threads, copy);
    },
    discard: () => rmSync(directory, { recursive: true, force: true }),
  };
}

type Command = fc.AsyncCommand<Model, Real>;

function command(text: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return { check: () => true, run, toString: () => text };
}

function next(model: Model, store: MessageStore, name: string, bytes: number, tag: string) {
  const [topic, queueId] = name.split("/") as [string, string];
  const serial = model.serial++;
  const body = bodyOf(serial, bytes);
  const key = `k${serial}`;
  const input = message(store.queue(topic, Number(queueId)), body, { UNIQ_KEY: key, TAGS: tag });
  return { input, body, key, tag };
}

function putCommand(name: string, sizes: readonly number[], tag: string, batch: boolean): Command {
  return command(`${batch ? "putBatch" : "put"}(${name}, ${sizes.join(" ")}, ${tag})`, async (model, { store }) => {
    const queue = model.queue(name);
    const messages = sizes.map((bytes) => next(model, store, name, bytes, tag));
    const result = emptyPutResult();
    const inputs = messages.map(({ input }) => input);
    const status = batch ? store.putBatch(inputs, result) : store.put(inputs[0]!, result);
    if (sizes.reduce((sum, bytes) => sum + bytes + 130, 0) > TOO_LARGE_BYTES && status !== PutStatus.PUT_OK) {
      expect(status).toBe(PutStatus.MESSAGE_ILLEGAL);
      return;
    }
    expect([status, result.queueOffset, result.count]).toEqual([PutStatus.PUT_OK, queue.length, sizes.length]);
    await store.settled();
    for (const { body, key } of messages) {
      const sizeBytes = store.lookUp.messageAt(store.queue(...placeOf(name)), queue.length)!.length;
      queue.push({ body, tag, key, sizeBytes });
    }
  });
}

function placeOf(name: string): [string, number] {
  const [topic, queueId] = name.split("/") as [string, string];
  return [topic, Number(queueId)];
}

function getCommand(name: string, offset: number, maxCount: number, maxBytes: number, tags: string[]): Command {
  return command(`get(${name}, ${offset}, ${maxCount}, ${maxBytes}, ${tags})`, async (model, { store }) => {
    const wanted = model.get(name, offset, maxCount, maxBytes, tags);
    const filter = tags.length === 0 ? undefined : new Set(tags.map(javaHash));
    const result = { records: [], queueOffsets: [] } as unknown as GetResult;
    await store.settled();
    const status = store.get(store.queue(...placeOf(name)), offset, { maxCount, maxBytes }, filter, result);
    expect([status, result.nextBeginOffset]).toEqual([wanted.status, wanted.next]);
    expect(result.maxOffset).toBe(model.queue(name).length);
    const found = result.records.map((record) => decodeRecord(record));
    expect(found.map(({ properties }) => properties.get("UNIQ_KEY"))).toEqual(wanted.found.map(({ key }) => key));
    expect(found.every(({ body }, i) => body.equals(wanted.found[i]!.body))).toBe(true);
    expect(found.map(({ queueOffset }) => queueOffset)).toEqual(result.queueOffsets);
  });
}

function bodiesOf(store: MessageStore, key: string): Buffer[] {
  return TOPICS.flatMap((topic) => store.lookUp.queryByKey({ topic, key, kind: "U", countMax: 100 }).records)
    .map((record) => decodeRecord(record))
    .filter(({ properties }) => properties.get("UNIQ_KEY") === key)
    .map(({ body }) => body);
}

function keyCommand(serial: number): Command {
  return command(`query(k${serial})`, async (model, { store }) => {
    const key = `k${serial}`;
    const wanted = [...model.queues.values()].flat().find((one) => one.key === key);
    await store.settled();
    // The index is written in the dispatcher's pauses, so a key may be found a little later than its message.
    const deadline = performance.now() + (wanted === undefined ? 0 : 10_000);
    let found = bodiesOf(store, key);
    while (found.length === 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      found = bodiesOf(store, key);
    }
    expect(found).toEqual(wanted === undefined ? [] : [wanted.body]);
  });
}

const restart = command("restart", async (_model, real) => {
  await real.store.close();
  real.store = await real.place.open();
  expect(real.store.recovery).toMatchObject({ aborted: false, cutBytes: 0, findings: [], damages: [] });
});

const crash = command("crash", async (_model, real) => {
  const { place, store } = real;
  real.place = place.copy();
  await store.close();
  place.discard();
  real.store = await real.place.open();
  expect(real.store.recovery).toMatchObject({ aborted: true, cutBytes: 0, findings: [], damages: [], lostBytes: 0 });
});

const name = fc
  .tuple(fc.constantFrom(...TOPICS), fc.integer({ min: 0, max: 1 }))
  .map(([topic, queueId]) => `${topic}/${queueId}`);
const small = fc.integer({ min: 0, max: 300 });
const bytes = fc.oneof(
  { weight: 6, arbitrary: small },
  { weight: 2, arbitrary: fc.integer({ min: 300, max: 6000 }) },
  { weight: 1, arbitrary: fc.integer({ min: TOO_LARGE_BYTES - 200, max: TOO_LARGE_BYTES + 300 }) },
);
const tag = fc.constantFrom(...TAGS);
const commands = fc.commands<Model, Real, false>(
  [
    fc.tuple(name, bytes, tag).map(([queue, size, one]) => putCommand(queue, [size], one, false)),
    fc.tuple(name, bytes, tag).map(([queue, size, one]) => putCommand(queue, [size], one, false)),
    fc
      .tuple(name, fc.array(fc.oneof({ weight: 40, arbitrary: small }, bytes), { minLength: 1, maxLength: 30 }), tag)
      .map(([queue, sizes, one]) => putCommand(queue, sizes, one, true)),
    fc
      .record({
        queue: name,
        offset: fc.integer({ min: -1, max: 60 }),
        count: fc.integer({ min: 1, max: 70 }),
        maxBytes: fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 20_000 })),
        tags: fc.subarray(TAGS, { maxLength: 2 }),
      })
      .map(({ queue, offset, count, maxBytes, tags }) => getCommand(queue, offset, count, maxBytes, tags)),
    fc.integer({ min: 0, max: 60 }).map(keyCommand),
    fc.constant(restart),
    fc.constant(crash),
  ],
  { size: "max", maxCommands: 40 },
);

async function behaves(place: () => Place, numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const first = place();
      const real: Real = { place: first, store: await first.open() };
      try {
        await fc.asyncModelRun(() => ({ model: new Model(), real }), sequence);
        await real.store.close();
        real.store = await real.place.open();
        expect((await verifyStore(real.store, SIZES)).problems).toEqual([]);
      } finally {
        await real.store.close();
        real.place.discard();
      }
    }),
    { numRuns },
  );
}

function loads(backend: "mmap-io" | "koffi"): boolean {
  try {
    return chooseBackend(backend) === backend;
  } catch {
    process.stdout.write(`${backend} is not tried: it does not load here\n`);
    return false;
  }
}

/** COMETMQ_MODEL_RUNS: how many times as often. */
const MORE = Number(process.env.COMETMQ_MODEL_RUNS ?? 1);

const TIMEOUT_MS = 120_000 * MORE;

describe("the store does what the model does", () => {
  it("in memory", () => behaves(() => memoryPlace(new MemoryDisk()), 80 * MORE), TIMEOUT_MS);
  it("on plain files", () => behaves(() => directoryPlace("file", false), 7 * MORE), TIMEOUT_MS);
  it.runIf(loads("koffi"))(
    "on files that koffi maps",
    () => behaves(() => directoryPlace("koffi", false), 7 * MORE),
    TIMEOUT_MS,
  );
  it.runIf(loads("mmap-io"))(
    "on files that mmap-io maps, dispatching on a thread",
    () => behaves(() => directoryPlace("mmap-io", true), 6 * MORE),
    TIMEOUT_MS,
  );
});
