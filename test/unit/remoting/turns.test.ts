/** Whoever floods a server waits for its turn, and whoever asks for little does not wait for the flood. */
import { afterEach, expect, test } from "vitest";
import { RemotingServer } from "#src/remoting/server.js";
import { Turns, workOf } from "#src/remoting/turns.js";
import { BareSocket, requestBytes, until } from "./peers.js";

const ECHO = 10;
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(onHandled: (handled: readonly number[]) => void) {
  const handled: number[] = [];
  const server = new RemotingServer({
    processors: new Map([
      [
        ECHO,
        ({ header }, { writer }) => {
          handled.push(header.opaque);
          writer.response(header.opaque, header.serializeType, 0);
          onHandled(handled);
        },
      ],
    ]),
  });
  await server.listen();
  closers.push(() => server.close(0));
  const open = async () => {
    const peer = (await BareSocket.open(server.port)).readFrames();
    closers.push(() => void peer.socket.destroy());
    return peer;
  };
  return { open, handled };
}

function echoes(from: number, count: number): Buffer {
  return requestBytes(...Array.from({ length: count }, (_, i) => ({ opaque: from + i, code: ECHO })));
}

test.each([
  ["one peer floods with its first bytes", 1, 0],
  ["one peer floods after it was served", 1, 1],
  ["twenty peers flood", 20, 1],
])("%s: another is served in between, all are served in order", async (_, peers, greetings) => {
  const FLOOD = 16_000;
  const OTHER = -7;
  const flooders: BareSocket[] = [];
  const { open, handled } = await start(({ length }) => {
    // The kernel has it at once; by then the flood has long been received.
    if (length === 1 + peers * greetings) other.socket.write(requestBytes({ opaque: OTHER, code: ECHO }));
  });
  const other = await open();
  for (let i = 0; i < peers; i++) {
    const peer = await open();
    if (greetings > 0) peer.socket.write(echoes(i * 1_000_000, greetings));
    await until(() => peer.frames.length === greetings, "the greeting");
    flooders.push(peer);
  }
  flooders.forEach((peer, i) => void peer.socket.write(echoes(i * 1_000_000 + greetings, FLOOD / peers)));
  await until(() => flooders.every(({ frames }) => frames.length === greetings + FLOOD / peers), "all answers");
  await until(() => other.frames.length === 1, "the other's answer");
  expect(handled.indexOf(OTHER)).toBeLessThan(FLOOD / 4);
  flooders.forEach(({ frames }, i) => {
    const opaques = Array.from({ length: greetings + FLOOD / peers }, (__, k) => i * 1_000_000 + k);
    expect(frames.map(({ opaque }) => opaque)).toEqual(opaques);
  });
});

test("a peer that goes while it waits for its turn is forgotten", async () => {
  let flooder: BareSocket | undefined;
  const { open, handled } = await start(({ length }) => {
    if (length === 1) flooder!.socket.resetAndDestroy();
  });
  flooder = await open();
  flooder.socket.write(echoes(0, 4000));
  await flooder.closed;
  const other = await open();
  other.socket.write(requestBytes({ opaque: 9999, code: ECHO }));
  await until(() => other.frames.length === 1, "an answer");
  expect(handled.at(-1)).toBe(9999);
});

test("turns are shared by those who wait, first come, first served", async () => {
  const turns = new Turns();
  const alone = turns.share;
  const order: string[] = [];
  const shares: number[] = [];
  for (let i = 0; i < 100; i++) {
    turns.wait(() => {
      order.push(`first ${i}`);
      shares.push(turns.share);
      turns.wait(() => void order.push(`second ${i}`));
    });
  }
  await until(() => order.length === 200, "all turns");
  expect(order.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, i) => `first ${i}`));
  expect(order.slice(100)).toEqual(Array.from({ length: 100 }, (_, i) => `second ${i}`));
  expect(Math.max(...shares)).toBeLessThan(alone);
  expect(turns.share).toBe(alone);
  expect(workOf(100)).toBe(1);
  expect(workOf(4 * 1024 * 1024)).toBeGreaterThan(alone);
});

test("one that throws takes nobody's turn, and no order changes", async () => {
  const turns = new Turns();
  const order: number[] = [];
  const thrown: unknown[] = [];
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => void thrown.push(error));
  closers.push(() => {
    process.removeAllListeners("uncaughtException");
    for (const listener of before) process.on("uncaughtException", listener);
  });
  const failure = new Error("a handler failed");
  for (let i = 0; i < 8; i++) {
    turns.wait(() => {
      order.push(i);
      if (i === 0) turns.wait(() => void order.push(8));
      if (i === 2 || i === 7) throw failure;
    });
  }
  await until(() => order.length === 9, "all turns");
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(thrown).toEqual([failure, failure]);
});
