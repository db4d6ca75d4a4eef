/**
 * A consumer that asks for much at once and reads nothing ended the whole server: its first bytes had the connection
 * paused, and what came after them was taken for a mistake of the server's own.
 */
import { afterEach, expect, test } from "vitest";
import { RemotingServer } from "#src/remoting/server.js";
import type { Processor } from "#src/remoting/types.js";
import { BareSocket, requestBytes, until } from "../unit/remoting/peers.js";

const FILL = 901;
/** Those of the first chunk alone are more than the kernel takes. */
const ANSWER_BYTES = 200_000;
const REQUESTS = 300;

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start() {
  let handledCount = 0;
  const fill: Processor = ({ header }, { writer }) => {
    handledCount++;
    writer.beginResponse(header.opaque, header.serializeType, 0);
    writer.endHeader();
    const at = writer.reserveBody(ANSWER_BYTES);
    writer.buffer.fill(0x66, at, at + ANSWER_BYTES);
    writer.end();
  };
  const server = new RemotingServer({ processors: new Map([[FILL, fill]]), outputPauseBytes: 200_000 });
  await server.listen();
  closers.push(() => server.close(0));
  const open = async () => {
    const peer = await BareSocket.open(server.port);
    closers.push(() => void peer.socket.destroy());
    return peer;
  };
  return { open, handled: () => handledCount };
}

/** Each is long enough for all of them to fill many chunks, and the queue that a paused socket has. */
function flood(from: number): Buffer {
  const body = Buffer.alloc(700, "x");
  return requestBytes(...Array.from({ length: REQUESTS }, (_, i) => ({ opaque: from + i, code: FILL, body })));
}

test.each([
  ["with its first bytes", 0],
  ["after it was served for a while", 3],
])("a peer that floods %s and reads nothing is left alone, and served in order when it reads", async (_, greetings) => {
  const { open, handled } = await start();
  const peer = await open();
  const other = (await open()).readFrames();
  peer.readFrames();
  for (let i = 0; i < greetings; i++) {
    peer.socket.write(requestBytes({ opaque: i, code: FILL }));
    await until(() => peer.frames.length === i + 1, "an answer");
  }
  peer.socket.pause();
  peer.socket.write(flood(greetings));
  await until(() => handled() > greetings, "the first request");
  for (let i = 0; i < 100; i++) {
    other.socket.write(requestBytes({ opaque: i, code: FILL }));
    await until(() => other.frames.length === i + 1, "another peer's answer");
  }
  expect(handled()).toBeLessThan(REQUESTS);
  // It reads a little now and then, so that the connection is paused and goes on many times.
  for (let i = 0; i < 20; i++) {
    peer.socket.resume();
    await new Promise((resolve) => setImmediate(resolve));
    peer.socket.pause();
  }
  peer.socket.resume();
  await until(() => peer.frames.length === greetings + REQUESTS, "all answers");
  expect(peer.frames.map(({ opaque }) => opaque)).toEqual(Array.from({ length: greetings + REQUESTS }, (__, i) => i));
});
