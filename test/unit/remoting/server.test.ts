import { afterEach, expect, test } from "vitest";
import { RemotingServer, type RemotingServerOptions } from "#src/remoting/server.js";
import type { Connection, Processor } from "#src/remoting/types.js";
import { BareSocket, HandClock, LineLog, requestBytes, until } from "./peers.js";

const servers: RemotingServer[] = [];
const sockets: BareSocket[] = [];

afterEach(async () => {
  for (const { socket } of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await server.close(100);
});

const ECHO = 10;
const FAIL = 11;
const LATE = 12;
const FILL = 13;
const PUSH = 14;

/** Echo answers at once, Late when `late` is called, Fill with as many bytes as asked for. */
class Fixture {
  readonly log = new LineLog();
  readonly late: (() => void)[] = [];
  readonly handled: string[] = [];
  readonly connections: Connection[] = [];
  readonly processors = new Map<number, Processor>();
  server!: RemotingServer;

  constructor() {
    this.processors.set(ECHO, ({ header, body }, connection) => {
      this.handled.push(body.toString());
      const fields = Object.fromEntries(header.fields());
      connection.writer.response(header.opaque, header.serializeType, 0, undefined, fields, body);
    });
    this.processors.set(FAIL, () => {
      throw new TypeError("broken on purpose");
    });
    this.processors.set(LATE, ({ header }, connection) => {
      const { opaque, serializeType } = header;
      this.late.push(() => {
        connection.writer.response(opaque, serializeType, 0, "late");
        connection.flush();
      });
    });
    this.processors.set(FILL, ({ header }, connection) => {
      this.handled.push("fill");
      const { writer } = connection;
      writer.beginResponse(header.opaque, header.serializeType, 0);
      writer.endHeader();
      const bytes = header.integer("bytes")!;
      const at = writer.reserveBody(bytes);
      writer.buffer.fill(0x66, at, at + bytes);
      writer.end();
    });
  }

  async listen(options: Partial<RemotingServerOptions> = {}): Promise<this> {
    const onConnect = (connection: Connection) => this.connections.push(connection);
    this.server = new RemotingServer({ processors: this.processors, log: this.log, onConnect, ...options });
    servers.push(this.server);
    await this.server.listen();
    return this;
  }

  async open(): Promise<BareSocket> {
    const socket = await BareSocket.open(this.server.port);
    sockets.push(socket);
    return socket;
  }
}

test("pipelined requests of both serialisations are answered in order", async () => {
  const fixture = await new Fixture().listen();
  const peer = (await fixture.open()).readFrames();
  const requests = Array.from({ length: 100 }, (_, i) => ({
    opaque: i,
    code: ECHO,
    type: (i % 2) as 0 | 1,
    fields: { n: `${i}` },
    body: `body ${i}`,
  }));
  peer.socket.write(requestBytes(...requests));
  await until(() => peer.frames.length === 100, "100 answers");
  peer.frames.forEach((frame, i) => {
    expect(frame).toEqual({ opaque: i, code: 0, flag: 1, remark: "", fields: { n: `${i}` }, body: `body ${i}` });
  });
});

test("all answers to one chunk leave in one write", async () => {
  const fixture = await new Fixture().listen();
  const peer = await fixture.open();
  let dataCount = 0;
  peer.socket.on("data", () => dataCount++);
  peer.readFrames();
  await until(() => fixture.connections.length === 1, "the connection");
  peer.socket.write(requestBytes(...Array.from({ length: 50 }, (_, i) => ({ opaque: i, code: ECHO, body: "x" }))));
  await until(() => peer.frames.length === 50, "50 answers");
  expect(dataCount).toBe(1);
});

test("a request in single bytes", async () => {
  const fixture = await new Fixture().listen();
  const peer = (await fixture.open()).readFrames();
  peer.socket.setNoDelay(true);
  for (const byte of requestBytes({ opaque: 5, code: ECHO, body: "slow" })) {
    peer.socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => peer.frames.length === 1, "the answer");
  expect(peer.frames[0]).toMatchObject({ opaque: 5, body: "slow" });
});

test("one-way requests are handled and not answered, known or not, failing or not", async () => {
  const fixture = await new Fixture().listen();
  const peer = (await fixture.open()).readFrames();
  peer.socket.write(
    requestBytes(
      { opaque: 1, code: ECHO, oneway: true, body: "one" },
      { opaque: 2, code: 999, oneway: true },
      { opaque: 3, code: FAIL, oneway: true },
      { opaque: 4, code: ECHO, body: "two" },
    ),
  );
  await until(() => peer.frames.length > 0, "an answer");
  expect(fixture.handled).toEqual(["one", "two"]);
  expect(peer.frames.map(({ opaque }) => opaque)).toEqual([4]);
});

test("an unknown code is answered as Apache does, and logged once", async () => {
  const fixture = await new Fixture().listen();
  const peer = (await fixture.open()).readFrames();
  peer.socket.write(requestBytes({ opaque: 1, code: 9999 }, { opaque: 2, code: 9999, type: 1 }));
  await until(() => peer.frames.length === 2, "two answers");
  for (const frame of peer.frames) {
    expect(frame).toMatchObject({ code: 3, flag: 1, remark: " request type 9999 not supported" });
  }
  expect(fixture.log.count("unknown request code")).toBe(1);
});

test("a processor that throws is answered with SYSTEM_ERROR, and the connection goes on", async () => {
  const fixture = await new Fixture().listen();
  fixture.processors.set(20, ({ header }, { writer }) => {
    writer.beginResponse(header.opaque, header.serializeType, 0);
    writer.field("half", "written");
    throw new Error("in the middle");
  });
  fixture.processors.set(21, ({ header }, { writer }) => writer.beginResponse(header.opaque, header.serializeType, 0));
  fixture.processors.set(22, ({ header }, { writer }) => {
    writer.response(header.opaque, header.serializeType, 0);
    throw new Error("after the answer");
  });
  const peer = (await fixture.open()).readFrames();
  peer.socket.write(
    requestBytes(...[FAIL, 20, 21, 22, ECHO].map((code, opaque) => ({ code, opaque, body: "still here" }))),
  );
  await until(() => peer.frames.length === 5, "five answers");
  expect(peer.frames.map(({ opaque, code }) => [opaque, code])).toEqual([
    [0, 1],
    [1, 1],
    [2, 1],
    [3, 0],
    [4, 0],
  ]);
  expect(peer.frames[0]!.remark).toBe("TypeError: broken on purpose");
  expect(peer.frames[1]).toMatchObject({ remark: "Error: in the middle", fields: {} });
  expect(fixture.log.count("error SEND_MESSAGE")).toBe(0);
  expect(fixture.log.lines.filter((line) => line.startsWith("error"))).toHaveLength(4);
});

test("a late answer goes out with flush, several together", async () => {
  const fixture = await new Fixture().listen();
  const peer = (await fixture.open()).readFrames();
  let dataCount = 0;
  peer.socket.on("data", () => dataCount++);
  peer.socket.write(requestBytes({ opaque: 1, code: LATE }, { opaque: 2, code: LATE, type: 1 }));
  await until(() => fixture.late.length === 2, "both requests");
  for (const answer of fixture.late) answer();
  await until(() => peer.frames.length === 2, "both answers");
  expect(peer.frames.map(({ opaque, remark }) => [opaque, remark])).toEqual([
    [1, "late"],
    [2, "late"],
  ]);
  expect(dataCount).toBe(1);
});

test("an answer to another request of the connection is not lost in a one-way request", async () => {
  const fixture = await new Fixture().listen();
  fixture.processors.set(30, () => {
    for (const answer of fixture.late) answer();
  });
  const peer = (await fixture.open()).readFrames();
  peer.socket.write(requestBytes({ opaque: 1, code: LATE }, { opaque: 2, code: 30, oneway: true }));
  await until(() => peer.frames.length === 1, "the answer");
  expect(peer.frames[0]).toMatchObject({ opaque: 1, remark: "late" });
});

test("answers larger than any buffer arrive whole, with the requests after them", async () => {
  const fixture = await new Fixture().listen();
  const peer = (await fixture.open()).readFrames();
  const sizes = [0, 1, 65536, 300_000, 1_048_576, 5_000_000, 10];
  peer.socket.write(
    requestBytes(...sizes.map((bytes, opaque) => ({ opaque, code: FILL, fields: { bytes: `${bytes}` } }))),
  );
  await until(() => peer.frames.length === sizes.length, "all answers");
  expect(peer.frames.map(({ body }) => body.length)).toEqual(sizes);
  expect(peer.frames.every(({ body }) => /^f*$/.test(body))).toBe(true);
});

test.each([
  ["a length over the bound", Buffer.from("01000000", "hex")],
  ["a length under 4", Buffer.from("00000003", "hex")],
  ["a negative length", Buffer.from("ffffffff", "hex")],
  ["a header longer than its frame", Buffer.from("0000000600000003aabb", "hex")],
  ["a header that is no JSON", Buffer.from("000000060000000261625b", "hex")],
  ["a serialisation of its own", Buffer.from("0000000602000002" + "7b7d", "hex")],
])("%s closes the connection after the answers before it", async (_, bad) => {
  const fixture = await new Fixture().listen();
  const peer = (await fixture.open()).readFrames();
  peer.socket.write(
    Buffer.concat([requestBytes({ opaque: 7, code: ECHO, body: "x" }), bad, requestBytes({ code: ECHO })]),
  );
  await peer.closed;
  expect(peer.frames.map(({ opaque }) => opaque)).toEqual([7]);
  expect(fixture.handled).toEqual(["x"]);
  expect(fixture.log.lines.filter((line) => line.startsWith("warn a frame's"))).toHaveLength(1);
});

test("an HTTP client is told where it is", async () => {
  const fixture = await new Fixture().listen({ name: "name server" });
  const peer = (await fixture.open()).readBytes();
  peer.socket.write("GET /favicon.ico HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await peer.closed;
  const [head, text] = peer.bytes.toString().split("\r\n\r\n");
  expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(head).toContain(`Content-Length: ${text!.length}`);
  expect(text).toContain(`port ${fixture.server.port} `);
  expect(text).toContain("name server");
  expect(text).toContain("RocketMQ Remoting");
  expect(fixture.log.count("warn an HTTP request came in")).toBe(1);
});

test("a gRPC client and a TLS client too", async () => {
  const fixture = await new Fixture().listen();
  const grpc = (await fixture.open()).readBytes();
  grpc.socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
  await grpc.closed;
  expect(grpc.bytes.toString()).toContain("gRPC");
  const tls = (await fixture.open()).readBytes();
  tls.socket.write(Buffer.from("160301020001", "hex"));
  await tls.closed;
  expect(tls.bytes.toString("hex")).toBe("15030300020246");
  expect(fixture.log.count("(gRPC)")).toBe(1);
  expect(fixture.log.count("TLS client")).toBe(1);
});

test("a peer that does not read is not read either, and goes on when it does", async () => {
  const fixture = await new Fixture().listen({ outputPauseBytes: 100_000 });
  const peer = await fixture.open();
  peer.socket.pause();
  const requests = Array.from({ length: 400 }, (_, opaque) => ({ opaque, code: FILL, fields: { bytes: "100000" } }));
  peer.socket.write(requestBytes(...requests));
  await until(() => fixture.handled.length > 0, "the first request");
  // 400 answers of 100 kB exceed what the kernel takes for one socket; the rest waits unhandled.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(fixture.handled.length).toBeLessThan(400);
  peer.readFrames();
  peer.socket.resume();
  await until(() => peer.frames.length === 400, "all answers");
  expect(peer.frames.map(({ opaque }) => opaque)).toEqual(requests.map(({ opaque }) => opaque));
});

test("a peer that never reads is cut off when too much waits for it, and the log says so once", async () => {
  const fixture = await new Fixture().listen({ outputBytesMax: 1_000_000 });
  const peer = await fixture.open();
  peer.socket.pause();
  await until(() => fixture.connections.length === 1, "the connection");
  const connection = fixture.connections[0]!;
  const body = Buffer.alloc(200_000);
  let pushCount = 0;
  while (!connection.closed && pushCount < 1000) {
    connection.pushOneway(40, {}, body);
    pushCount++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(connection.closed).toBe(true);
  expect(pushCount).toBeLessThan(200);
  expect(fixture.log.count("does not read")).toBe(1);
  await until(() => fixture.server.connections.size === 0, "the connection's end");
  connection.pushOneway(40, {}, body);
  expect(connection.writer.length).toBe(0);
});

test("late answers to a closed connection take no memory", async () => {
  const fixture = await new Fixture().listen();
  const peer = await fixture.open();
  peer.socket.write(requestBytes({ opaque: 1, code: LATE }));
  await until(() => fixture.late.length === 1, "the request");
  peer.socket.destroy();
  await until(() => fixture.connections[0]!.closed, "the close");
  for (let i = 0; i < 1000; i++) fixture.late[0]!();
  await new Promise((resolve) => setImmediate(resolve));
  expect(fixture.connections[0]!.writer.length).toBe(0);
});

test("the server calls its client, and is answered", async () => {
  const fixture = await new Fixture().listen();
  const peer = (await fixture.open()).readFrames();
  await until(() => fixture.connections.length === 1, "the connection");
  const connection = fixture.connections[0]!;
  const call = connection.call(220, { topic: "T", n: 5, none: undefined }, Buffer.from("ask"), 5000);
  connection.pushOneway(40, { consumerGroup: "g" });
  await until(() => peer.frames.length === 2, "both requests");
  const [asked, told] = peer.frames;
  expect(asked).toMatchObject({ code: 220, flag: 0, fields: { topic: "T", n: "5" }, body: "ask" });
  expect(told).toMatchObject({ code: 40, flag: 2, fields: { consumerGroup: "g" } });
  const answer = requestBytes({ opaque: asked!.opaque, code: 17, fields: { __proto__: "x" }, body: "told" });
  // The same bytes as a response: `"flag":0` becomes `"flag":1`.
  const response = Buffer.from(answer.toString("latin1").replace('"flag":0', '"flag":1'), "latin1");
  peer.socket.write(Buffer.concat([response, response]));
  const { code, fields, body } = await call;
  expect([code, body.toString(), Object.getPrototypeOf(fields), Object.keys(fields)]).toEqual([17, "told", null, []]);
  await until(() => fixture.log.count("nobody waits") === 1, "the second answer");
});

test("a call times out, or fails with its connection", async () => {
  const fixture = await new Fixture().listen();
  const peer = await fixture.open();
  await until(() => fixture.connections.length === 1, "the connection");
  const connection = fixture.connections[0]!;
  await expect(connection.call(39, {}, undefined, 20)).rejects.toMatchObject({
    code: "COMETMQ_TIMEOUT",
    message: expect.stringContaining("CHECK_TRANSACTION_STATE") as string,
  });
  const lost = connection.call(39, {}, undefined, 60_000);
  peer.socket.destroy();
  await expect(lost).rejects.toMatchObject({ code: "COMETMQ_REMOTE" });
  await expect(connection.call(39, {}, undefined, 20)).rejects.toMatchObject({ code: "COMETMQ_REMOTE" });
});

test("a processor may push to its own connection, before or after its answer", async () => {
  const fixture = await new Fixture().listen();
  fixture.processors.set(PUSH, ({ header }, connection) => {
    connection.pushOneway(40, { when: "before" });
    connection.writer.response(header.opaque, header.serializeType, 0);
    connection.pushOneway(40, { when: "after" });
  });
  const peer = (await fixture.open()).readFrames();
  peer.socket.write(requestBytes({ opaque: 77, code: PUSH }));
  await until(() => peer.frames.length === 3, "three frames");
  expect(peer.frames.map(({ code, flag }) => [code, flag])).toEqual([
    [40, 2],
    [0, 1],
    [40, 2],
  ]);
});

test("addresses, ids and close callbacks", async () => {
  const fixture = await new Fixture().listen();
  const first = await fixture.open();
  const second = await fixture.open();
  await until(() => fixture.connections.length === 2, "both connections");
  const [one, two] = fixture.connections as [Connection, Connection];
  expect(two.id).toBe(one.id + 1);
  expect(one.remoteAddress).toBe(`127.0.0.1:${first.socket.localPort}`);
  expect(one.localAddress).toBe(`127.0.0.1:${fixture.server.port}`);
  expect(one.localHost).toBe("127.0.0.1");
  expect(one.remoteHost.subarray(0, 4).toString("hex")).toBe("7f000001");
  expect(one.remoteHost.readInt32BE(4)).toBe(first.socket.localPort);
  const closed: string[] = [];
  one.onClose(() => {
    closed.push("a");
    throw new Error("a callback's own trouble");
  });
  one.onClose(() => closed.push("b"));
  first.socket.destroy();
  await until(() => closed.length === 2, "the callbacks");
  one.onClose(() => closed.push("c"));
  expect(closed).toEqual(["a", "b", "c"]);
  expect(fixture.log.count("a close callback failed")).toBe(1);
  expect([...fixture.server.connections]).toEqual([two]);
  two.close();
  await second.closed;
  await until(() => fixture.server.connections.size === 0, "the second's end");
});

test("a processor closes its connection after its answer", async () => {
  const fixture = await new Fixture().listen();
  fixture.processors.set(40, ({ header }, connection) => {
    connection.writer.response(header.opaque, header.serializeType, 0, "bye");
    connection.close();
  });
  const peer = (await fixture.open()).readFrames();
  peer.socket.write(requestBytes({ opaque: 1, code: 40 }, { opaque: 2, code: ECHO }));
  await peer.closed;
  expect(peer.frames.map(({ opaque, remark }) => [opaque, remark])).toEqual([[1, "bye"]]);
  expect(fixture.handled).toEqual([]);
});

test("more connections than allowed are closed, and the log says so once", async () => {
  const fixture = await new Fixture().listen({ connectionsMax: 2 });
  const first = (await fixture.open()).readFrames();
  await fixture.open();
  await until(() => fixture.server.connections.size === 2, "two connections");
  await (await fixture.open()).readBytes().closed;
  await (await fixture.open()).readBytes().closed;
  expect(fixture.log.count("all the connections it may have")).toBe(1);
  first.socket.write(requestBytes({ opaque: 1, code: ECHO }));
  await until(() => first.frames.length === 1, "the answer");
  first.socket.destroy();
  await until(() => fixture.server.connections.size === 1, "room");
  const next = (await fixture.open()).readFrames();
  next.socket.write(requestBytes({ opaque: 2, code: ECHO }));
  await until(() => next.frames.length === 1, "the answer");
});

test("a silent connection is closed after the idle time, one with traffic is not", async () => {
  const clock = new HandClock();
  const fixture = await new Fixture().listen({ clock, idleMsMax: 1000 });
  const silent = (await fixture.open()).readBytes();
  const busy = (await fixture.open()).readFrames();
  await until(() => fixture.server.connections.size === 2, "both connections");
  clock.advance(1000);
  expect(fixture.server.connections.size).toBe(2);
  busy.socket.write(requestBytes({ code: ECHO }));
  await until(() => busy.frames.length === 1, "the answer");
  clock.advance(250);
  await silent.closed;
  await until(() => fixture.server.connections.size === 1, "the silent one's end");
  expect(fixture.log.count("an idle connection")).toBe(1);
  clock.advance(1500);
  await busy.closed;
});

test("close answers what was received, ends every connection, and refuses new ones", async () => {
  const fixture = await new Fixture().listen();
  const { port } = fixture.server;
  const peer = (await fixture.open()).readFrames();
  peer.socket.write(requestBytes({ opaque: 1, code: LATE }, { opaque: 2, code: ECHO }));
  await until(() => fixture.late.length === 1, "the request");
  fixture.server.quiesce();
  fixture.late[0]!();
  await fixture.server.close();
  await peer.closed;
  expect(peer.frames.map(({ opaque }) => opaque).sort()).toEqual([1, 2]);
  expect(peer.ended).toBe(true);
  await expect(BareSocket.open(port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test("close cuts off who does not read", async () => {
  const fixture = await new Fixture().listen();
  const peer = await fixture.open();
  peer.socket.pause();
  peer.socket.write(requestBytes({ code: FILL, fields: { bytes: "30000000" } }));
  await until(() => fixture.handled.length === 1, "the request");
  await fixture.server.close(50);
  expect(fixture.server.connections.size).toBe(0);
});

test("a port in use is an error with a remedy", async () => {
  const fixture = await new Fixture().listen();
  const second = new RemotingServer({ processors: new Map(), port: fixture.server.port, name: "name server" });
  await expect(second.listen()).rejects.toMatchObject({
    code: "COMETMQ_LISTEN",
    message: expect.stringMatching(/name server cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\)/) as string,
  });
});

test("half-received frames of all connections together are bounded", async () => {
  const fixture = await new Fixture().listen({ assemblyBytesMax: 1_000_000 });
  const head = Buffer.from("00ffff0000000010", "hex");
  const peers = await Promise.all([1, 2, 3, 4].map(() => fixture.open()));
  for (const peer of peers) {
    peer.readBytes();
    peer.socket.write(Buffer.concat([head, Buffer.alloc(400_000)]));
  }
  await until(() => fixture.log.count("half-received") > 0, "a refusal");
  const healthy = (await fixture.open()).readFrames();
  healthy.socket.write(requestBytes({ opaque: 3, code: ECHO }));
  await until(() => healthy.frames.length === 1, "the answer");
});
