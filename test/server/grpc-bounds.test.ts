/** What one client, or many, can take of the gRPC endpoint by misbehaving on the wire, and that nothing of it stays. */
import net from "node:net";
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import { afterEach, expect, test } from "vitest";
import { type Clock, systemClock } from "#src/base/clock.js";
import { GrpcListener } from "#src/grpc/listener.js";
import { GrpcServer } from "#src/grpc/server.js";
import { Flag, FrameType } from "#src/http2/frames.js";
import { hpackEncode } from "#src/http2/hpack.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import {
  call,
  ClientType,
  connectTo,
  encoded,
  gather,
  GROUP,
  message,
  open,
  startEndpoint,
  Telemetry,
  TOPIC,
} from "./grpc-client.js";
import { FakeClock, FakeLog } from "../unit/broker/harness.js";
import { closeAll as closeRawPeers, frame, number, RawPeer } from "../unit/http2/raw-peer.js";
import { closeAll, onCloseAll } from "./harness.js";

afterEach(async () => {
  closeRawPeers();
  await closeAll();
});

const MINUTE = { seconds: 60, nanos: 0 };
const subscription = { group: GROUP, subscriptions: [{ topic: TOPIC, expression: { type: 1, expression: "*" } }] };

async function withConsumer(
  config: Partial<BrokerConfig> = {},
  clientType: number = ClientType.SIMPLE_CONSUMER,
  clock: Clock = systemClock,
) {
  const started = await startEndpoint({ config, clock });
  const { endpoint, broker } = started;
  const sizes = { readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 };
  const topic = { topicName: "T", ...sizes, order: false, topicFilterType: "SINGLE_TAG" as const };
  broker.context.topics.update(topic, new Map([["+message.type", "NORMAL"]]));
  const session = connectTo(endpoint);
  const telemetry = new Telemetry(session);
  telemetry.send({ settings: { clientType, subscription, requestTimeout: { seconds: 3, nanos: 0 } } });
  await telemetry.next();
  return { ...started, session, telemetry };
}

function receiveBytes(changes: object = {}): Buffer {
  const messageQueue = { topic: TOPIC, id: -1, broker: { name: "broker-t", id: 0 } };
  const filterExpression = { type: 1, expression: "*" };
  const whole = { group: GROUP, messageQueue, filterExpression, batchSize: 8, invisibleDuration: MINUTE, ...changes };
  return encoded("ReceiveMessage", whole);
}

/** Until the condition holds; the test's own time limit ends it otherwise. */
async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

function closed(stream: ClientHttp2Stream): Promise<number> {
  return new Promise((resolve) => stream.once("close", () => resolve(stream.rstCode)));
}

test("a telemetry stream that is never read costs its own client alone, and is forgotten with it", async () => {
  const { endpoint, broker, session } = await withConsumer();
  const mute = connectTo(endpoint);
  const deaf = open(mute, "Telemetry", { "x-mq-client-id": "deaf" });
  deaf.write(encoded("Telemetry", { settings: { clientType: ClientType.PUSH_CONSUMER, subscription } }));
  await eventually(() => endpoint.counts.clients === 2);
  // Each is answered with settings, and none of the answers is read.
  const again = encoded("Telemetry", { settings: { clientType: ClientType.PUSH_CONSUMER, subscription } });
  for (let i = 0; i < 1000; i++) deaf.write(again);
  expect((await call(session, "QueryRoute", { topic: TOPIC })).status.code).toBe(20000);
  mute.destroy();
  await eventually(() => endpoint.counts.connections === 1);
  expect(broker.context.consumers.get("G")!.members.size).toBe(2);
  for (const { clientId, connection } of broker.context.consumers.get("G")!.members.values()) {
    if (clientId === "deaf") connection.close();
  }
  expect(endpoint.counts).toMatchObject({ clients: 1, receipts: 0 });
});

test.each([
  ["one", 1],
  ["a batch of three", 3],
])("bodies of %s are kept as they came while the end of the request is still to come", async (_name, count) => {
  const { endpoint, session } = await withConsumer();
  const bodies = Array.from({ length: count }, (_, i) => Buffer.alloc(3000, `body ${i} `));
  const stream = open(session, "SendMessage");
  const sent = gather(stream, "SendMessage");
  stream.write(encoded("SendMessage", { messages: bodies.map((body) => message({ body })) }));
  const other = connectTo(endpoint);
  for (let i = 0; i < 5; i++) {
    await call(other, "QueryRoute", { topic: { name: "n".repeat(20_000) }, endpoints: null });
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  stream.end();
  expect((await sent).messages[0]).toMatchObject({ status: { code: 20000 } });
  const result = await gather(open(session, "ReceiveMessage"), "ReceiveMessage", receiveBytes());
  const received = result.messages.filter((answer) => answer["message"]).map((answer) => answer["message"].body);
  expect(received.map(String)).toEqual(bodies.map(String));
});

test("a request that stops in the middle holds nothing once its client has vanished", async () => {
  const { endpoint, broker } = await withConsumer();
  const whole = encoded("SendMessage", { messages: [message({ body: Buffer.alloc(100_000) })] });
  for (let i = 0; i < 8; i++) {
    const session = connectTo(endpoint);
    const streams = Array.from({ length: 8 }, () => open(session, "SendMessage"));
    for (const stream of streams) stream.write(whole.subarray(0, 60_000));
    await call(session, "QueryRoute", { topic: TOPIC });
    session.destroy();
  }
  await eventually(() => endpoint.counts.connections === 1);
  expect(endpoint.counts.halfReceivedBytes).toBe(0);
  expect(broker.store.maxPhyOffset).toBe(0);
});

test("what was leased to a client that vanished in the middle of its answer comes to another", async () => {
  const clock = new FakeClock();
  const { endpoint, session } = await withConsumer({}, ClientType.SIMPLE_CONSUMER, clock);
  const body = Buffer.alloc(400_000, "x");
  const ids = new Set<string>();
  for (let i = 0; i < 8; i++) {
    const sent = message({ body });
    ids.add(sent.systemProperties.messageId);
    expect((await call(session, "SendMessage", { messages: [sent] })).status.code).toBe(20000);
  }
  const other = connectTo(endpoint);
  const stream = open(other, "ReceiveMessage");
  stream.end(receiveBytes({ invisibleDuration: { seconds: 10, nanos: 0 } }));
  await new Promise<void>((resolve) => stream.once("data", () => resolve()));
  other.destroy();
  await eventually(() => endpoint.counts.connections === 1);
  while (ids.size > 0) {
    clock.advance(11_000);
    const { messages } = await gather(open(session, "ReceiveMessage"), "ReceiveMessage", receiveBytes());
    for (const { message: got } of messages) if (got !== null) ids.delete(got.systemProperties.messageId);
  }
});

test("polls that wait on one connection do not hold up who sends, and one of them gets the message", async () => {
  const { endpoint, session: first } = await withConsumer();
  const session = connectTo(endpoint);
  await new Promise<void>((resolve) => session.once("remoteSettings", () => resolve()));
  expect(session.remoteSettings.maxConcurrentStreams).toBe(4096);
  session.settings({ initialWindowSize: 65_535 });
  const polls = Array.from({ length: 200 }, () => {
    const stream = open(session, "ReceiveMessage");
    stream.end(receiveBytes());
    return stream;
  });
  await call(session, "QueryRoute", { topic: TOPIC });
  expect((await call(first, "SendMessage", { messages: [message()] })).status.code).toBe(20000);
  const winner = await Promise.race(polls.map((stream) => new Promise((resolve) => stream.once("data", resolve))));
  expect(winner).toBeInstanceOf(Buffer);
  session.destroy();
  await eventually(() => endpoint.counts.connections === 1);
});

/** The headers of a call, on a connection of frames made by hand. */
function callHeaders(streamId: number, method: string): Buffer {
  const block = hpackEncode([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", `/apache.rocketmq.v2.MessagingService/${method}`],
    ["content-type", "application/grpc"],
    ["x-mq-client-id", "raw"],
    ["grpc-timeout", "30S"],
  ]);
  return frame(FrameType.HEADERS, Flag.END_HEADERS, streamId, block);
}

function body(streamId: number): Buffer {
  return frame(FrameType.DATA, Flag.END_STREAM, streamId, encoded("QueryRoute", { topic: TOPIC }));
}

test("more streams than a connection may have are refused, and those it has go on", async () => {
  const { endpoint } = await withConsumer();
  const peer = new RawPeer(endpoint);
  const ids = Array.from({ length: 4096 + 3 }, (_, i) => 2 * i + 1);
  const beyond = ids.slice(4096);
  peer.send(frame(FrameType.WINDOW_UPDATE, 0, 0, number(100_000_000)));
  peer.send(...ids.map((id) => callHeaders(id, "QueryRoute")));
  await peer.settled();
  const refused = peer.of(FrameType.RST_STREAM);
  expect(refused.map(({ streamId }) => streamId)).toEqual(beyond);
  for (const { payload } of refused) expect(payload.readUInt32BE(0)).toBe(constants.NGHTTP2_REFUSED_STREAM);
  // Their bodies are under way; then all others', and one that is asked for again.
  peer.send(...beyond.map(body), ...ids.slice(0, 4096).map(body), callHeaders(9001, "QueryRoute"), body(9001));
  await peer.until(() => peer.dataBytes(9001) > 0);
  await peer.settled();
  const answered = new Set(peer.of(FrameType.DATA).map(({ streamId }) => streamId));
  expect([...answered].sort((a, b) => a - b)).toEqual([...ids.slice(0, 4096), 9001]);
  expect(peer.of(FrameType.GOAWAY)).toEqual([]);
});

test("calls that are under way when the endpoint closes are answered", async () => {
  const { endpoint, session } = await withConsumer();
  const peer = new RawPeer(endpoint);
  await peer.settled();
  const closing = endpoint.close();
  const late = call(session, "QueryRoute", { topic: TOPIC });
  await peer.until(() => peer.of(FrameType.GOAWAY).length === 1);
  peer.send(callHeaders(1, "QueryRoute"), body(1));
  await peer.until(() => peer.dataBytes(1) > 0);
  const ping = peer.of(FrameType.PING).at(-1)!;
  peer.send(frame(FrameType.PING, Flag.ACK, 0, ping.payload), callHeaders(3, "QueryRoute"));
  await peer.untilClosed();
  expect(peer.of(FrameType.GOAWAY).map(({ payload }) => payload.readUInt32BE(0))).toEqual([0x7fffffff, 1]);
  expect((await late).status.code).toBe(20000);
  await closing;
  expect(endpoint.counts).toMatchObject({ connections: 0, clients: 0, receipts: 0 });
});

test("a flood of headers is refused without a call, and the connection goes on", async () => {
  const { endpoint } = await withConsumer();
  const session = connectTo(endpoint);
  const large = open(session, "QueryRoute", { "x-large": "x".repeat(70_000) });
  expect(await closed(large)).not.toBe(constants.NGHTTP2_NO_ERROR);
  const many = connectTo(endpoint);
  const headers = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x-${i}`, "v"]));
  expect(await closed(open(many, "QueryRoute", headers))).not.toBe(constants.NGHTTP2_NO_ERROR);
  const fresh = connectTo(endpoint);
  expect((await call(fresh, "QueryRoute", { topic: TOPIC })).status.code).toBe(20000);
});

test("a client that resets its polls without end is cut off, leaves nothing, and takes no message with it", async () => {
  const clock = new FakeClock();
  const { endpoint, session } = await withConsumer({}, ClientType.SIMPLE_CONSUMER, clock);
  const attacker: ClientHttp2Session = connectTo(endpoint);
  const bytes = receiveBytes();
  while (!attacker.destroyed) {
    const streams = Array.from({ length: 100 }, () => open(attacker, "ReceiveMessage"));
    for (const stream of streams) stream.end(bytes);
    await call(session, "QueryRoute", { topic: TOPIC });
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
    await call(session, "QueryRoute", { topic: TOPIC });
  }
  expect((await call(session, "SendMessage", { messages: [message()] })).status.code).toBe(20000);
  const { messages } = await gather(open(session, "ReceiveMessage"), "ReceiveMessage", receiveBytes());
  expect(messages.filter(({ message: got }) => got !== null)).toHaveLength(1);
  // Node leaves such a connection half dead; two sweeps end it, and nobody else's.
  for (let sweep = 0; sweep < 2; sweep++) {
    clock.advance(60_000);
    await new Promise<void>((resolve) => session.ping(() => resolve()));
  }
  await eventually(() => endpoint.counts.connections === 1);
  expect((await call(session, "QueryRoute", { topic: TOPIC })).status.code).toBe(20000);
});

test("bytes that are no HTTP/2 after its preface end the connection, and nothing else", async () => {
  const { endpoint, session } = await withConsumer();
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const strangers = ["", "garbage garbage garbage", "\0\0\0\x04\0\0\0\0\0\0\xff\xff\x01\0\0\0\x07"].map((tail) => {
    const socket = net.connect(endpoint.port, "127.0.0.1", () =>
      socket.write(Buffer.concat([preface, Buffer.from(tail, "latin1")])),
    );
    socket.on("error", () => {});
    socket.resume();
    onCloseAll(() => void socket.destroy());
    return socket;
  });
  await new Promise<void>((resolve) => strangers[1]!.once("close", () => resolve()));
  for (const socket of strangers) socket.destroy();
  await eventually(() => endpoint.counts.connections === 1);
  expect((await call(session, "QueryRoute", { topic: TOPIC })).status.code).toBe(20000);
});

test("enumerations may have values that nobody knows", async () => {
  const { session } = await withConsumer();
  const odd = message({
    systemProperties: { messageType: 99, bodyEncoding: 77, bodyDigest: { type: 55, checksum: "?" } },
  });
  expect((await call(session, "SendMessage", { messages: [odd] })).status.code).toBe(20000);
  const { messages } = await gather(open(session, "ReceiveMessage"), "ReceiveMessage", receiveBytes());
  expect(messages.filter(({ message: got }) => got !== null)).toHaveLength(1);
  const end = { topic: TOPIC, messageId: "1", transactionId: "1", resolution: 99, source: 99 };
  expect((await call(session, "EndTransaction", end)).status.code).toBeGreaterThanOrEqual(40000);
});

test("more connections than there may be are refused until some go", async () => {
  const taken: net.Socket[] = [];
  const log = new FakeLog();
  const listener = new GrpcListener({
    host: "127.0.0.1",
    port: 0,
    tls: {},
    clock: systemClock,
    log,
    connectionsMax: 3,
    onSocket: (socket) => taken.push(socket),
  });
  await listener.listen();
  onCloseAll(() => listener.close());
  const connection = () => {
    const socket = net.connect(listener.port, "127.0.0.1", () => socket.write("PRI * HTTP/2.0"));
    socket.on("error", () => {});
    socket.resume();
    onCloseAll(() => void socket.destroy());
    return socket;
  };
  const first = Array.from({ length: 3 }, connection);
  await eventually(() => taken.length === 3);
  for (let i = 0; i < 5; i++) {
    const refused = connection();
    await new Promise<void>((resolve) => refused.once("close", () => resolve()));
  }
  expect(log.at("warn", /all the connections/)).toHaveLength(1);
  for (const socket of first) socket.destroy();
  for (const socket of taken) socket.destroy();
  await eventually(() => listener.connectionCount === 0);
  connection();
  await eventually(() => taken.length === 4);
});

test.each([
  ["a host", { topic: TOPIC, endpoints: { scheme: 3, addresses: [{ host: "h".repeat(4097), port: 1 }] } }, 40001],
  ["a namespace", { topic: { ...TOPIC, resourceNamespace: "n".repeat(256) }, endpoints: null }, 40002],
])("%s without end, which an answer would repeat for each queue, is refused", async (_name, request, code) => {
  const { session } = await withConsumer();
  for (const method of ["QueryRoute", "QueryAssignment"]) {
    expect(await call(session, method, { ...request, group: GROUP })).toMatchObject({ status: { code } });
  }
});

test("a late answer that cannot be written ends its call, not the process", async () => {
  const log = new FakeLog();
  const unwritable = {
    get status(): never {
      throw new Error("no status");
    },
  };
  const server = new GrpcServer({
    methods: { unary: { QueryRoute: () => Promise.resolve(unwritable) }, streaming: {}, bidi: {} },
    messageBytesMax: 1024,
    clock: systemClock,
    log,
    peerOf: (peer) => peer,
    onPeerGone: () => {},
  });
  const onSocket = (socket: net.Socket) => server.accept(socket);
  const listener = new GrpcListener({ host: "127.0.0.1", port: 0, tls: {}, clock: systemClock, log, onSocket });
  await listener.listen();
  onCloseAll(async () => {
    listener.close();
    await server.close(0);
  });
  const result = await gather(open(connectTo(listener), "QueryRoute"), "QueryRoute", encoded("QueryRoute", {}));
  expect(result).toMatchObject({ grpcStatus: 13, grpcMessage: "QueryRoute failed" });
  expect(log.at("error", /QueryRoute failed/)).toHaveLength(1);
});
