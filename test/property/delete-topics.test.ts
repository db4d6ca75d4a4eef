/**
 * Topics come, are deleted and come again, while the store is closed, killed, and robbed of its queues: after every step
 * each queue holds what was put into it since its topic was deleted last, from offset 0 on, and nothing else.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import type { MessageStore } from "#src/store/message-store.js";
import { diskOf, imageOf, openStore, put, ROOT, TickingClock } from "./store-fixture.js";

const SEGMENT_BYTES = 4096;
const TOPICS = ["A", "B", "C"];
const QUEUE_IDS = [0, 1];

type Step =
  | { kind: "put"; topic: string; queueId: number; bytes: number }
  | { kind: "delete"; topics: string[] }
  | { kind: "restart" | "kill" | "lose queues" | "lose notes" | "half deleted" };

const topic = fc.constantFrom(...TOPICS);
const putStep = fc.record({
  kind: fc.constant("put" as const),
  topic,
  queueId: fc.constantFrom(...QUEUE_IDS),
  bytes: fc.nat(300),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: putStep, weight: 8 },
  { arbitrary: fc.record({ kind: fc.constant("delete" as const), topics: fc.uniqueArray(topic) }), weight: 2 },
  {
    arbitrary: fc.record({ kind: fc.constantFrom("restart", "kill", "lose queues", "lose notes", "half deleted") }),
    weight: 2,
  } as fc.WeightedArbitrary<Step>,
);

/** Bodies of every queue. */
type Model = Map<string, string[]>;

const keyOf = (name: string, queueId: number) => `${name}/${queueId}`;

class Bench {
  readonly model: Model = new Map();
  store!: MessageStore;
  #disk = new MemoryDisk();
  #number = 0;
  readonly #clock = new TickingClock();

  async open(): Promise<void> {
    this.store = await openStore(this.#disk, SEGMENT_BYTES, { clock: this.#clock });
  }

  async run(action: Step): Promise<void> {
    switch (action.kind) {
      case "put":
        return this.#put(action);
      case "delete":
        await this.store.deleteTopics(action.topics);
        for (const name of action.topics) for (const id of QUEUE_IDS) this.model.delete(keyOf(name, id));
        return;
      case "restart":
        await this.store.close();
        return this.open();
      case "half deleted":
        return this.#halfDelete();
      default:
        await this.store.settled();
        return this.#reopenWithout(action.kind);
    }
  }

  #put({ topic: name, queueId, bytes }: Extract<Step, { kind: "put" }>): void {
    const body = `${this.#number++} ${"x".repeat(bytes)}`;
    const bodies = this.model.get(keyOf(name, queueId)) ?? [];
    expect(put(this.store, name, queueId, Buffer.from(body)).queueOffset).toBe(bodies.length);
    bodies.push(body);
    this.model.set(keyOf(name, queueId), bodies);
  }

  /** A process that is killed: nothing is closed, what lies on the disk is all there is. */
  async #reopenWithout(kind: string): Promise<void> {
    const image = imageOf(this.#disk);
    const lost = { "lose queues": /\/consumequeue\/|\/index\//, "lose notes": /checkpoint$/ }[kind];
    for (const path of image.keys()) if (lost?.test(path)) image.delete(path);
    this.#disk = diskOf(image);
    await this.open();
  }

  /** The process dies between the note of the deletion and the deletion itself. */
  async #halfDelete(): Promise<void> {
    await this.store.settled();
    const before = imageOf(this.#disk);
    await this.run({ kind: "delete", topics: ["A"] });
    const after = imageOf(this.#disk);
    for (const [path, bytes] of before) if (path.startsWith(`${ROOT}/consumequeue/`)) after.set(path, bytes);
    this.#disk = diskOf(after);
    await this.open();
  }

  async check(): Promise<void> {
    await this.store.settled();
    for (const name of TOPICS) {
      for (const queueId of QUEUE_IDS) {
        expect([keyOf(name, queueId), this.#bodies(name, queueId)]).toEqual([
          keyOf(name, queueId),
          this.model.get(keyOf(name, queueId)) ?? [],
        ]);
      }
    }
  }

  #bodies(name: string, queueId: number): string[] {
    const queue = this.store.findQueue(name, queueId);
    const bodies: string[] = [];
    if (queue === undefined) return bodies;
    expect(this.store.minOffset(queue)).toBe(0);
    for (let offset = 0; offset < this.store.maxOffset(queue); offset++) {
      const record = this.store.lookUp.messageAt(queue, offset)!;
      const { queueOffset, topic: ofTopic, body } = decodeRecord(record);
      expect([ofTopic, queueOffset]).toEqual([name, offset]);
      bodies.push(body.toString());
    }
    return bodies;
  }
}

test("a queue holds what was put since its topic was deleted last", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const bench = new Bench();
      await bench.open();
      for (const action of steps) {
        await bench.run(action);
        if (action.kind !== "put") await bench.check();
      }
      await bench.check();
      await bench.run({ kind: "lose queues" });
      await bench.check();
      await bench.store.close();
    }),
    { numRuns: 150 },
  );
});

test("a deletion whose place the log has lost does not swallow what is written there anew", async () => {
  const clock = new TickingClock();
  const disk = new MemoryDisk();
  const store = await openStore(disk, SEGMENT_BYTES, { clock });
  for (const name of ["A", "B", "B", "B"]) put(store, name, 0, Buffer.from(`old ${name}`));
  await store.settled();
  const segment = `${ROOT}/commitlog/${"0".repeat(20)}`;
  const end = store.lookUp.phyOffsetOf(store.findQueue("B", 0)!, 1);
  await store.deleteTopics(["A"]);
  const image = imageOf(disk);
  image.get(segment)!.fill(0, end);
  for (const path of image.keys()) if (/checkpoint$/.test(path)) image.delete(path);

  const cut = await openStore(diskOf(image), SEGMENT_BYTES, { clock });
  expect(cut.maxPhyOffset).toBe(end);
  expect([0, 1, 2].map((i) => put(cut, "A", 0, Buffer.from(`new ${i}`)).queueOffset)).toEqual([0, 1, 2]);
  await cut.settled();
  const again = imageOf(cut.disk);
  for (const path of again.keys()) if (/\/consumequeue\/|checkpoint$/.test(path)) again.delete(path);
  const rebuilt = await openStore(diskOf(again), SEGMENT_BYTES, { clock });
  const bodies = [0, 1, 2].map((offset) => rebuilt.lookUp.messageAt(rebuilt.findQueue("A", 0)!, offset)!);
  expect(bodies.map((record) => decodeRecord(record).body.toString())).toEqual(["new 0", "new 1", "new 2"]);
  expect(rebuilt.maxOffset(rebuilt.findQueue("A", 0)!)).toBe(3);
});
