/** Clients that come through a proxy which says so, at a server's port. */
import { once } from "node:events";
import { connect } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { BareSocket, HandClock, requestBytes, until } from "./peers.js";
import { IPV4_BLOCK, IPV6_BLOCK, tlv, v1, v2 } from "./proxy-headers.js";
import { closeTls, ECHO, TlsFixture } from "./tls-peers.js";

afterEach(closeTls);

const V1 = v1("203.0.113.9", 4444);
const echo = (opaque = 1) => requestBytes({ opaque, code: ECHO, body: `body ${opaque}` });

/** Who the server sees behind `socket` once it has answered. */
async function seenAs({ server }: TlsFixture, { frames }: BareSocket): Promise<string> {
  await until(() => frames.length > 0, "an answer");
  expect(frames[0]).toMatchObject({ opaque: 1, code: 0, body: "body 1" });
  expect(server.connections.size).toBe(1);
  return [...server.connections][0]!.remoteAddress;
}

test.each([
  ["version 1", V1, "203.0.113.9:4444"],
  ["version 1, IPv6", v1("2001:db8::1", 4444, "TCP6", "::1"), "[2001:db8:0:0:0:0:0:1]:4444"],
  ["version 2", v2(1, 0x11, IPV4_BLOCK), "203.0.113.9:4444"],
  ["version 2, IPv6", v2(1, 0x21, IPV6_BLOCK), "[2001:db8:0:0:0:0:0:1]:4444"],
])("%s says who the client is, and not who a message is born at", async (_name, header, remoteAddress) => {
  const fixture = await new TlsFixture().listen({});
  const client = await fixture.plain();
  client.socket.write(Buffer.concat([header, echo(1), echo(2)]));
  expect(await seenAs(fixture, client)).toBe(remoteAddress);
  await until(() => client.frames.length === 2, "the second answer");
  const { remoteHost, localAddress } = [...fixture.server.connections][0]!;
  expect([...remoteHost]).toEqual([127, 0, 0, 1, 0, 0, client.socket.localPort! >> 8, client.socket.localPort! & 255]);
  expect(localAddress).toBe(`127.0.0.1:${fixture.server.port}`);
  expect(fixture.server.handshakeCount).toBe(0);
  client.socket.destroy();
  await until(() => fixture.server.connections.size === 0, "its end");
});

test.each([
  ["UNKNOWN", Buffer.from("PROXY UNKNOWN\r\n")],
  ["LOCAL", v2(0, 0, Buffer.alloc(0))],
])("a proxy that speaks for itself (%s) is known by its own address", async (_name, header) => {
  const fixture = await new TlsFixture().listen({});
  const client = await fixture.plain();
  client.socket.write(Buffer.concat([header, echo()]));
  expect(await seenAs(fixture, client)).toBe(`127.0.0.1:${client.socket.localPort}`);
});

test.each([
  ["version 1", V1],
  ["version 2 with TLVs", v2(1, 0x11, IPV4_BLOCK, tlv(1, 2), tlv(0xe0, 400))],
])("a header in single bytes, %s, and the frame behind it", async (_name, header) => {
  const fixture = await new TlsFixture().listen({});
  const client = await fixture.plain();
  client.socket.setNoDelay(true);
  for (const byte of Buffer.concat([header, echo()])) {
    client.socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await seenAs(fixture, client)).toBe("203.0.113.9:4444");
  expect(fixture.server.handshakeCount).toBe(0);
});

test("a header of 64 KiB, and a megabyte of frames behind it", async () => {
  const fixture = await new TlsFixture().listen({});
  const client = await fixture.plain();
  const frames = Array.from({ length: 16 }, (_, i) => ({ opaque: i + 1, code: ECHO, body: Buffer.alloc(65_536, i) }));
  client.socket.write(Buffer.concat([v2(1, 0x11, IPV4_BLOCK, tlv(4, 65_520)), requestBytes(...frames)]));
  await until(() => client.frames.length === 16, "all answers");
  expect(client.frames.map(({ body }) => body.length)).toEqual(frames.map(() => 65_536));
});

test.each(["permissive", "enforcing"] as const)("a TLS handshake comes behind the header (%s)", async (mode) => {
  const fixture = await new TlsFixture().listen({ mode });
  const { socket } = await BareSocket.open(fixture.server.port);
  socket.write(V1.subarray(0, 9));
  await until(() => fixture.connections.length === 1, "the first bytes");
  socket.write(V1.subarray(9));
  const secure = connect({ socket, rejectUnauthorized: false });
  await once(secure, "secureConnect");
  const client = new BareSocket(secure).readFrames();
  secure.write(echo());
  expect(await seenAs(fixture, client)).toBe("203.0.113.9:4444");
  secure.destroy();
});

test("where TLS is enforced a header does not let plain text in", async () => {
  const fixture = await new TlsFixture().listen({ mode: "enforcing" });
  const client = await fixture.plain();
  client.socket.write(Buffer.concat([V1, echo()]));
  await client.closed;
  expect(client.frames).toEqual([]);
  expect(fixture.log.count("warn a client without TLS came in")).toBe(1);
});

test("a second header, and one inside of TLS, ends the connection", async () => {
  const fixture = await new TlsFixture().listen({});
  const twice = await fixture.plain();
  twice.socket.write(Buffer.concat([V1, V1, echo()]));
  await twice.closed;
  const inside = await fixture.secure();
  inside.socket.write(Buffer.concat([V1, echo()]));
  await inside.closed;
  expect([...twice.frames, ...inside.frames]).toEqual([]);
  expect(fixture.log.count("warn a PROXY header came in where there can be none")).toBe(2);
});

test("a malformed header ends the connection, and so does one behind a frame", async () => {
  const fixture = await new TlsFixture().listen({});
  const malformed = await fixture.plain();
  malformed.socket.write("PROXY TCP4 203.0.113.9\r\n");
  await malformed.closed;
  expect(fixture.log.count("its PROXY header is malformed")).toBe(1);
  const late = await fixture.plain();
  late.socket.write(Buffer.concat([echo(), V1]));
  await late.closed;
  expect(late.frames).toHaveLength(1);
  expect(fixture.server.connections.size).toBe(0);
});

test("who does not end his header is cut off after ten seconds, and never counted as gone before", async () => {
  const clock = new HandClock();
  const fixture = await new TlsFixture().listen({}, { clock, idleMsMax: 0, connectionsMax: 2 });
  const slow = await fixture.plain();
  slow.socket.write(V1.subarray(0, 20));
  await until(() => fixture.server.handshakeCount === 1, "the beginning of a header");
  expect(fixture.server.connections.size).toBe(0);
  const quick = await fixture.plain();
  quick.socket.write(Buffer.concat([V1, echo()]));
  await until(() => quick.frames.length === 1, "the other's answer");
  const third = await fixture.plain();
  await third.closed;
  clock.advance(9_999);
  expect(fixture.server.handshakeCount).toBe(1);
  clock.advance(1);
  expect(fixture.server.handshakeCount).toBe(0);
  await slow.closed;
  expect(fixture.log.count("is not whole after 10000 ms")).toBe(1);
  const gone = await fixture.plain();
  gone.socket.write(V1.subarray(0, 20));
  await until(() => fixture.server.handshakeCount === 1, "another beginning");
  gone.socket.destroy();
  await until(() => fixture.server.handshakeCount === 0, "its end");
  expect(clock.scheduledCount).toBe(0);
});

test("a server that closes ends who has not ended his header", async () => {
  const fixture = await new TlsFixture().listen({});
  const slow = await fixture.plain();
  slow.socket.write(V1.subarray(0, 20));
  await until(() => fixture.server.handshakeCount === 1, "the beginning of a header");
  await fixture.server.close(1000);
  await slow.closed;
});

test("a proxy that is not believed is served under its own address, and the log says so once", async () => {
  const asked: string[] = [];
  const proxyTrust = (host: string) => {
    asked.push(host);
    return false;
  };
  const fixture = await new TlsFixture().listen({}, { proxyTrust });
  for (let i = 0; i < 2; i++) {
    const client = await fixture.plain();
    client.socket.write(Buffer.concat([V1, echo()]));
    expect(await seenAs(fixture, client)).toBe(`127.0.0.1:${client.socket.localPort}`);
    client.socket.destroy();
    await until(() => fixture.server.connections.size === 0, "its end");
  }
  expect(asked).toEqual(["127.0.0.1", "127.0.0.1"]);
  expect(fixture.log.count("warn a PROXY header is not believed")).toBe(1);
});
