/** What can be committed of a queue, which broker is spared, and waiting that ends. */
import { expect, test } from "vitest";
import { LatencyFaultTolerance } from "#src/client/latency-fault.js";
import { ProcessQueue } from "#src/client/process-queue.js";
import { QueueRotation } from "#src/client/queue-choice.js";
import type { ReceivedMessage } from "#src/client/received-message.js";
import { abortable, Bell, Periodic, pause } from "#src/client/waiting.js";
import { HandClock } from "../remoting/peers.js";

const queue = { topic: "T", brokerName: "b", queueId: 0 };
const message = (queueOffset: number) => ({ queueOffset, body: Buffer.alloc(10) }) as unknown as ReceivedMessage;

test("only what is consumed without a gap is committed", () => {
  const processQueue = new ProcessQueue(queue, 5, new HandClock());
  expect(processQueue.consumedOffset).toBeUndefined();
  const [a, b, c] = [message(5), message(7), message(9)];
  processQueue.put([a, b, c]);
  expect([processQueue.count, processQueue.bytes, processQueue.span]).toEqual([3, 30, 4]);
  processQueue.remove([b]);
  expect(processQueue.consumedOffset).toBe(5);
  processQueue.remove([a]);
  expect(processQueue.consumedOffset).toBe(9);
  processQueue.remove([c, c]);
  expect([processQueue.consumedOffset, processQueue.bytes]).toEqual([10, 0]);
});

test("a lock that is not renewed is not relied on", () => {
  const clock = new HandClock();
  const processQueue = new ProcessQueue(queue, 0, clock);
  expect(processQueue.locked).toBe(false);
  processQueue.setLocked(true);
  clock.advance(29_999);
  expect(processQueue.locked).toBe(true);
  clock.advance(1);
  expect(processQueue.locked).toBe(false);
});

test("brokers that failed or were slow are spared for a while, unless all are", () => {
  const clock = new HandClock();
  const faults = new LatencyFaultTolerance(clock);
  const rotation = new QueueRotation(faults);
  const queues = ["a", "b", "c"].map((brokerName) => ({ topic: "T", brokerName, queueId: 0 }));
  const chosen = (last?: string) =>
    [...new Set(Array.from({ length: 12 }, () => rotation.next(queues, last).brokerName))].sort();
  expect(chosen()).toEqual(["a", "b", "c"]);
  expect(chosen("a")).toEqual(["b", "c"]);
  faults.update("a", 5, true);
  faults.update("b", 600, false);
  expect(chosen()).toEqual(["c"]);
  expect(chosen("c")).toEqual(["a", "b"]);
  clock.advance(2000);
  expect(chosen()).toEqual(["b", "c"]);
  clock.advance(8000);
  expect(chosen()).toEqual(["a", "b", "c"]);
});

test("waits end by time, ring or signal, and leave no timer", async () => {
  const clock = new HandClock();
  const bell = new Bell();
  const stop = new AbortController();
  const waits = [bell.wait(clock, 1000), bell.wait(clock, 1000, stop.signal)];
  bell.ring();
  await Promise.all(waits);
  const aborted = [bell.wait(clock, 1000, stop.signal), pause(clock, 1000, stop.signal)];
  stop.abort(new Error("enough"));
  await Promise.all(aborted);
  await Promise.all([bell.wait(clock, 1000, stop.signal), pause(clock, 1000, stop.signal)]);
  expect(clock.scheduledCount).toBe(0);
  await expect(abortable(new Promise(() => {}), stop.signal)).rejects.toThrow("enough");
  let runs = 0;
  const periodic = new Periodic(clock, 10, () => void runs++);
  clock.advance(10);
  await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  clock.advance(10);
  expect(runs).toBe(2);
  periodic.stop();
  clock.advance(100);
  expect([runs, clock.scheduledCount]).toEqual([2, 0]);
});
