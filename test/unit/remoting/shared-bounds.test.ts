/** Bounds that all connections of a server share: who takes them up does not cost the others theirs. */
import { afterEach, expect, test } from "vitest";
import { HandClock, requestBytes, until } from "./peers.js";
import { closeTls, ECHO, FILL, TlsFixture } from "./tls-peers.js";

afterEach(closeTls);

test("frames that are never ended do not cost others theirs, once they are ten seconds old", async () => {
  const clock = new HandClock();
  const fixture = await new TlsFixture().listen(undefined, { assemblyBytesMax: 1_000_000, clock, idleMsMax: 0 });
  const request = requestBytes({ opaque: 3, code: ECHO, body: Buffer.alloc(400_000) });
  const send = async (bytes: Buffer) => {
    const peer = await fixture.plain();
    await new Promise((resolve) => peer.socket.write(bytes, resolve));
    return peer;
  };
  let goneCount = 0;
  for (let i = 0; i < 2; i++) void (await send(request.subarray(0, -1))).closed.then(() => goneCount++);
  // Until they are held, others find room.
  const isRefused = async () => {
    const early = await send(request.subarray(0, -1));
    await Promise.race([early.closed, new Promise((resolve) => setTimeout(resolve, 20))]);
    early.socket.destroy();
    return fixture.log.count("half-received") > 0;
  };
  while (!(await isRefused()));
  await until(() => fixture.server.connections.size === 2, "the two that hold the memory");
  expect(goneCount).toBe(0);
  clock.advance(10_000);
  const healthy = await send(request.subarray(0, -1));
  healthy.socket.write(request.subarray(-1));
  await until(() => healthy.frames.length === 1, "the answer");
  expect(healthy.frames[0]!.body.length).toBe(400_000);
  await until(() => goneCount === 1, "the end of the oldest");
  expect(fixture.server.connections.size).toBe(2);
});

test("peers that do not read together hold no more than there may be, once they have not for ten seconds", async () => {
  const clock = new HandClock();
  const fixture = await new TlsFixture().listen(undefined, { outputTotalBytesMax: 40_000_000, clock, idleMsMax: 0 });
  const fill = requestBytes({ opaque: 7, code: FILL, fields: { bytes: "16000000" } });
  const ask = async () => {
    const asked = fixture.connections.length;
    const peer = await fixture.plain();
    peer.socket.pause().write(fill);
    const { connections } = fixture;
    await until(() => (connections[asked]?.unsentBytes ?? 0) > 0, "output that waits");
    return peer;
  };
  const first = await ask();
  const others = [await ask(), await ask()];
  expect(fixture.server.connections.size).toBe(3);
  clock.advance(9_999);
  const late = await ask();
  expect(fixture.log.count("does not read")).toBe(0);
  clock.advance(1);
  others.push(await ask());
  expect(fixture.log.count("does not read")).toBe(3);
  await until(() => fixture.server.connections.size === 2, "the end of the oldest");
  late.socket.resume();
  await until(() => late.frames.length === 1, "the answer of who reads");
  first.socket.destroy();
  for (const { socket } of others) socket.destroy();
  await until(() => fixture.server.connections.size === 1, "the end of the others");
});
