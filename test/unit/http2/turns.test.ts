/** Who floods a server with calls waits for its turn, and who asks for little does not wait for the flood. */
import { afterEach, expect, test } from "vitest";
import { Flag, FrameType } from "#src/http2/frames.js";
import { HandClock } from "../remoting/peers.js";
import { closeAll, frame, number, PREFACE, RawPeer, request, Server, settings } from "./raw-peer.js";

afterEach(closeAll);

const FLOOD = 6000;
const OTHER_ID = 1_000_001;
/** A window that lets all answers out. */
const WIDE = frame(FrameType.WINDOW_UPDATE, 0, 0, number(10_000_000));

/** Calls whose bodies are their streams' numbers. */
function flood(count = FLOOD, firstId = 1): Buffer {
  const call = (id: number) => [request(id, Flag.END_HEADERS), frame(FrameType.DATA, Flag.END_STREAM, id, number(id))];
  return Buffer.concat(Array.from({ length: count }, (_, i) => call(firstId + 2 * i)).flat());
}

async function withOther(sharesBuffer = true) {
  const server = await new Server().start(new HandClock(), sharesBuffer);
  const other = new RawPeer(server);
  await other.settled();
  return { server, other };
}

test.each([
  ["with its first bytes", false, true],
  ["after it was served", true, true],
  ["from a buffer of its own", true, false],
])("a peer floods %s: another is served in between, all are served in order", async (_what, greets, shares) => {
  const { server, other } = await withOther(shares);
  server.onOpened = () => {
    // The kernel has it at once; by then the flood has long been received.
    if (server.served.length === 1) other.send(request(OTHER_ID));
  };
  const first = [PREFACE, settings(), WIDE];
  const peer = new RawPeer(server, greets ? first : [...first, flood()]);
  if (greets) {
    await peer.settled();
    peer.send(flood());
  }
  await peer.until(() => peer.dataBytes(2 * FLOOD - 1) === 5);
  await other.until(() => other.dataBytes(OTHER_ID) === 5);
  const ids = server.served.map(({ stream }) => stream.id);
  expect(ids.indexOf(OTHER_ID)).toBeLessThan(FLOOD / 4);
  const flooded = server.served.filter(({ stream }) => stream.id !== OTHER_ID);
  expect(flooded.map(({ stream }) => stream.id)).toEqual(Array.from({ length: FLOOD }, (__, i) => 2 * i + 1));
  expect(flooded.every(({ stream, received }) => Buffer.concat(received).equals(number(stream.id)))).toBe(true);
  expect(peer.of(FrameType.DATA).map(({ streamId }) => streamId)).toEqual(flooded.map(({ stream }) => stream.id));
  expect(server.faults).toEqual([]);
});

test("peers flood together: each one's calls are what it sent, in order", async () => {
  const { server } = await withOther();
  const peers = Array.from({ length: 10 }, () => new RawPeer(server, [PREFACE, settings(), WIDE]));
  for (const peer of peers) await peer.settled();
  const firstIds = peers.map((_, i) => 10_000 * i + 1);
  peers.forEach((peer, i) => void peer.send(flood(1500, firstIds[i])));
  for (const [i, peer] of peers.entries()) {
    const ids = Array.from({ length: 1500 }, (_, k) => firstIds[i]! + 2 * k);
    await peer.until(() => peer.dataBytes(ids.at(-1)!) === 5);
    expect(peer.of(FrameType.DATA).map(({ streamId }) => streamId)).toEqual(ids);
  }
  expect(server.served.every(({ stream, received }) => Buffer.concat(received).equals(number(stream.id)))).toBe(true);
  expect(server.faults).toEqual([]);
});

test.each([
  ["floods with its first bytes", false, true],
  ["floods after it was served", true, true],
  ["floods a buffer of its own", true, false],
])("a peer that %s is not read while it waits for its turn", async (_what, greets, shares) => {
  const { server } = await withOther(shares);
  const count = 40_000;
  const calls = flood(count);
  expect(calls.length).toBeGreaterThan(1_000_000);
  let aheadBytes = 0;
  server.onOpened = () => {
    const handledBytes = (server.served.length / count) * calls.length;
    aheadBytes = Math.max(aheadBytes, server.socket!.bytesRead - handledBytes);
  };
  const first = [PREFACE, settings(), WIDE];
  const peer = new RawPeer(server, greets ? first : [...first, calls]);
  if (greets) {
    await peer.settled();
    peer.send(calls);
  }
  await peer.until(() => peer.frames.at(-1)?.streamId === 2 * count - 1);
  expect(aheadBytes).toBeLessThan(400_000);
});

test("a peer that goes while it waits for its turn is forgotten", async () => {
  const { server, other } = await withOther();
  let peer: RawPeer | undefined;
  server.onOpened = () => {
    if (server.served.length === 1) peer!.socket.resetAndDestroy();
  };
  peer = new RawPeer(server);
  await peer.settled();
  peer.send(flood());
  await server.untilGone();
  const { length } = server.served;
  other.send(request(OTHER_ID));
  await other.until(() => other.dataBytes(OTHER_ID) === 5);
  expect(server.served.slice(length).map(({ stream }) => stream.id)).toEqual([OTHER_ID]);
});

test("a fault ends a connection that has more to read, and its peer is told", async () => {
  const { server } = await withOther();
  const peer = new RawPeer(server);
  await peer.settled();
  const calls = flood();
  peer.send(calls, frame(FrameType.DATA, 0, 0), calls, calls, calls);
  expect(await peer.goAwayCode(server)).toBe(1);
  expect(server.served.length).toBe(FLOOD);
});
