/**
 * Bytes that are no sound frame, and frames that nobody understands: they cost their own connection or nothing, as with
 * Apache 5.4.0 for the same bytes, and leave no trace.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { FRAME_BYTES_MAX } from "#src/remoting/frame-decoder.js";
import { BareSocket, requestBytes } from "../unit/remoting/peers.js";
import {
  closeAll,
  roundTrip,
  type StartedBroker,
  send,
  sendFieldsV2,
  startBroker,
  startNameServer,
} from "./harness.js";
import { expectNoTrace, expectRefusal, outcomeOf, stringFields } from "./refusals.js";

let started: StartedBroker;

beforeAll(async () => {
  started = await startBroker();
  expect((await send(started.client(), {}, "first")).code).toBe(ResponseCode.SUCCESS);
  await started.broker.store.settled();
});

afterAll(closeAll);

/** A frame whose lengths say what they are told to. */
function frame(
  header: string | Buffer,
  lies: { type?: number; length?: number; headerLength?: number; body?: Buffer } = {},
): Buffer {
  const headerBytes = Buffer.from(header as string);
  const body = lies.body ?? Buffer.alloc(0);
  const prefix = Buffer.alloc(8);
  prefix.writeInt32BE((lies.length ?? 4 + headerBytes.length + body.length) | 0, 0);
  prefix.writeInt32BE(((lies.type ?? 0) << 24) | (lies.headerLength ?? headerBytes.length), 4);
  return Buffer.concat([prefix, headerBytes, body]);
}

/** The ROCKETMQ header of a request with what its lengths say. */
function binaryHeader(lies: { remark?: number; fields?: number; rest?: Buffer } = {}): Buffer {
  const header = Buffer.alloc(21);
  header.writeInt16BE(RequestCode.GET_BROKER_RUNTIME_INFO, 0);
  header.writeInt32BE(lies.remark ?? 0, 13);
  header.writeInt32BE(lies.fields ?? 0, 17);
  return Buffer.concat([header, lies.rest ?? Buffer.alloc(0)]);
}

const SOUND = JSON.stringify({ code: RequestCode.GET_BROKER_RUNTIME_INFO, opaque: 1, flag: 0 });
const PADDING = Buffer.alloc(32);

test.each<[string, Buffer]>([
  ["is longer than the bound", frame(SOUND, { length: FRAME_BYTES_MAX - 3, body: PADDING })],
  ["has the length 0", frame(SOUND, { length: 0, body: PADDING })],
  ["has the length 3", frame(SOUND, { length: 3, body: PADDING })],
  ["has the length -1", frame(SOUND, { length: -1, body: PADDING })],
  ["has the smallest length there is", frame(SOUND, { length: -(2 ** 31), body: PADDING })],
  ["has no header", frame("")],
  ["has a header longer than itself", frame(SOUND, { headerLength: 500 })],
  ["has a header cut short by its length", frame(SOUND, { headerLength: 9 })],
  ["has a header of a megabyte and more", requestBytes({ code: 310, fields: { b: "x".repeat(2 ** 20) } })],
  ["has garbage for a header", frame("{not json")],
  ["has a list for a header", frame("[1,2]")],
  ["has null for a header", frame("null")],
  ["has a header with something after it", frame(`${SOUND} x`)],
  ["has a code beyond 32 bits", frame('{"code":99999999999,"opaque":1,"flag":0}')],
  ["has a list of fields", frame('{"code":10,"opaque":1,"flag":0,"extFields":[1]}')],
  ["has an unknown serialisation", frame(SOUND, { type: 2 })],
  ["has a binary header that is too short", frame(Buffer.alloc(20), { type: 1 })],
  ["has a binary remark longer than its header", frame(binaryHeader({ remark: 1000 }), { type: 1 })],
  ["has a binary remark of length -1", frame(binaryHeader({ remark: -1 }), { type: 1 })],
  ["has binary fields longer than its header", frame(binaryHeader({ fields: 1000 }), { type: 1 })],
  ["has binary fields that reach into its body", frame(binaryHeader({ fields: 4 }), { type: 1, body: PADDING })],
  ["has binary fields of length -1", frame(binaryHeader({ fields: -1 }), { type: 1 })],
  [
    "has a binary key of length -1",
    frame(binaryHeader({ fields: 6, rest: Buffer.from([255, 255, 0, 0, 0, 0]) }), { type: 1 }),
  ],
  [
    "has a binary value longer than the fields",
    frame(binaryHeader({ fields: 7, rest: Buffer.from([0, 1, 65, 0, 0, 1, 0]) }), { type: 1 }),
  ],
  [
    "has a binary value of length -1",
    frame(binaryHeader({ fields: 7, rest: Buffer.from([0, 1, 65, 255, 255, 255, 255]) }), { type: 1 }),
  ],
])("a frame that %s ends its connection, and no other", async (_, bytes) => {
  await expectNoTrace(started, async () => {
    const other = started.client();
    await roundTrip(other);
    const { connection } = other;
    const known = started.log.at("warn", /frame/).length;
    expect(await outcomeOf(started, bytes)).toEqual({ code: undefined, remark: undefined, closed: true });
    expect(started.log.at("warn", /a frame's (length is out of bounds|header cannot be read)/)).toHaveLength(known + 1);
    await roundTrip(other);
    expect(other.connection).toBe(connection);
  });
});

test("what came whole before a bad frame is still answered", async () => {
  const peer = (await BareSocket.open(started.broker.port)).readFrames();
  const good = requestBytes({ code: 310, opaque: 5, fields: stringFields(sendFieldsV2()), body: "kept" });
  peer.socket.write(Buffer.concat([good, frame("{not json")]));
  await peer.closed;
  expect(peer.frames).toMatchObject([{ opaque: 5, code: ResponseCode.SUCCESS }]);
});

test.each([9999, -5, 0, 200_049])("request code %i is told that nobody knows it", async (code) => {
  await expectRefusal(
    started,
    requestBytes({ code }),
    ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
    new RegExp(` ${code} not supported$`),
  );
});

const STRANGERS: [string, Buffer, RegExp][] = [
  ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), /An HTTP request came in, but port \d+ is the/],
  ["gRPC", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), /a gRPC client needs the proxy's port/],
];

test.each(STRANGERS)("%s on either port is told what the port is", async (_, bytes, told) => {
  const nameServer = await startNameServer();
  for (const [port, name] of [
    [started.broker.port, "broker"],
    [nameServer.port, "name server"],
  ] as const) {
    const peer = (await BareSocket.open(port)).readBytes();
    peer.socket.write(bytes);
    await peer.closed;
    const text = peer.bytes.toString();
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(text).toContain(`This is the CometMQ ${name}.`);
    expect(text).toContain(`port ${port} is the ${name}'s, which speaks RocketMQ Remoting`);
    expect(text).toMatch(told);
  }
});
