import { afterEach, expect, test } from "vitest";
import { freePort } from "../../clients/ports.mjs";
import { BareSocket, requestBytes, until } from "./peers.js";
import { closeTls, ECHO, TlsFixture } from "./tls-peers.js";

afterEach(closeTls);

test("a second port serves the same clients, and ends with the first", async () => {
  const alsoPort = await freePort();
  const fixture = await new TlsFixture().listen({}, { alsoPort });
  const first = await fixture.plain();
  const second = (await BareSocket.open(alsoPort)).readFrames();
  const secure = await fixture.secure({ port: alsoPort });
  for (const { socket } of [first, second, secure]) socket.write(requestBytes({ opaque: 1, code: ECHO }));
  await until(() => first.frames.length + second.frames.length + secure.frames.length === 3, "three answers");
  expect(fixture.server.connections.size).toBe(3);
  expect(fixture.server.port).not.toBe(alsoPort);
  await fixture.server.close(1000);
  await Promise.all([second.closed, secure.closed]);
  await expect(BareSocket.open(alsoPort)).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test("a second port that is taken is a warning", async () => {
  const taken = await new TlsFixture().listen({});
  const fixture = await new TlsFixture().listen({}, { alsoPort: taken.server.port });
  expect(fixture.log.lines).toEqual([`warn the broker does without its second port, ${taken.server.port}`]);
  const { socket, frames } = await fixture.plain();
  socket.write(requestBytes({ opaque: 1, code: ECHO }));
  await until(() => frames.length === 1, "the answer");
});
