import fc from "fast-check";
import { expect, test } from "vitest";
import { LongPolling, type ParkedPull } from "#src/server/broker/long-polling.js";
import { FakeClock, FakeConnection } from "./harness.js";

const queues = [0, 1, 2, 3, 4, 5, 6, 7].map((slot) => ({
  topic: "T",
  topicBytes: Buffer.from("T"),
  queueId: slot,
  slot,
}));
const queueOf = (slot: number) => queues[slot]!;

class Arrivals {
  readonly maxOffsets = new Map<number, number>();
  interest = 0;

  maxOffset({ slot }: { slot: number }): number {
    return this.maxOffsets.get(slot) ?? 0;
  }

  setInterest(interested: boolean): void {
    this.interest += interested ? 1 : -1;
  }
}

function setUp() {
  const clock = new FakeClock();
  const arrivals = new Arrivals();
  const longPolling = new LongPolling(clock, arrivals);
  /** What was answered: the pull's name, with `!` when its time was up. */
  const answered: string[] = [];
  const park = (name: string, slot: number, waitMs: number, connection = new FakeConnection(), wants = () => true) => {
    const attempt = (_pull: ParkedPull, last: boolean) => {
      if (!last && !wants()) return false;
      answered.push(last ? `${name}!` : name);
      return true;
    };
    const deadlineMs = clock.monotonicMs() + waitMs;
    longPolling.park({ connection, queue: queueOf(slot), offset: 0, deadlineMs, attempt });
  };
  const grow = (slot: number) => {
    arrivals.maxOffsets.set(slot, arrivals.maxOffset(queueOf(slot)) + 1);
    longPolling.arrived(queueOf(slot));
  };
  return { clock, arrivals, longPolling, answered, park, grow };
}

test("a queue that grows wakes its own waiters, in the order they came; interest lasts as long as somebody waits", () => {
  const { arrivals, longPolling, answered, park, grow } = setUp();
  grow(1);
  arrivals.maxOffsets.clear();
  expect(arrivals.interest).toBe(0);
  park("a", 1, 1000);
  park("b", 2, 1000);
  park("c", 1, 1000);
  expect([longPolling.count, arrivals.interest]).toEqual([3, 1]);
  grow(1);
  expect(answered).toEqual(["a", "c"]);
  grow(1);
  expect([longPolling.count, arrivals.interest]).toEqual([1, 1]);
  grow(2);
  expect(answered).toEqual(["a", "c", "b"]);
  expect([longPolling.count, arrivals.interest]).toEqual([0, 0]);
});

test("who finds nothing for itself goes on waiting, until its time is up", () => {
  const { clock, longPolling, answered, park, grow } = setUp();
  let wanted = false;
  park("a", 1, 1000, undefined, () => wanted);
  park("late", 1, 5000, undefined, () => false);
  grow(1);
  expect(answered).toEqual([]);
  wanted = true;
  grow(1);
  expect(answered).toEqual(["a"]);
  clock.advance(4900);
  expect(answered).toEqual(["a"]);
  clock.advance(200);
  expect(answered).toEqual(["a", "late!"]);
  expect(longPolling.count).toBe(0);
});

test("a later pull with an earlier deadline does not wait for the first one's timer", () => {
  const { clock, answered, park } = setUp();
  park("long", 1, 10_000);
  park("short", 1, 500);
  clock.advance(600);
  expect(answered).toEqual(["short!"]);
  clock.advance(10_000);
  expect(answered).toEqual(["short!", "long!"]);
});

test("a connection that closes takes its waiters along at once, and no others", () => {
  const { clock, arrivals, longPolling, answered, park, grow } = setUp();
  const gone = new FakeConnection();
  const stays = new FakeConnection();
  park("a", 1, 1000, gone);
  park("b", 2, 1000, gone);
  park("c", 1, 1000, stays);
  gone.close();
  expect([longPolling.count, arrivals.interest]).toEqual([1, 1]);
  grow(1);
  grow(2);
  expect(answered).toEqual(["c"]);
  expect([longPolling.count, arrivals.interest]).toEqual([0, 0]);
  clock.advance(2000);
  expect(answered).toEqual(["c"]);
});

test("a message between the look and the wait is not missed", async () => {
  const { arrivals, answered, park } = setUp();
  arrivals.maxOffsets.set(1, 1);
  park("a", 1, 1000);
  await Promise.resolve();
  expect(answered).toEqual(["a"]);
});

test("closing answers everybody", () => {
  const { longPolling, answered, park } = setUp();
  park("a", 1, 1000);
  park("b", 2, 2000);
  longPolling.close();
  expect(answered.sort()).toEqual(["a!", "b!"]);
  expect(longPolling.count).toBe(0);
});

test("whatever happens in whatever order, each pull is answered once or its connection has gone", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("park" as const), slot: fc.nat(3), peer: fc.nat(3), waitMs: fc.nat(3000) }),
    fc.record({ kind: fc.constant("grow" as const), slot: fc.nat(3) }),
    fc.record({ kind: fc.constant("pass" as const), ms: fc.nat(1500) }),
    fc.record({ kind: fc.constant("close" as const), peer: fc.nat(3) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { clock, arrivals, longPolling, answered, park, grow } = setUp();
      const peers = Array.from({ length: 4 }, () => new FakeConnection());
      const parked = new Map<string, FakeConnection>();
      const lost = new Set<string>();
      for (const [i, event] of steps.entries()) {
        if (event.kind === "park" && !peers[event.peer]!.closed) {
          arrivals.maxOffsets.delete(event.slot);
          parked.set(String(i), peers[event.peer]!);
          park(String(i), event.slot, event.waitMs, peers[event.peer]!);
        } else if (event.kind === "grow") grow(event.slot);
        else if (event.kind === "pass") clock.advance(event.ms);
        else if (event.kind === "close") {
          const names = answered.map((name) => name.replace("!", ""));
          for (const [name, peer] of parked) {
            if (peer === peers[event.peer] && !names.includes(name)) lost.add(name);
          }
          peers[event.peer]!.close();
        }
      }
      clock.advance(5000);
      const names = answered.map((name) => name.replace("!", ""));
      expect([...names, ...lost].sort()).toEqual([...parked.keys()].sort());
      expect([longPolling.count, arrivals.interest]).toEqual([0, 0]);
    }),
  );
});
