/** Answers that peers do not read, over all connections of a server: who holds them up is cut off, and nobody else. */
import { afterEach, expect, test } from "vitest";
import { FrameType } from "#src/http2/frames.js";
import { OutputBudget } from "#src/remoting/output-budget.js";
import { HandClock } from "../remoting/peers.js";
import { closeAll, frame, number, RawPeer, request, Server } from "./raw-peer.js";

afterEach(closeAll);

const ANSWER_BYTES = 300_000;
/** Of each connection and stream before they are widened. */
const WINDOW_BYTES = 65_535;
const HELD_BYTES = ANSWER_BYTES - WINDOW_BYTES;

async function started(heldMax: number) {
  const clock = new HandClock();
  const server = new Server();
  const budget = new OutputBudget(heldMax * HELD_BYTES, clock);
  server.outputBudget = budget;
  server.answerBytes = ANSWER_BYTES;
  await server.start(clock);
  /** A peer that asks and opens no window, once what it leaves is counted. */
  const ask = async (): Promise<RawPeer> => {
    const before = server.served.length;
    const peer = new RawPeer(server);
    peer.send(request(1));
    await peer.until(() => peer.dataBytes(1) === WINDOW_BYTES);
    await peer.settled();
    expect(server.served.length).toBe(before + 1);
    return peer;
  };
  return { clock, server, budget, ask };
}

async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

const widened = (streamId: number, bytes: number) => frame(FrameType.WINDOW_UPDATE, 0, streamId, number(bytes));

test("past the bound those are cut off that have not read for ten seconds, the oldest first", async () => {
  const { clock, server, budget, ask } = await started(4);
  const [first, second, third] = [await ask(), await ask(), await ask()];
  expect(budget.bytes).toBe(3 * HELD_BYTES);
  clock.advance(9_999);
  const late = [await ask(), await ask()];
  expect([server.unreadCount, budget.bytes]).toEqual([0, 5 * HELD_BYTES]);
  clock.advance(1);
  const last = await ask();
  await Promise.all([first.untilClosed(), second.untilClosed()]);
  expect([server.unreadCount, budget.bytes]).toEqual([2, 4 * HELD_BYTES]);
  for (const peer of [third, ...late, last]) {
    peer.send(widened(0, ANSWER_BYTES), widened(1, ANSWER_BYTES));
    await peer.until(() => peer.dataBytes(1) === ANSWER_BYTES);
    await peer.settled();
  }
  expect([server.unreadCount, budget.bytes]).toEqual([2, 0]);
});

test("a peer that has read all that waited is as young as what waits since", async () => {
  const { clock, server, ask } = await started(3);
  const reader = await ask();
  const silent = await ask();
  clock.advance(6_000);
  reader.send(request(3));
  await reader.settled();
  reader.send(widened(0, 2 * ANSWER_BYTES), widened(1, ANSWER_BYTES));
  await reader.until(() => reader.dataBytes(1) === ANSWER_BYTES && reader.dataBytes(3) === WINDOW_BYTES);
  await reader.settled();
  clock.advance(4_000);
  // Windows that open a byte at a time make nobody younger.
  silent.send(widened(0, 1), widened(1, 1));
  await silent.until(() => silent.dataBytes(1) === WINDOW_BYTES + 1);
  const others = [await ask(), await ask()];
  await silent.untilClosed();
  expect(server.unreadCount).toBe(1);
  expect([reader, ...others].map(({ closed }) => closed)).toEqual([false, false, false]);
});

test("what is reset or gone holds nothing", async () => {
  const { server, budget, ask } = await started(4);
  const peer = await ask();
  expect(budget.bytes).toBe(HELD_BYTES);
  peer.send(frame(FrameType.RST_STREAM, 0, 1, number(8)));
  await peer.settled();
  expect(budget.bytes).toBe(0);
  (await ask()).socket.destroy();
  await eventually(() => server.gone === 1);
  expect(budget.bytes).toBe(0);
});
