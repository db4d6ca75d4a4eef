/** Windows, floods and ends of connections, frame by frame; what h2spec checks is left to it. */
import { type ClientHttp2Session, connect, constants } from "node:http2";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { ErrorCode, Flag, FrameType, Setting } from "#src/http2/frames.js";
import { HandClock } from "../remoting/peers.js";
import { answer, closeAll, frame, number, PREFACE, RawPeer, REQUEST, request, Server, settings } from "./raw-peer.js";

afterEach(closeAll);

const MIB = 1_048_576;

async function started(clock = new HandClock()) {
  const server = await new Server().start(clock);
  return { server, clock, peer: new RawPeer(server) };
}

test("requests of one chunk are answered, and each answer's frames come together", async () => {
  const { peer } = await started();
  peer.send(request(1), request(3), request(5));
  await peer.until(() => peer.of(FrameType.DATA).length === 3);
  const order = peer.frames.filter(({ streamId }) => streamId > 0).map(({ streamId, type }) => [streamId, type]);
  expect(order).toEqual(
    [1, 3, 5].flatMap((id) => [FrameType.HEADERS, FrameType.DATA, FrameType.HEADERS].map((t) => [id, t])),
  );
});

test("however the bytes are cut, the frames are the same", async () => {
  const { server, peer } = await started();
  const body = Buffer.from(Array.from({ length: 1000 }, (_, i) => i & 255));
  const padded = Buffer.concat([Buffer.from([7]), body.subarray(500), Buffer.alloc(7)]);
  const bytes = Buffer.concat([
    frame(FrameType.HEADERS, 0, 1, REQUEST.subarray(0, 1)),
    frame(FrameType.CONTINUATION, 0, 1, REQUEST.subarray(1, 2)),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, REQUEST.subarray(2)),
    frame(FrameType.DATA, 0, 1, body.subarray(0, 500)),
    frame(FrameType.DATA, Flag.END_STREAM | Flag.PADDED, 1, padded),
  ]);
  let at = 0;
  for (const size of fc.sample(fc.integer({ min: 1, max: 40 }), 2000)) {
    if (at >= bytes.length) break;
    peer.socket.write(bytes.subarray(at, at + size));
    at += size;
    if (at % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await peer.until(() => peer.of(FrameType.DATA).length === 1);
  expect(Buffer.concat(server.served[0]!.received)).toEqual(body);
});

test("data waits for the windows of its stream and of the connection", async () => {
  const { server, peer } = await started();
  server.answerBytes = 100_000;
  peer.send(request(1));
  await peer.until(() => peer.dataBytes(1) === 65_535);
  // The connection's window is spent, so a window of the stream alone lets nothing out.
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 1, number(1000)));
  await peer.settled();
  expect(peer.dataBytes(1)).toBe(65_535);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, number(400)));
  await peer.until(() => peer.dataBytes(1) === 65_935);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, number(MIB)));
  await peer.until(() => peer.dataBytes(1) === 66_535);
  expect(peer.frames.at(-1)!.type).not.toBe(FrameType.HEADERS);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 1, number(MIB)));
  await peer.until(() => peer.frames.at(-1)!.flags === (Flag.END_STREAM | Flag.END_HEADERS));
  expect(peer.dataBytes(1)).toBe(100_000);
  expect(server.served[0]!.closed).toBe(true);
});

test("a smaller initial window makes windows negative, and they have to come up again", async () => {
  const { server, peer } = await started();
  server.answerBytes = 200_000;
  peer.send(
    settings([Setting.INITIAL_WINDOW_SIZE, 40_000]),
    frame(FrameType.WINDOW_UPDATE, 0, 0, number(MIB)),
    request(1),
  );
  await peer.until(() => peer.dataBytes(1) === 40_000);
  peer.send(settings([Setting.INITIAL_WINDOW_SIZE, 10_000]));
  // 30,000 below nothing now.
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 1, number(30_000)));
  await peer.settled();
  expect(peer.dataBytes(1)).toBe(40_000);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 1, number(5)));
  await peer.until(() => peer.dataBytes(1) === 40_005);
  peer.send(settings([Setting.INITIAL_WINDOW_SIZE, 20_000]));
  await peer.until(() => peer.dataBytes(1) === 50_005);
});

test("streams that wait share the connection's window", async () => {
  const { server, peer } = await started();
  server.answerBytes = 300_000;
  peer.send(settings([Setting.INITIAL_WINDOW_SIZE, MIB]), request(1), request(3), request(5));
  await peer.until(() => peer.dataBytes(1) + peer.dataBytes(3) + peer.dataBytes(5) === 65_535);
  for (let i = 0; i < 6; i++) {
    peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, number(30_000)));
    await peer.settled();
  }
  for (const id of [3, 5]) expect(peer.dataBytes(id)).toBeGreaterThan(30_000);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, number(MIB)));
  for (const id of [1, 3, 5]) await peer.until(() => peer.dataBytes(id) === 300_000);
});

test("what is received is acknowledged, so that a body may be larger than its windows", async () => {
  const { server, peer } = await started();
  peer.send(request(1, Flag.END_HEADERS));
  const piece = frame(FrameType.DATA, 0, 1, Buffer.alloc(16_384));
  const grants = (id: number) =>
    peer.of(FrameType.WINDOW_UPDATE, id).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  for (let sent = 0; sent < 12 * MIB; sent += piece.length - 9) {
    await peer.until(() => grants(1) + MIB >= sent + 16_384 && grants(0) + 65_535 >= sent + 16_384);
    peer.send(piece);
  }
  await peer.settled();
  expect(server.faults).toEqual([]);
  expect(server.served[0]!.received.reduce((sum, { length }) => sum + length, 0)).toBe(12 * MIB);
});

test("padding takes room, which is given back, and is nothing that was sent", async () => {
  const { server, peer } = await started();
  peer.send(request(1, Flag.END_HEADERS));
  const padding = frame(FrameType.DATA, Flag.PADDED, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(255)]));
  for (let i = 0; i < 40; i++) peer.send(...Array.from({ length: 200 }, () => padding));
  await peer.settled();
  expect(server.faults).toEqual([]);
  expect(server.served[0]!.received).toEqual([]);
  const grants = peer.of(FrameType.WINDOW_UPDATE, 1).map(({ payload }) => payload.readUInt32BE(0));
  expect(grants).toEqual([MIB / 2, MIB / 2, MIB / 2]);
});

/** Streams that have answers which their peer gives no window for, so that it gets none either. */
async function withUnread(...ids: number[]) {
  const { server, peer } = await started();
  server.answerBytes = undefined;
  peer.send(settings([Setting.INITIAL_WINDOW_SIZE, 0]), ...ids.map((id) => request(id, Flag.END_HEADERS)));
  await peer.settled();
  for (const { stream } of server.served) {
    stream.respond(Buffer.from([0x88]));
    stream.write(Buffer.alloc(300_000));
  }
  const mebibyte = (id: number) =>
    Array.from({ length: 64 }, () => frame(FrameType.DATA, 0, id, Buffer.alloc(16_384, id)));
  return { server, peer, mebibyte };
}

test("who sends more than its stream's window has room for loses the stream", async () => {
  const { server, peer, mebibyte } = await withUnread(1, 3);
  peer.send(...mebibyte(1), ...mebibyte(3));
  await peer.settled();
  expect(peer.of(FrameType.RST_STREAM)).toEqual([]);
  expect(peer.of(FrameType.WINDOW_UPDATE, 1)).toEqual([]);
  peer.send(frame(FrameType.DATA, 0, 1, Buffer.alloc(1)));
  await peer.settled();
  expect(peer.resetCode(1)).toBe(ErrorCode.FLOW_CONTROL_ERROR);
  expect(server.served.map(({ closed }) => closed)).toEqual([true, false]);
  expect(Buffer.concat(server.served[0]!.received).length).toBe(MIB);
  // The other one reads and has room again.
  const more = [0, 3].map((id) => frame(FrameType.WINDOW_UPDATE, 0, id, number(MIB)));
  peer.send(...more);
  await peer.until(() => peer.dataBytes(3) === 300_000);
  await peer.until(() => peer.of(FrameType.WINDOW_UPDATE, 3).length === 1);
  expect(peer.of(FrameType.WINDOW_UPDATE, 3)[0]!.payload.readUInt32BE(0)).toBe(MIB);
  peer.send(...mebibyte(3));
  await peer.settled();
  expect(Buffer.concat(server.served[1]!.received).length).toBe(2 * MIB);
  expect(server.faults).toEqual([]);
});

test("who sends more than the connection's window has room for loses the connection", async () => {
  const ids = [1, 3, 5, 7, 9, 11, 13, 15];
  const { server, peer, mebibyte } = await withUnread(...ids, 17);
  const granted = peer.of(FrameType.WINDOW_UPDATE, 0).length;
  for (const id of ids) peer.send(...mebibyte(id));
  await peer.settled();
  expect(server.faults).toEqual([]);
  expect(peer.of(FrameType.WINDOW_UPDATE, 0).length).toBe(granted);
  peer.send(frame(FrameType.DATA, 0, 17, Buffer.alloc(1)));
  expect(await peer.goAwayCode(server)).toBe(ErrorCode.FLOW_CONTROL_ERROR);
  expect(server.served.every(({ closed }) => closed)).toBe(true);
});

test("streams that end unread give the connection's window back", async () => {
  const ids = [1, 3, 5, 7, 9, 11, 13, 15];
  const { server, peer, mebibyte } = await withUnread(...ids);
  for (const id of ids) peer.send(...mebibyte(id));
  for (const id of ids.slice(0, 4)) peer.send(frame(FrameType.RST_STREAM, 0, id, number(ErrorCode.CANCEL)));
  await peer.settled();
  expect(peer.of(FrameType.WINDOW_UPDATE, 0).at(-1)!.payload.readUInt32BE(0)).toBe(4 * MIB);
  expect(server.faults).toEqual([]);
});

test.each<[string, () => Buffer]>([
  ["pings", () => frame(FrameType.PING, 0, 0, Buffer.alloc(8))],
  ["settings", () => settings([Setting.INITIAL_WINDOW_SIZE, 1])],
  ["acknowledgements", () => frame(FrameType.SETTINGS, Flag.ACK, 0)],
  ["empty data", () => frame(FrameType.DATA, 0, 1)],
  ["priorities", () => frame(FrameType.PRIORITY, 0, 1, Buffer.alloc(5))],
  ["unknown frames", () => frame(0xbe, 0, 0)],
  ["windows", () => frame(FrameType.WINDOW_UPDATE, 0, 1, number(1))],
])("a flood of %s ends the connection, and its streams", async (_what, made) => {
  const { server, peer } = await started();
  peer.send(request(1, Flag.END_HEADERS));
  await peer.settled();
  for (let i = 0; i < 11 && !peer.closed; i++) peer.send(...Array.from({ length: 1000 }, made));
  expect(await peer.goAwayCode(server)).toBe(ErrorCode.ENHANCE_YOUR_CALM);
  expect(server.served[0]!.closed).toBe(true);
  // What answers a flood is bounded by the flood's own bound.
  expect(peer.frames.length).toBeLessThan(10_100);
});

test("pings that go with requests are no flood", async () => {
  const { peer } = await started();
  const ping = frame(FrameType.PING, 0, 0, Buffer.alloc(8));
  for (let i = 0; i < 30; i++) {
    peer.send(...Array.from({ length: 900 }, () => ping), request(2 * i + 1));
    await peer.until(() => peer.of(FrameType.DATA).length === i + 1);
  }
});

test("a block of headers without end is cut off before it takes memory", async () => {
  for (const payload of [Buffer.alloc(16_000, 0x80), Buffer.alloc(0)]) {
    const { server, peer } = await started();
    peer.send(frame(FrameType.HEADERS, 0, 1, Buffer.alloc(10)));
    for (let i = 0; i < 1500 && !peer.closed; i++) peer.send(frame(FrameType.CONTINUATION, 0, 1, payload));
    expect(await peer.goAwayCode(server)).toBe(ErrorCode.ENHANCE_YOUR_CALM);
  }
});

test.each<[string, (id: number) => Buffer[]]>([
  ["resets by the peer", (id) => [request(id), frame(FrameType.RST_STREAM, 0, id, number(ErrorCode.CANCEL))]],
  [
    "resets for a window that grows by nothing",
    (id) => [request(id), frame(FrameType.WINDOW_UPDATE, 0, id, number(0))],
  ],
  ["resets for data after the end", (id) => [request(id), frame(FrameType.DATA, 0, id, Buffer.from("x"))]],
  ["requests that are none", (id) => [frame(FrameType.HEADERS, Flag.END_HEADERS, id, REQUEST.subarray(0, 1))]],
])("a flood of %s ends the connection; a slow trickle does not", async (_what, made) => {
  const { server, clock, peer } = await started();
  server.answerBytes = undefined;
  let count = 0;
  const some = (times: number) => Array.from({ length: times }, () => made(2 * count++ + 1)).flat();
  for (let i = 0; i < 50; i++) {
    peer.send(...some(30));
    await peer.settled();
    clock.now += 1000;
  }
  expect(server.faults).toEqual([]);
  peer.send(...some(1100));
  expect(await peer.goAwayCode(server)).toBe(ErrorCode.ENHANCE_YOUR_CALM);
  expect(server.served.every(({ closed }) => closed)).toBe(true);
});

test("calls that all time out together, each tried again and again, are no flood; without end they are", async () => {
  const clock = new HandClock();
  const server = new Server();
  server.streamsMax = 1000;
  server.answerBytes = undefined;
  await server.start(clock);
  const peer = new RawPeer(server);
  let firstId = 1;
  const round = () => {
    const ids = Array.from({ length: 1000 }, (_, i) => firstId + 2 * i);
    firstId += 2000;
    const resets = ids.map((id) => frame(FrameType.RST_STREAM, 0, id, number(ErrorCode.CANCEL)));
    return [...ids.map((id) => request(id)), ...resets];
  };
  peer.send(...round(), ...round(), ...round(), ...round());
  await peer.settled();
  for (let i = 0; i < 4; i++) {
    clock.now += 3000;
    peer.send(...round());
    await peer.settled();
  }
  expect(server.faults).toEqual([]);
  expect(server.served.length).toBe(8000);
  peer.send(...round(), ...round(), ...round(), ...round());
  expect(await peer.goAwayCode(server)).toBe(ErrorCode.ENHANCE_YOUR_CALM);
});

test("more streams than there may be are refused, and may be asked for again", async () => {
  const { server, peer } = await started();
  server.answerBytes = undefined;
  for (let i = 0; i < 12; i++) peer.send(request(2 * i + 1));
  await peer.settled();
  expect([21, 23].map((id) => peer.resetCode(id))).toEqual([ErrorCode.REFUSED_STREAM, ErrorCode.REFUSED_STREAM]);
  answer(server.served[0]!.stream, 1);
  server.answerBytes = 1;
  peer.send(request(25));
  await peer.until(() => peer.dataBytes(25) === 1);
});

test("what an answer did not wait for is ignored", async () => {
  const { server, peer } = await started();
  server.answerBytes = undefined;
  peer.send(request(1, Flag.END_HEADERS));
  await peer.settled();
  answer(server.served[0]!.stream, 3);
  peer.send(...Array.from({ length: 2000 }, () => frame(FrameType.DATA, 0, 1, Buffer.alloc(100))));
  peer.send(frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, REQUEST));
  await peer.settled();
  expect(peer.of(FrameType.RST_STREAM).map(({ payload }) => payload.readUInt32BE(0))).toEqual([ErrorCode.NO_ERROR]);
  expect(server.served[0]!.received).toEqual([]);
});

test("a peer that reads nothing is not read either, and holds a bounded amount", async () => {
  const { server, peer } = await started();
  server.answerBytes = undefined;
  const max = number(0x7fffffff - 65_535);
  peer.send(settings([Setting.INITIAL_WINDOW_SIZE, 0x7fffffff]), frame(FrameType.WINDOW_UPDATE, 0, 0, max), request(1));
  await peer.settled();
  peer.socket.pause();
  const { stream } = server.served[0]!;
  stream.respond(Buffer.from([0x88]));
  const piece = Buffer.alloc(65_536);
  for (let i = 0; i < 400; i++) {
    stream.write(piece);
    if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  // All but what the kernel took and what goes into the socket waits in the stream, where its owner sees it.
  const unread = server.connection!.unreadBytes;
  expect(stream.queuedBytes).toBeGreaterThan(unread - 400_000);
  const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(FrameType.PING, 0, 0, Buffer.alloc(8))));
  for (let i = 0; i < 19; i++) peer.send(pings);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(server.connection!.unreadBytes).toBeLessThan(unread + MIB + 300_000);
  peer.socket.resume();
  await peer.until(() => peer.dataBytes(1) === 400 * 65_536);
  expect(server.connection!.unreadBytes).toBe(0);
});

function goneAway(peer: RawPeer): number[] {
  return peer.of(FrameType.GOAWAY).map(({ payload }) => payload.readUInt32BE(0));
}

test("a connection that is drained takes what was under way, ends what it has, takes nothing more, and closes", async () => {
  const { server, peer, clock } = await started();
  server.answerBytes = undefined;
  peer.send(request(1));
  await peer.settled();
  server.connection!.drain();
  await peer.until(() => peer.frames.at(-1)!.type === FrameType.PING && peer.of(FrameType.GOAWAY).length === 1);
  expect(goneAway(peer)).toEqual([0x7fffffff]);
  const { payload } = peer.frames.at(-1)!;
  answer(server.served[0]!.stream, 50_000);
  // Opened before the peer knew, and while no stream was open; what answers some other ping says nothing.
  peer.send(frame(FrameType.PING, Flag.ACK, 0, Buffer.alloc(8)), request(3));
  await peer.settled();
  expect(server.served.length).toBe(2);
  peer.send(frame(FrameType.PING, Flag.ACK, 0, payload), request(5));
  await peer.settled();
  expect(goneAway(peer)).toEqual([0x7fffffff, 3]);
  expect(peer.resetCode(5)).toBe(ErrorCode.REFUSED_STREAM);
  answer(server.served[1]!.stream, 10);
  await peer.untilClosed();
  expect([1, 3, 5].map((id) => peer.dataBytes(id))).toEqual([50_000, 10, 0]);
  await server.untilGone();
  expect(clock.scheduledCount).toBe(0);
});

test("a connection that is drained does not wait for a peer that answers no ping", async () => {
  const { server, peer, clock } = await started();
  await peer.settled();
  server.connection!.drain();
  await peer.until(() => peer.of(FrameType.GOAWAY).length === 1);
  clock.advance(1000);
  await peer.untilClosed();
  expect(goneAway(peer)).toEqual([0x7fffffff, 0]);
});

test("after a drain a fault names no later stream than the drain did", async () => {
  const { server, peer, clock } = await started();
  server.answerBytes = undefined;
  peer.send(request(1));
  await peer.settled();
  server.connection!.drain();
  clock.advance(1000);
  peer.send(request(3), frame(FrameType.DATA, 0, 0));
  expect(await peer.goAwayCode(server)).toBe(ErrorCode.PROTOCOL_ERROR);
  expect(goneAway(peer)).toEqual([0x7fffffff, 1, 1]);
});

test("a connection that is drained before its peer has said a word is closed at once", async () => {
  const { server, peer } = await started();
  const mute = new RawPeer(server, []);
  await peer.settled();
  await mute.until(() => mute.of(FrameType.SETTINGS).length === 1);
  server.connection!.drain();
  await mute.untilClosed();
  expect(goneAway(mute)).toEqual([0]);
});

test("a connection that is lost closes its streams", async () => {
  const { server, peer } = await started();
  server.answerBytes = undefined;
  peer.send(request(1), request(3, Flag.END_HEADERS));
  await peer.settled();
  peer.socket.destroy();
  await server.untilGone();
  expect(server.served.map(({ closed }) => closed)).toEqual([true, true]);
  answer(server.served[0]!.stream, 10);
});

test("who speaks no HTTP/2 is cut off", async () => {
  const server = await new Server().start(new HandClock());
  const strangers = [
    [Buffer.from("PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n")],
    [PREFACE, request(1)],
    [PREFACE, frame(FrameType.SETTINGS, Flag.ACK, 0)],
    [PREFACE, settings(), frame(FrameType.DATA, 0, 1, Buffer.alloc(16_385))],
  ];
  for (const first of strangers) await new RawPeer(server, first).untilClosed();
  expect(server.faults.map((text) => text.split(" ")[0])).toEqual(["1", "1", "1", "6"]);
  expect(server.served).toEqual([]);
});

test("a peer that cuts its decoder's table is told that the encoder has done so too", async () => {
  const { server, peer } = await started();
  peer.send(settings([Setting.HEADER_TABLE_SIZE, 0]), request(1));
  await peer.until(() => peer.of(FrameType.DATA).length === 1);
  expect([...peer.of(FrameType.HEADERS, 1)[0]!.payload]).toEqual([0x20, 0x88]);
  expect(server.faults).toEqual([]);
});

test("headers of any kind come from Node's encoder as they were", { timeout: 20_000 }, async () => {
  const server = await new Server().start();
  const session: ClientHttp2Session = connect(`http://127.0.0.1:${server.port}`);
  const name = fc.stringMatching(/^x-[a-z0-9]{1,12}$/);
  const value = fc.oneof(fc.constantFrom("same", "again", ""), fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/));
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, value, { maxKeys: 30 }), async (headers) => {
      const sent = { ":method": "POST", ":path": `/${Object.keys(headers).length}`, ...headers };
      const stream = session.request(sent, { endStream: true });
      const answered = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
      expect(answered[":status"]).toBe(200);
      stream.resume();
      await new Promise((resolve) => stream.once("close", resolve));
      const { stream: got } = server.served.pop()!;
      for (const [key, text] of Object.entries(sent)) expect(got.headers.get(key)).toBe(text);
      expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    }),
    { numRuns: 200 },
  );
  session.destroy();
});
