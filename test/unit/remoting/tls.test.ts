import { connect, createServer, type Socket } from "node:net";
import { createSecureContext } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { type Clock, systemClock } from "#src/base/clock.js";
import { BareSocket, HandClock, type ReceivedFrame, requestBytes, until } from "./peers.js";
import { closeTls, ECHO, FILL, fillByte, PemFiles, TlsFixture } from "./tls-peers.js";

afterEach(closeTls);

function isFilled({ opaque, body }: ReceivedFrame): boolean {
  return body === String.fromCharCode(fillByte(opaque)).repeat(body.length);
}

const HELLO_START = Buffer.from("160301020001000100", "hex");

test("plain clients and TLS clients share a port, and look the same", async () => {
  const fixture = await new TlsFixture().listen({});
  const secure = await fixture.secure();
  const clients = [await fixture.plain(), secure, await fixture.plain(), await fixture.secure()];
  for (const [i, { socket, frames }] of clients.entries()) {
    socket.write(requestBytes({ opaque: i, code: ECHO, body: `client ${i}` }));
    await until(() => frames.length === 1, `answer ${i}`);
    expect(frames[0]).toMatchObject({ opaque: i, code: 0, body: `client ${i}` });
  }
  expect(fixture.server.connections.size).toBe(4);
  const remotes = [...fixture.server.connections].map(({ remoteAddress }) => remoteAddress).sort();
  expect(remotes).toEqual(clients.map(({ socket }) => `127.0.0.1:${socket.localPort}`).sort());
  for (const { localAddress } of fixture.server.connections) {
    expect(localAddress).toBe(`127.0.0.1:${fixture.server.port}`);
  }
  expect(secure.socket.getProtocol()).toBe("TLSv1.3");
  expect(secure.socket.getPeerX509Certificate()!.subjectAltName).toContain("IP Address:127.0.0.1");
});

test("pipelined frames over TLS are answered in order, with answers larger than any buffer", async () => {
  const fixture = await new TlsFixture().listen({});
  const { socket, frames } = await fixture.secure();
  const sizes = [0, 16_383, 16_384, 16_385, 300_000, 5_000_000, 1];
  const requests = Array.from({ length: 300 }, (_, opaque) => ({ opaque, code: ECHO, body: `body ${opaque}` }));
  const fills = sizes.map((bytes, i) => ({ opaque: 300 + i, code: FILL, fields: { bytes: `${bytes}` } }));
  socket.write(requestBytes(...requests, ...fills));
  await until(() => frames.length === 307, "all answers");
  expect(frames.map(({ opaque }) => opaque)).toEqual(Array.from({ length: 307 }, (_, i) => i));
  expect(frames.slice(0, 300).every(({ body }, i) => body === `body ${i}`)).toBe(true);
  expect(frames.slice(300).map(({ body }) => body.length)).toEqual(sizes);
  expect(frames.slice(300).every(isFilled)).toBe(true);
});

test("a hello and a request that come in single bytes", async () => {
  const fixture = await new TlsFixture().listen({});
  // Between client and server stands one who passes on a byte at a time.
  const proxy = createServer((near) => {
    const far = connect({ port: fixture.server.port, host: "127.0.0.1", noDelay: true });
    far.pipe(near);
    const waiting: number[] = [];
    near.on("data", (chunk: Buffer) => waiting.push(...chunk));
    const drip = () => {
      const byte = waiting.shift();
      if (byte !== undefined) far.write(Buffer.from([byte]));
      if (!near.destroyed) setImmediate(drip);
    };
    drip();
    near.on("error", () => {}).on("close", () => far.destroy());
    far.on("error", () => {}).on("close", () => near.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const { socket, frames } = await fixture.secure({ port: (proxy.address() as { port: number }).port });
  socket.write(requestBytes({ opaque: 5, code: ECHO, body: "slow" }));
  await until(() => frames.length === 1, "the answer");
  expect(frames[0]).toMatchObject({ opaque: 5, body: "slow" });
  socket.destroy();
  await new Promise((resolve) => proxy.close(resolve));
});

test("a peer that does not read over TLS is not read either, and goes on when it does", async () => {
  const fixture = await new TlsFixture().listen({}, { outputPauseBytes: 100_000 });
  const { socket, frames } = await fixture.secure();
  socket.pause();
  const requests = Array.from({ length: 400 }, (_, opaque) => ({ opaque, code: FILL, fields: { bytes: "100000" } }));
  socket.write(requestBytes(...requests));
  await until(() => fixture.server.connections.size === 1, "the connection");
  const [connection] = [...fixture.server.connections];
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(connection!.writer.length).toBeLessThan(1_000_000);
  expect((connection as unknown as { unsentBytes: number }).unsentBytes).toBeLessThan(1_000_000);
  socket.resume();
  await until(() => frames.length === 400, "all answers");
  expect(frames.map(({ opaque }) => opaque)).toEqual(requests.map(({ opaque }) => opaque));
  expect(frames.every(isFilled)).toBe(true);
});

test("what was answered over TLS goes out before the server's end", async () => {
  const fixture = await new TlsFixture().listen({});
  const { socket, frames, closed } = await fixture.secure();
  socket.write(requestBytes({ opaque: 1, code: ECHO, body: "last" }));
  await until(() => frames.length === 1, "the answer");
  const [connection] = [...fixture.server.connections];
  connection!.pushOneway(40, { n: "1" }, Buffer.alloc(500_000));
  await fixture.server.close(5000);
  await closed;
  expect(frames.map(({ code, body }) => [code, body.length])).toEqual([
    [0, 4],
    [40, 500_000],
  ]);
});

test.each(["TLSv1", "TLSv1.1"] as const)("%s is refused, and both sides are told why", async (version) => {
  const fixture = await new TlsFixture().listen({});
  const old = { minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0" };
  await expect(fixture.secure(old)).rejects.toMatchObject({ code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" });
  await until(() => fixture.log.count("warn a TLS handshake failed: unsupported protocol") === 1, "the log line");
  const { socket } = await fixture.secure({ minVersion: "TLSv1.2", maxVersion: "TLSv1.2" });
  expect(socket.getProtocol()).toBe("TLSv1.2");
});

test("enforcing refuses plain text with a clear line, and takes TLS", async () => {
  const fixture = await new TlsFixture().listen({ mode: "enforcing" });
  const plain = await fixture.plain();
  plain.socket.write(requestBytes({ opaque: 1, code: ECHO, body: "secret" }));
  await plain.closed;
  expect(plain.frames).toEqual([]);
  const line = `warn a client without TLS came in, but port ${fixture.server.port} is the broker's, which speaks RocketMQ Remoting over TLS only (tls.server.mode=enforcing)`;
  expect(fixture.log.lines.filter((each) => each.startsWith("warn"))).toEqual([line]);
  const single = await fixture.plain();
  single.socket.write(Buffer.from([0]));
  await single.closed;
  const http = await BareSocket.open(fixture.server.port);
  http.readBytes().socket.write("GET / HTTP/1.1\r\n\r\n");
  await http.closed;
  expect(http.bytes.toString()).toMatch(/^HTTP\/1\.1 400 /);
  const liar = await fixture.plain();
  liar.socket.write(Buffer.concat([Buffer.from([0x16]), requestBytes({ opaque: 1, code: ECHO })]));
  await liar.closed;
  const { socket, frames } = await fixture.secure();
  socket.write(requestBytes({ opaque: 2, code: ECHO, body: "secret" }, { opaque: 3, code: ECHO }));
  await until(() => frames.length === 2, "the answers");
  expect(frames[0]).toMatchObject({ opaque: 2, body: "secret" });
});

test.each([
  [{ mode: "disabled" }, "127.0.0.1", "tls.server.mode is disabled"],
  [{}, "0.0.0.0", "no certificate; set tls.server.keyPath and tls.server.certPath"],
  [{ testMode: false }, "127.0.0.1", "no certificate; set tls.server.keyPath and tls.server.certPath"],
] as const)("with %j on %s TLS clients get an alert, and the log says why", async (tls, host, why) => {
  const fixture = await new TlsFixture().listen(tls, { host });
  const code = "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION";
  await expect(fixture.secure()).rejects.toMatchObject({ code });
  expect(fixture.log.count(`speaks RocketMQ Remoting without TLS (${why})`)).toBe(1);
  const plain = await fixture.plain();
  plain.socket.write(requestBytes({ opaque: 1, code: ECHO }));
  await until(() => plain.frames.length === 1, "the answer");
});

test("half a certificate, and one that cannot be used, keep the port from opening", async () => {
  const pem = new PemFiles();
  pem.add("a");
  pem.add("b");
  pem.files.set("junk", Buffer.from("no PEM"));
  const attempt = (tls: object, host = "0.0.0.0") =>
    new TlsFixture().listen({ readFile: pem.readFile, ...tls }, { host }).then(
      () => "listens",
      (error: { code: string; message: string }) => `${error.code} ${error.message}`,
    );
  const whole = { keyPath: "a.key", certPath: "a.pem" };
  const trust = { needClientAuth: "require", authClient: true };
  expect(await attempt(whole)).toBe("listens");
  expect(await attempt({ keyPath: "a.key" })).toContain("tls.server.keyPath and tls.server.certPath go together");
  expect(await attempt({ ...whole, certPath: "none" })).toContain("tls.server.certPath: there is no file none");
  expect(await attempt({ ...whole, keyPath: "b.key" })).toMatch(/^COMETMQ_CONFIG .*can not be used .*mismatch/);
  expect(await attempt({ ...whole, certPath: "junk" })).toMatch(/^COMETMQ_CONFIG .*can not be used/);
  expect(await attempt({ ...whole, ...trust, trustCertPath: "junk" })).toContain("junk holds no certificate");
  expect(await attempt({ ...whole, protocols: "TLSv1.1,TLSv1.2" })).toContain("expected TLSv1.2, TLSv1.3 or both");
  expect(await attempt({ ...whole, ciphers: "TLS_RSA_WITH_ROT13" })).toContain("there is no cipher ROT13");
  expect(await attempt({ mode: "enforcing" })).toMatch(/^COMETMQ_CONFIG tls.server.mode=enforcing: .*no certificate/);
});

test("ciphers by Java's names, and protocols, narrow what is spoken", async () => {
  const ciphers = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
  const fixture = await new TlsFixture().listen({ ciphers, protocols: "TLSv1.2" });
  const { socket } = await fixture.secure({ ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256" });
  expect(socket.getProtocol()).toBe("TLSv1.2");
  expect(socket.getCipher().standardName).toBe("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
  await expect(fixture.secure({ ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" })).rejects.toThrow("handshake failure");
  await expect(fixture.secure({ minVersion: "TLSv1.3" })).rejects.toThrow("protocol version");
});

const NONE = "the client has no certificate";
const FOREIGN = "the client's certificate is not trusted: DEPTH_ZERO_SELF_SIGNED_CERT";

test.each([
  ["none", true, "foreign", undefined],
  ["optional", true, "none", undefined],
  ["optional", true, "mine", undefined],
  ["optional", true, "foreign", FOREIGN],
  ["optional", false, "foreign", undefined],
  ["require", false, "none", NONE],
  ["require", false, "foreign", undefined],
  ["require", true, "none", NONE],
  ["require", true, "foreign", FOREIGN],
  ["require", true, "mine", undefined],
] as const)("client auth %s, verified %s: a client with certificate '%s'", async (need, authClient, shown, refusal) => {
  const pem = new PemFiles();
  pem.add("server");
  const certificates = { none: {}, mine: pem.add("mine"), foreign: pem.add("foreign") };
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const { readFile } = pem;
    const files = { keyPath: "server.key", certPath: "server.pem", trustCertPath: "mine.pem", readFile };
    const fixture = await new TlsFixture().listen({ ...files, needClientAuth: need, authClient });
    // In TLS 1.3 the client is through before the server has judged it, in TLS 1.2 after.
    const client = await fixture.secure({ maxVersion: version, ...certificates[shown] }).catch(() => undefined);
    client?.socket.write(requestBytes({ opaque: 1, code: ECHO, body: "let me in" }));
    if (refusal === undefined) {
      await until(() => client!.frames.length === 1, "the answer");
    } else {
      await client?.closed;
      expect(client?.frames ?? []).toEqual([]);
      expect(fixture.log.count(`warn a TLS handshake failed: ${refusal}`)).toBe(1);
      expect(fixture.server.connections.size).toBe(0);
    }
  }
});

test("a session that is resumed still has its client's certificate", async () => {
  const pem = new PemFiles();
  pem.add("server");
  const mine = pem.add("mine");
  const files = { keyPath: "server.key", certPath: "server.pem", trustCertPath: "mine.pem", readFile: pem.readFile };
  const fixture = await new TlsFixture().listen({ ...files, needClientAuth: "require", authClient: true });
  const secureContext = createSecureContext(mine);
  const first = await fixture.secure({ secureContext });
  const session = await new Promise<Buffer>((resolve) => {
    first.socket.once("session", resolve);
    first.socket.write(requestBytes({ opaque: 1, code: ECHO }));
  });
  const second = await fixture.secure({ secureContext, session });
  expect(second.socket.isSessionReused()).toBe(true);
  second.socket.write(requestBytes({ opaque: 2, code: ECHO }));
  await until(() => second.frames.length === 1, "the answer");
  expect(fixture.log.count("warn")).toBe(0);
});

test("files that change are read anew within half a second; bad ones change nothing and are told once", async () => {
  const clock = new HandClock();
  const pem = new PemFiles();
  const before = pem.add("server");
  const files = { keyPath: "server.key", certPath: "server.pem", readFile: pem.readFile };
  const fixture = await new TlsFixture().listen(files, { clock, idleMsMax: 0 });
  const shown = async () => {
    const { socket } = await fixture.secure();
    return socket.getPeerX509Certificate()!.toString();
  };
  expect(await shown()).toBe(before.cert);
  const early = await fixture.secure();
  await until(() => fixture.server.handshakeCount === 0, "the end of the handshakes");

  const other = pem.add("other");
  pem.files.set("server.pem", Buffer.from(other.cert));
  clock.advance(500);
  expect(fixture.log.count("warn")).toBe(0);
  for (let i = 0; i < 3; i++) clock.advance(500);
  expect(await shown()).toBe(before.cert);
  expect(fixture.log.count("warn changed TLS files can not be used")).toBe(1);

  pem.files.delete("server.key");
  for (let i = 0; i < 3; i++) clock.advance(500);
  expect(fixture.log.count("warn changed TLS files can not be used")).toBe(2);

  pem.files.set("server.key", Buffer.from(other.key));
  clock.advance(499);
  expect(await shown()).toBe(before.cert);
  clock.advance(1);
  expect(await shown()).toBe(other.cert);
  expect(fixture.log.count("info the TLS certificate was read anew")).toBe(1);

  early.socket.write(requestBytes({ opaque: 1, code: ECHO, body: "still here" }));
  await until(() => early.frames.length === 1, "the answer");
  await fixture.server.close(100);
  expect(clock.scheduledCount).toBe(0);
});

test("a handshake that is never finished is closed after its time, however slowly it goes on", async () => {
  const clock = new HandClock();
  const fixture = await new TlsFixture().listen({ handshakeMsMax: 1000 }, { clock });
  const silent = await fixture.plain();
  const slow = await fixture.plain();
  silent.socket.write(HELLO_START);
  slow.socket.write(HELLO_START);
  await until(() => fixture.server.handshakeCount === 2, "both handshakes");
  const { socket, frames } = await fixture.secure();
  await until(() => fixture.server.connections.size === 1, "the third, which is through");
  for (let i = 0; i < 9; i++) {
    clock.advance(100);
    slow.socket.write(Buffer.from([0]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect([silent.ended, slow.ended]).toEqual([false, false]);
  clock.advance(100);
  await Promise.all([silent.closed, slow.closed]);
  expect(fixture.log.count("warn a TLS handshake failed: not done within 1000 ms")).toBe(2);
  expect(fixture.server.handshakeCount).toBe(0);
  socket.write(requestBytes({ opaque: 1, code: ECHO }));
  await until(() => frames.length === 1, "the answer of who is through");
});

test("thousands of half-open handshakes are bounded, and plain clients do not feel them", async () => {
  const clock = new HandClock();
  const fixture = await new TlsFixture().listen({ handshakesMax: 100 }, { clock });
  const plain = await fixture.plain();
  const sockets: Socket[] = [];
  let gone = 0;
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 100; i++) {
      const socket = connect(fixture.server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("close", () => gone++);
      socket.write(HELLO_START);
      sockets.push(socket);
    }
    await until(() => gone + fixture.server.handshakeCount === sockets.length, `round ${round}`);
    expect([gone, fixture.server.handshakeCount]).toEqual([round * 100, 100]);
  }
  expect(fixture.log.count("all the TLS handshakes at a time")).toBe(1);
  plain.socket.write(requestBytes({ opaque: 1, code: ECHO }));
  await until(() => plain.frames.length === 1, "the answer");
  clock.advance(10_000);
  await until(() => gone === 2000, "the end of all");
  expect(fixture.server.handshakeCount).toBe(0);
  const { socket, frames } = await fixture.secure();
  socket.write(requestBytes({ opaque: 2, code: ECHO }));
  await until(() => frames.length === 1, "the answer over TLS");
  for (const each of sockets) each.destroy();
});

test("handshakes count as connections", async () => {
  const fixture = await new TlsFixture().listen({}, { connectionsMax: 2 });
  const half = await fixture.plain();
  half.socket.write(HELLO_START);
  await until(() => fixture.server.handshakeCount === 1, "the handshake");
  const { socket, frames } = await fixture.secure();
  await (await fixture.plain()).closed;
  expect(fixture.log.count("all the connections it may have")).toBe(1);
  socket.write(requestBytes({ opaque: 2, code: ECHO }));
  await until(() => frames.length === 1, "the answer over TLS");
});

test("clients that reset, leave or talk nonsense in their handshake harm nobody", async () => {
  const fixture = await new TlsFixture().listen({});
  const leavers = await Promise.all(Array.from({ length: 30 }, () => fixture.plain()));
  for (const [i, { socket }] of leavers.entries()) {
    if (i % 3 === 2) socket.write(Buffer.concat([Buffer.from("1603030004", "hex"), Buffer.alloc(50, i)]));
    else socket.write(HELLO_START);
  }
  await until(() => fixture.log.count("warn a TLS handshake failed") === 10, "the end of the nonsense");
  for (const [i, { socket }] of leavers.entries()) {
    if (i % 3 === 0) socket.resetAndDestroy();
    else socket.end();
  }
  await until(() => fixture.server.handshakeCount + fixture.server.connections.size === 0, "the end of all");
  const { socket, frames } = await fixture.secure();
  socket.write(requestBytes({ opaque: 1, code: ECHO }));
  await until(() => frames.length === 1, "the answer");
});

test("a server that closes ends the handshakes under way", async () => {
  const fixture = await new TlsFixture().listen({});
  const half = await fixture.plain();
  half.socket.write(HELLO_START);
  await until(() => fixture.server.handshakeCount === 1, "the handshake");
  await fixture.server.close(5000);
  await half.closed;
  expect(fixture.log.count("warn")).toBe(0);
});

test("TLS within TLS is refused", async () => {
  const fixture = await new TlsFixture().listen({});
  const { socket, closed } = await fixture.secure();
  socket.write(HELLO_START);
  await closed;
  expect(fixture.log.count("warn a TLS client came in")).toBe(1);
});

test("a client that wants to shake hands again is refused that, and a connection's certificate stays", async () => {
  const fixture = await new TlsFixture().listen({});
  const { socket, frames } = await fixture.secure({ maxVersion: "TLSv1.2" });
  const refused = await new Promise<Error | null>((resolve) => {
    socket.on("error", resolve);
    socket.renegotiate({ rejectUnauthorized: false }, resolve);
  });
  expect(refused).toBeInstanceOf(Error);
  socket.destroy();
  await until(() => fixture.server.connections.size === 0, "the end of who asked for it");
  const other = await fixture.secure({ maxVersion: "TLSv1.2" });
  other.socket.write(requestBytes({ opaque: 1, code: ECHO }));
  await until(() => other.frames.length === 1, "the answer to another client");
  expect(frames.length).toBe(0);
});

test.each([[["h2"]], [["http/1.1", "h2"]], [["x"]]])(
  "a client that offers the protocols %j is served",
  async (offered) => {
    const fixture = await new TlsFixture().listen({});
    const { socket, frames } = await fixture.secure({ ALPNProtocols: offered });
    expect(socket.alpnProtocol).toBe(false);
    socket.write(requestBytes({ opaque: 1, code: ECHO }));
    await until(() => frames.length === 1, "the answer");
  },
);

test("TLS that could not be begun for one client is begun for the next", async () => {
  let failures = 1;
  const clock: Clock = {
    nowMs: () => (failures-- > 0 ? Number.NaN : systemClock.nowMs()),
    monotonicMs: () => systemClock.monotonicMs(),
    schedule: (delayMs, task, unref) => systemClock.schedule(delayMs, task, unref),
  };
  const fixture = await new TlsFixture().listen({}, { clock });
  await expect(fixture.secure()).rejects.toThrow();
  expect(fixture.log.lines.join("\n")).toContain("TLS can not be begun");
  const { socket, frames } = await fixture.secure();
  socket.write(requestBytes({ opaque: 1, code: ECHO, body: "again" }));
  await until(() => frames.length === 1, "the answer");
});
