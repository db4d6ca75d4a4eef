/** Whatever is put, deleted, closed and killed: the min offset of a queue is its first message that the log still has. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import type { DirectoryLock } from "#src/io/disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import { GetStatus, PutStatus } from "#src/store/types.js";
import {
  emptyPut,
  HOUR_MS,
  input,
  openMemory,
  pull,
  RoomDisk,
  readAll,
  SEGMENT_BYTES,
  StoreClock,
} from "../unit/store/harness.js";

/** What a killed process held is free again. */
class KillDisk extends RoomDisk {
  override lock(): DirectoryLock {
    return { release: () => {} };
  }
}

const QUEUES = 5;

type Step =
  | { kind: "put"; queueId: number; count: number; bytes: number }
  | { kind: "hours"; hours: number }
  | { kind: "delete" }
  | { kind: "used"; percent: number }
  | { kind: "close" | "kill" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("put" as const),
      queueId: fc.nat(QUEUES - 1),
      count: fc.integer({ min: 1, max: 60 }),
      bytes: fc.integer({ min: 10, max: 4000 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("hours" as const), hours: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 2, arbitrary: fc.constant({ kind: "delete" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("used" as const), percent: fc.constantFrom(50, 80, 85.03, 95) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("close" as const, "kill" as const) }) },
);

/** Was found: after a restart the first file that a queue has lies before the log, and the second does not. */
const FIRST_FILE_BEFORE_THE_LOG: Step[] = [
  { kind: "used", percent: 80 },
  { kind: "put", queueId: 2, count: 30, bytes: 10 },
  { kind: "put", queueId: 0, count: 16, bytes: 3760 },
  { kind: "put", queueId: 0, count: 2, bytes: 10 },
  { kind: "hours", hours: 6 },
  { kind: "put", queueId: 2, count: 1, bytes: 10 },
  { kind: "close" },
];

interface Message {
  readonly phyOffset: number;
  readonly text: string;
}

function check(store: MessageStore, model: readonly Message[][]): void {
  model.forEach((messages, queueId) => {
    const kept = messages.filter(({ phyOffset }) => phyOffset >= store.minPhyOffset);
    const min = messages.length - kept.length;
    const queue = store.queue("T", queueId);
    expect([queueId, store.minOffset(queue), store.maxOffset(queue)]).toEqual([queueId, min, messages.length]);
    expect(readAll(store, "T", queueId, min)).toEqual(kept.map(({ text }, i) => [min + i, text]));
    if (min > 0) expect(pull(store, "T", queueId, min - 1).status).toBe(GetStatus.OFFSET_TOO_SMALL);
  });
}

test("min offsets follow the log through puts, deletions, restarts and crashes", { timeout: 180_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 3, maxLength: 25 }),
      fc.integer({ min: 1, max: 30 }),
      async (steps, units) => {
        let clock = new StoreClock();
        // Every process has a clock of its own, and with a killed one go its timers.
        const disk = new KillDisk({ ...systemClock, nowMs: () => clock.nowMs() });
        const open = async () => {
          const next = new StoreClock();
          next.wallMs = clock.wallMs;
          clock = next;
          const retention = { fileReservedTime: 6, maxLogBytes: 12 * SEGMENT_BYTES };
          return openMemory(disk, clock, { queueFileBytes: units * 20, retention });
        };
        let store = await open();
        const model: Message[][] = Array.from({ length: QUEUES }, () => []);
        let count = 0;
        for (const todo of steps) {
          if (todo.kind === "put") {
            const message = input(store, "T", todo.queueId, "");
            for (let i = 0; i < todo.count; i++) {
              const text = `m${count++}`;
              message.body = Buffer.alloc(Math.max(todo.bytes, 12), " ");
              message.body.write(`${text}|`);
              message.bodyLength = message.body.length;
              const result = emptyPut();
              const status = store.put(message, result);
              if (status === PutStatus.DISK_FULL && store.diskFull) break;
              expect(status).toBe(PutStatus.PUT_OK);
              expect(result.queueOffset).toBe(model[todo.queueId]!.length);
              model[todo.queueId]!.push({ phyOffset: result.phyOffset, text });
            }
          } else if (todo.kind === "hours") {
            clock.wallMs += todo.hours * HOUR_MS;
            await clock.advance(11_000);
          } else if (todo.kind === "used") {
            disk.usedPercent = todo.percent;
            await clock.advance(11_000);
          } else if (todo.kind === "delete") {
            await clock.advance(600);
            await store.deleteExpired();
          } else {
            if (todo.kind === "close") await store.close();
            store = await open();
          }
          await store.settled();
          check(store, model);
        }
        await store.close();
      },
    ),
    { numRuns: 150, examples: [[FIRST_FILE_BEFORE_THE_LOG, 1]] },
  );
});
