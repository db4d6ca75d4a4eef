import { createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { expectSuccess, RemotingClient, type RemotingClientOptions } from "#src/remoting/client.js";
import { RemotingServer } from "#src/remoting/server.js";
import type { Connection, Processor } from "#src/remoting/types.js";
import { HandClock, until } from "./peers.js";

const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const ECHO: Processor = ({ header, body }, { writer }) => {
  const fields = Object.fromEntries(header.fields());
  writer.response(
    header.opaque,
    header.serializeType,
    header.integer("answer") ?? 0,
    header.text("remark"),
    fields,
    body,
  );
};

async function listen(processors: Map<number, Processor>, port = 0, seen: Connection[] = []): Promise<RemotingServer> {
  const server = new RemotingServer({ processors, port, onConnect: (connection) => seen.push(connection) });
  await server.listen();
  closers.push(() => server.close(100));
  return server;
}

function client(port: number, options?: RemotingClientOptions): RemotingClient {
  const made = new RemotingClient("127.0.0.1", port, options);
  closers.push(() => made.close());
  return made;
}

/** A server that accepts and leaves the rest to `handle`. */
async function bare(handle: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as { port: number }).port;
}

test.each([0, 1] as const)("a call in serialisation %i connects and is answered", async (serializeType) => {
  const server = await listen(new Map([[10, ECHO]]));
  const caller = client(server.port, { serializeType });
  expect(caller.connected).toBe(false);
  const answer = await caller.call(10, { topic: "T", n: 1, yes: true, remark: "said" }, Buffer.from("body"), 5000);
  expect(answer).toEqual({
    code: 0,
    remark: "said",
    fields: { topic: "T", n: "1", yes: "true", remark: "said" },
    body: Buffer.from("body"),
  });
  expect(caller.connected).toBe(true);
  expect(caller.connection!.remoteAddress).toBe(`127.0.0.1:${server.port}`);
  expect(server.connections.size).toBe(1);
});

test("many calls at once share one connection, and each gets its own answer", async () => {
  const server = await listen(new Map([[10, ECHO]]));
  const caller = client(server.port);
  const answers = await Promise.all(
    Array.from({ length: 500 }, (_, i) => caller.call(10, { i }, Buffer.alloc(i, "x"), 5000)),
  );
  answers.forEach((answer, i) => {
    expect([answer.fields.i, answer.body.length]).toEqual([`${i}`, i]);
  });
  expect(server.connections.size).toBe(1);
});

test("an answer is the caller's own: later traffic does not change it", async () => {
  const server = await listen(new Map([[10, ECHO]]));
  const caller = client(server.port);
  const first = await caller.call(10, {}, Buffer.from("first"), 5000);
  for (let i = 0; i < 20; i++) await caller.call(10, {}, Buffer.from("other"), 5000);
  expect(first.body.toString()).toBe("first");
});

test("any code is an answer; expectSuccess wants 0", async () => {
  const server = await listen(new Map([[10, ECHO]]));
  const caller = client(server.port);
  const answer = await caller.call(10, { answer: 17, remark: "No topic route info" }, undefined, 5000);
  expect(answer.code).toBe(17);
  expect(() => expectSuccess(answer)).toThrow(/TOPIC_NOT_EXIST: No topic route info/);
  const good = await caller.call(10, {}, undefined, 5000);
  expect(expectSuccess(good)).toBe(good);
  const unknown = await caller.call(12345, {}, undefined, 5000);
  expect(unknown).toMatchObject({ code: 3, remark: " request type 12345 not supported" });
});

test("one-way requests arrive", async () => {
  const seen: string[] = [];
  const server = await listen(new Map<number, Processor>([[15, ({ header }) => seen.push(header.text("offset")!)]]));
  const caller = client(server.port);
  await caller.oneway(15, { offset: 1 });
  await caller.oneway(15, { offset: 2 });
  await until(() => seen.length === 2, "both requests");
  expect(seen).toEqual(["1", "2"]);
});

test("the server's requests are handled, and answered", async () => {
  const seen: Connection[] = [];
  const server = await listen(new Map([[10, ECHO]]), 0, seen);
  const told: string[] = [];
  const caller = client(server.port, {
    processors: new Map<number, Processor>([
      [40, ({ header }) => told.push(header.text("group")!)],
      [220, ECHO],
    ]),
  });
  await caller.connect();
  await until(() => seen.length === 1, "the connection");
  seen[0]!.pushOneway(40, { group: "g" });
  const answer = await seen[0]!.call(220, { x: "y" }, Buffer.from("ask"), 5000);
  expect([answer.fields.x, answer.body.toString(), told]).toEqual(["y", "ask", ["g"]]);
  await expect(seen[0]!.call(221, {}, undefined, 5000)).resolves.toMatchObject({ code: 3 });
});

test("nobody listening is COMETMQ_CONNECT, and the next call tries again", async () => {
  const server = await listen(new Map([[10, ECHO]]));
  const { port } = server;
  await server.close();
  const caller = client(port);
  await expect(caller.call(10, {}, undefined, 1000)).rejects.toMatchObject({
    code: "COMETMQ_CONNECT",
    retryable: true,
    message: expect.stringContaining("ECONNREFUSED") as string,
  });
  await listen(new Map([[10, ECHO]]), port);
  await expect(caller.call(10, {}, undefined, 5000)).resolves.toMatchObject({ code: 0 });
});

test("a lost connection fails the calls under way and is made anew by the next", async () => {
  const seen: Connection[] = [];
  const server = await listen(
    new Map<number, Processor>([
      [10, ECHO],
      [11, () => {}],
    ]),
    0,
    seen,
  );
  let lostCount = 0;
  const caller = client(server.port, { onDisconnect: () => lostCount++ });
  const hanging = caller.call(11, {}, undefined, 60_000);
  await until(() => seen.length === 1, "the connection");
  seen[0]!.close();
  await expect(hanging).rejects.toMatchObject({ code: "COMETMQ_REMOTE" });
  expect([lostCount, caller.connected]).toEqual([1, false]);
  await expect(caller.call(10, {}, undefined, 5000)).resolves.toMatchObject({ code: 0 });
  expect(seen).toHaveLength(2);
});

test("no answer in time is COMETMQ_TIMEOUT, and a late one does no harm", async () => {
  const late: (() => void)[] = [];
  const slow: Processor = ({ header }, connection) => {
    const { opaque, serializeType } = header;
    late.push(() => {
      connection.writer.response(opaque, serializeType, 0);
      connection.flush();
    });
  };
  const server = await listen(
    new Map<number, Processor>([
      [10, ECHO],
      [11, slow],
    ]),
  );
  const caller = client(server.port);
  await expect(caller.call(11, {}, undefined, 30)).rejects.toMatchObject({ code: "COMETMQ_TIMEOUT" });
  late[0]!();
  await expect(caller.call(10, {}, undefined, 5000)).resolves.toMatchObject({ code: 0 });
});

test("a settled call leaves no timer behind", async () => {
  const clock = new HandClock();
  const server = await listen(new Map([[10, ECHO]]));
  const caller = client(server.port, { clock });
  await caller.call(10, {}, undefined, 5000);
  expect(clock.scheduledCount).toBe(0);
});

test("a server that speaks something else is COMETMQ_REMOTE", async () => {
  const port = await bare((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await expect(client(port).call(10, {}, undefined, 5000)).rejects.toMatchObject({
    code: "COMETMQ_REMOTE",
    message: expect.stringContaining("length is out of bounds") as string,
  });
});

test("a server that accepts and says nothing times out; close ends the wait", async () => {
  const port = await bare(() => {});
  const caller = client(port);
  await expect(caller.call(10, {}, undefined, 30)).rejects.toMatchObject({ code: "COMETMQ_TIMEOUT" });
  const hanging = caller.call(10, {}, undefined, 60_000);
  const failure = expect(hanging).rejects.toMatchObject({ code: "COMETMQ_REMOTE" });
  await new Promise((resolve) => setTimeout(resolve, 10));
  await caller.close();
  await failure;
  await expect(caller.call(10, {}, undefined, 1000)).rejects.toMatchObject({ code: "COMETMQ_CONNECT" });
  await caller.close();
});

test("close sends what was written before", async () => {
  const seen: string[] = [];
  const server = await listen(new Map<number, Processor>([[15, ({ body }) => seen.push(body.toString())]]));
  const caller = new RemotingClient("127.0.0.1", server.port);
  await caller.connect();
  for (let i = 0; i < 100; i++) await caller.oneway(15, {}, Buffer.from(`${i}`));
  await caller.close();
  await until(() => seen.length === 100, "all requests");
});

test("a connection on which nothing is answered any more is given up; one that answers now and then is not", async () => {
  const clock = new HandClock();
  let isSilent = false;
  const sockets: Connection[] = [];
  const server = await listen(
    new Map([
      [10, (request, connection) => void (isSilent || ECHO(request, connection))],
      [11, ECHO],
    ]),
    0,
    sockets,
  );
  const caller = client(server.port, { clock });
  await caller.call(10, {}, undefined, 1000);
  isSilent = true;
  const runsOut = async () => {
    const call = caller.call(10, {}, undefined, 1000);
    const ended = expect(call).rejects.toMatchObject({ code: "COMETMQ_TIMEOUT" });
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1000);
    await ended;
  };
  for (let i = 0; i < 4; i++) {
    await runsOut();
    await runsOut();
    await caller.call(11, {}, undefined, 1000);
  }
  expect([caller.connected, sockets.length]).toEqual([true, 1]);
  for (let i = 0; i < 3; i++) await runsOut();
  expect(caller.connected).toBe(false);
  isSilent = false;
  expect((await caller.call(10, {}, undefined, 1000)).code).toBe(0);
  expect(sockets.length).toBe(2);
});
