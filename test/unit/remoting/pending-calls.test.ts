import { expect, test } from "vitest";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";
import { PendingCalls } from "#src/remoting/pending-calls.js";
import { HandClock } from "./peers.js";

function answered(opaque: number): { header: HeaderView; bytes: Buffer; bodyStart: number } {
  const writer = new FrameWriter();
  writer.response(opaque, 0, 0, "said", { topic: "T" }, Buffer.from("body"));
  const bytes = Buffer.from(writer.buffer.subarray(0, writer.length));
  const header = new HeaderView();
  expect(header.parse(bytes, 8, bytes.length - 4, 0)).toBe(true);
  return { header, bytes, bodyStart: bytes.length - 4 };
}

test("an answer is a copy: the receive buffer is written over at once", async () => {
  const pending = new PendingCalls(new HandClock(), "peer");
  const call = pending.add(5, 10, 1000);
  const { header, bytes, bodyStart } = answered(5);
  expect(pending.settle(header, bytes, bodyStart, bytes.length)).toBe(true);
  bytes.fill(0xdb);
  const answer = await call;
  expect(answer).toEqual({ code: 0, remark: "said", fields: { topic: "T" }, body: Buffer.from("body") });
});

test("an answer settles its own call, once", async () => {
  const clock = new HandClock();
  const pending = new PendingCalls(clock, "peer");
  const five = pending.add(5, 10, 1000);
  const six = pending.add(6, 10, 1000);
  const { header, bytes, bodyStart } = answered(6);
  expect(pending.settle(header, bytes, bodyStart, bytes.length)).toBe(true);
  expect(pending.settle(header, bytes, bodyStart, bytes.length)).toBe(false);
  expect((await six).remark).toBe("said");
  expect([pending.count, clock.scheduledCount]).toEqual([1, 1]);
  clock.advance(1000);
  await expect(five).rejects.toMatchObject({ code: "COMETMQ_TIMEOUT" });
  expect(pending.count).toBe(0);
});
