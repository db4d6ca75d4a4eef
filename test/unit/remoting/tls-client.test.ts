import { createServer, type Socket } from "node:net";
import type { PeerCertificate } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { RemotingClient } from "#src/remoting/client.js";
import { connectionOptions } from "#src/remoting/tls-client.js";
import type { TlsClientOptions } from "#src/remoting/tls-options.js";
import { HandClock, until } from "./peers.js";
import { closeTls, ECHO, PemFiles, TlsFixture } from "./tls-peers.js";

afterEach(closeTls);

async function echoed(port: number, tls: TlsClientOptions, host = "127.0.0.1"): Promise<string> {
  const client = new RemotingClient(host, port, { tls });
  try {
    const answer = await client.call(ECHO, {}, Buffer.from("hello"), 5000);
    return answer.body.toString();
  } catch (error) {
    return (error as Error).message;
  } finally {
    await client.close();
  }
}

test("a client speaks TLS, again after a loss", async () => {
  const fixture = await new TlsFixture().listen({ mode: "enforcing" });
  const client = new RemotingClient("127.0.0.1", fixture.server.port, { tls: {} });
  expect((await client.call(ECHO, {}, Buffer.from("one"), 5000)).body.toString()).toBe("one");
  expect(fixture.server.connections.size).toBe(1);
  for (const connection of fixture.server.connections) connection.close();
  await until(() => !client.connected, "the loss");
  expect((await client.call(ECHO, {}, Buffer.from("two"), 5000)).body.toString()).toBe("two");
  await client.close();
});

test("a client that verifies its server wants a root that vouches for it", async () => {
  const pem = new PemFiles();
  pem.add("server");
  pem.add("foreign");
  const { readFile } = pem;
  const fixture = await new TlsFixture().listen({ keyPath: "server.key", certPath: "server.pem", readFile });
  const { port } = fixture.server;
  expect(await echoed(port, { authServer: true, trustCertPath: "server.pem", readFile })).toBe("hello");
  expect(await echoed(port, { authServer: true, trustCertPath: "foreign.pem", readFile })).toContain(
    "(DEPTH_ZERO_SELF_SIGNED_CERT)",
  );
  expect(await echoed(port, { authServer: true })).toContain("(DEPTH_ZERO_SELF_SIGNED_CERT)");
  expect(await echoed(port, { authServer: true, trustCertPath: "none.pem", readFile })).toContain(
    "tls.client.trustCertPath: there is no file none.pem",
  );
  expect(await echoed(port, {})).toBe("hello");
});

test("the server's name counts where the system's roots vouch for it, and only there", () => {
  const pem = new PemFiles();
  pem.add("root");
  const { readFile } = pem;
  const own = connectionOptions("a.example", 1, { authServer: true, trustCertPath: "root.pem", readFile });
  expect(own.checkServerIdentity!("a.example", {} as PeerCertificate)).toBeUndefined();
  const system = connectionOptions("a.example", 1, { authServer: true });
  expect([system.rejectUnauthorized, system.ca, system.checkServerIdentity]).toEqual([true, undefined, undefined]);
});

test("both ends show a certificate", async () => {
  const pem = new PemFiles();
  pem.add("server");
  pem.add("client");
  const { readFile } = pem;
  const files = { keyPath: "server.key", certPath: "server.pem", trustCertPath: "client.pem", readFile };
  const fixture = await new TlsFixture().listen({ ...files, needClientAuth: "require", authClient: true });
  const { port } = fixture.server;
  const own = { keyPath: "client.key", certPath: "client.pem", readFile };
  expect(await echoed(port, { ...own, authServer: true, trustCertPath: "server.pem" })).toBe("hello");
  expect(await echoed(port, { readFile })).toMatch(/127\.0\.0\.1:\d+/);
  expect(fixture.log.count("the client has no certificate")).toBe(1);
  expect(await echoed(port, { ...own, keyPath: "server.key" })).toContain("tls.client.keyPath and tls.client.certPath");
  expect(await echoed(port, { keyPath: "client.key", readFile })).toContain("go together");
});

test("a server without TLS, and one that never answers, are COMETMQ_CONNECT", async () => {
  const plain = await new TlsFixture().listen(undefined);
  expect(await echoed(plain.server.port, {})).toContain("No connection to 127.0.0.1");

  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const clock = new HandClock();
  const { port } = silent.address() as { port: number };
  const client = new RemotingClient("127.0.0.1", port, { tls: {}, clock, connectTimeoutMs: 1000 });
  const failure = expect(client.connect()).rejects.toMatchObject({ code: "COMETMQ_CONNECT" });
  await until(() => sockets.length === 1, "the connection");
  clock.advance(1000);
  await failure;
  await client.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => silent.close(resolve));
});
