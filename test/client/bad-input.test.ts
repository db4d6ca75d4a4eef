/** What a client says when it cannot: each error by its class, with Apache's code, in one line that helps. */
import { createServer } from "node:net";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import {
  ClientClosedError,
  ClientError,
  ConfigError,
  ConnectError,
  NoNameServerError,
  NoRouteError,
  SendError,
  TimeoutError,
  TooManySendsError,
} from "#src/client/errors.js";
import { LitePullConsumer } from "#src/client/lite-pull-consumer.js";
import { Producer } from "#src/client/producer.js";
import { PushConsumer } from "#src/client/push-consumer.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { ResponseCode } from "#src/remoting/codes.js";
import { closeAll, onCloseAll, startBroker, startNameServer } from "../server/harness.js";
import { createTopic, producerOf, until } from "./harness.js";
import { scriptedServer } from "./scripted-server.js";

afterEach(closeAll);

const NOWHERE = "127.0.0.1:1";

async function rejection(promise: Promise<unknown>): Promise<ClientError> {
  const error = await promise.then(
    (value) => expect.fail(`resolved to ${String(value)}`),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ClientError);
  const { message } = error as ClientError;
  expect(message).not.toContain("\n");
  expect(message).not.toContain("..");
  return error as ClientError;
}

/** Listens, and does with each connection what it is told. */
async function oddServer(each: (socket: import("node:net").Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    each(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onCloseAll(() => void server.close());
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

async function liveServer(): Promise<string> {
  const nameServer = await startNameServer();
  const namesrvAddr = `127.0.0.1:${nameServer.port}`;
  await startBroker({ config: { namesrvAddr, brokerIP1: "127.0.0.1", autoCreateTopicEnable: false } });
  return namesrvAddr;
}

test("options that cannot be are named at once", async () => {
  const subscriptions = { T: "*" };
  const bad: [Promise<unknown>, RegExp][] = [
    [Producer.start({ namesrvAddr: "localhost" }), /"localhost" is not host:port/],
    [Producer.start({ namesrvAddr: "localhost:99999" }), /"localhost:99999" is not host:port/],
    [Producer.start({ namesrvAddr: "http://localhost:9876" }), /"http:\/\/localhost:9876" is not host:port/],
    [Producer.start({ namesrvAddr: "a:1,b:2" }), /"a:1,b:2" is not host:port/],
    [Producer.start({ namesrvAddr: " ; " }), /namesrvAddr names no server/],
    [Producer.start({ namesrvAddr: NOWHERE, group: "no/group" }), /"no\/group" is no group/],
    [Producer.start({ namesrvAddr: NOWHERE, sendMsgTimeout: 0 }), /sendMsgTimeout is 0/],
    [Producer.start({ namesrvAddr: NOWHERE, namespace: "a%b" }), /"a%b" is no namespace/],
    [PushConsumer.start({ namesrvAddr: NOWHERE, group: "G", subscriptions }), /Give onMessage or onBatch/],
    [PushConsumer.start({ namesrvAddr: NOWHERE, group: "G", subscriptions: {}, onMessage() {} }), /names no topic/],
    [LitePullConsumer.start({ namesrvAddr: NOWHERE, group: "G" }), /Give subscriptions or queues/],
    [SimpleConsumer.start({ namesrvAddr: NOWHERE, group: "", subscriptions }), /"" is no group/],
  ];
  for (const [start, message] of bad) {
    const error = await rejection(start);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(message);
  }
});

test("a wrong address: which, why, and Apache's code for no name server", async () => {
  const answers = await oddServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const silent = await oddServer(() => {});
  const unknown = "no-such-host.invalid:9876";
  for (const [namesrvAddr, why] of [
    [NOWHERE, "ECONNREFUSED"],
    [unknown, "ENOTFOUND|EAI_AGAIN"],
    [answers, "127.0.0.1"],
    [silent, "300 ms"],
  ] as const) {
    const producer = await producerOf({ namesrvAddr, requestTimeoutMs: 300, connectTimeoutMs: 2000 });
    const error = await rejection(producer.send({ topic: "T", body: "x" }));
    expect(error).toBeInstanceOf(NoNameServerError);
    expect(error).toMatchObject({ code: "COMETMQ_NO_NAMESRV", responseCode: 10004, retryable: true });
    expect(error.message).toContain(namesrvAddr);
    expect(error.message).toMatch(new RegExp(why));
    expect(await rejection(producer.close().then(() => producer.send({ topic: "T", body: "x" })))).toBeInstanceOf(
      ClientClosedError,
    );
  }
  await using admin = await Admin.start({ namesrvAddr: NOWHERE });
  const refused = await rejection(admin.topics());
  expect(refused).toBeInstanceOf(ConnectError);
  expect(refused).toMatchObject({ code: "COMETMQ_CONNECT", responseCode: 10001, address: NOWHERE });
  const options = { namesrvAddr: NOWHERE, group: "G", subscriptions: { T: "*" } };
  for (const start of [
    PushConsumer.start({ ...options, onMessage() {} }),
    LitePullConsumer.start(options),
    SimpleConsumer.start(options),
  ])
    expect(await rejection(start)).toMatchObject({ responseCode: 10004 });
});

test("no such topic, no such broker: no route, with Apache's codes", async () => {
  const namesrvAddr = await liveServer();
  const producer = await producerOf({ namesrvAddr });
  const error = await rejection(producer.send({ topic: "absent", body: "x" }));
  expect(error).toBeInstanceOf(NoRouteError);
  expect(error).toMatchObject({ code: "COMETMQ_NO_ROUTE", responseCode: 10005, topic: "absent" });
  const topic = await createTopic({ namesrvAddr }, "present", 1);
  const queue = { topic, brokerName: "gone", queueId: 0 };
  const lost = await rejection(producer.send({ topic, body: "x" }, { queue }));
  expect(lost).toMatchObject({ code: "COMETMQ_NO_ROUTE", responseCode: 10003, brokerName: "gone" });
});

test("a broker that never answers: a timeout of the whole send", async () => {
  const { address } = await scriptedServer([undefined]);
  const producer = await producerOf({ namesrvAddr: address, sendMsgTimeout: 200, retryTimesWhenSendFailed: 0 });
  const error = await rejection(producer.send({ topic: "T", body: "x" }));
  expect(error).toBeInstanceOf(TimeoutError);
  expect(error).toMatchObject({ code: "COMETMQ_TIMEOUT", responseCode: 10002, retryable: true });
});

test("fail fast: one attempt, and no wait behind what is on its way", async () => {
  const busy = await scriptedServer([ResponseCode.SYSTEM_BUSY]);
  const producer = await producerOf({ namesrvAddr: busy.address, failFast: true });
  const once = await rejection(producer.send({ topic: "T", body: "x" }));
  expect(once).toMatchObject({ responseCode: ResponseCode.SYSTEM_BUSY });
  expect(busy.sends).toHaveLength(1);
  expect(await rejection(producer.send({ topic: "T", body: "x" }, { failFast: false }))).toBeInstanceOf(SendError);
  expect(busy.sends).toHaveLength(4);

  const stuck = await scriptedServer([undefined]);
  const full = await producerOf({
    namesrvAddr: stuck.address,
    sendMsgTimeout: 400,
    retryTimesWhenSendFailed: 0,
    backPressureForAsyncSendNum: 2,
  });
  const onTheirWay = [1, 2].map(() => rejection(full.send({ topic: "T", body: "x" })));
  const waiting = rejection(full.send({ topic: "T", body: "x" }, { timeoutMs: 100 }));
  const refused = await rejection(full.send({ topic: "T", body: "x" }, { failFast: true }));
  expect(refused).toBeInstanceOf(TooManySendsError);
  expect(refused).toMatchObject({ code: "COMETMQ_BUSY", retryable: true });
  expect(await waiting).toBeInstanceOf(TimeoutError);
  const stop = new AbortController();
  const aborted = full.send({ topic: "T", body: "x" }, { signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(aborted).rejects.toThrow("enough");
  await Promise.all(onTheirWay);
  expect(stuck.sends).toHaveLength(2);
});

test("closed clients say so; a start that is given up leaves nothing", async () => {
  const namesrvAddr = await liveServer();
  const topic = await createTopic({ namesrvAddr }, "T", 1);
  const options = { namesrvAddr, group: "G", subscriptions: { [topic]: "*" } };
  const lite = await LitePullConsumer.start(options);
  const simple = await SimpleConsumer.start(options);
  const admin = await Admin.start({ namesrvAddr });
  const push = await PushConsumer.start({ ...options, onMessage() {} });
  const producer = await Producer.start({ namesrvAddr });
  await until(() => lite.assignment.length > 0);
  const [queue] = lite.assignment;
  expect(() => lite.seek(queue!, -1)).toThrow(ConfigError);
  const waits = [rejection(lite.poll({ timeoutMs: 60_000 })), rejection(simple.receive({ waitMs: 60_000 }))];
  await Promise.all([lite, simple, admin, push, producer].map((client) => client.close()));
  expect(() => lite.seek(queue!, 0)).toThrow(ClientClosedError);
  const calls = [
    lite.poll(),
    lite.commit(),
    simple.receive(),
    admin.topics(),
    admin.queues(topic),
    push.subscribe("T2"),
    push.unsubscribe(topic),
    producer.publishQueues(topic),
    producer.sendOneway({ topic, body: "x" }),
    producer.sendBatch([{ topic, body: "x" }]),
    producer.request({ topic, body: "x" }),
  ];
  for (const error of [...(await Promise.all(waits)), ...(await Promise.all(calls.map(rejection)))])
    expect(error).toBeInstanceOf(ClientClosedError);
  for await (const message of lite) expect.fail(`a closed consumer gave ${message.text()}`);

  const silent = await oddServer(() => {});
  const signal = AbortSignal.timeout(50);
  const starts = [
    PushConsumer.start({ ...options, namesrvAddr: silent, onMessage() {} }, { signal }),
    LitePullConsumer.start({ ...options, namesrvAddr: silent }, { signal }),
    SimpleConsumer.start({ ...options, namesrvAddr: silent }, { signal }),
  ];
  const ends = await Promise.allSettled(starts);
  expect(ends.map((end) => end.status === "rejected" && end.reason === signal.reason)).toEqual([true, true, true]);
});

test("a signal ends an admin's call and a consumer's loop", async () => {
  const silent = await oddServer(() => {});
  await using admin = await Admin.start({ namesrvAddr: silent });
  const reason = new Error("enough");
  for (const call of [
    (signal: AbortSignal) => admin.topics({ signal }),
    (signal: AbortSignal) => admin.queues("T", { signal }),
    (signal: AbortSignal) => admin.createTopic("T", {}, { signal }),
    (signal: AbortSignal) => admin.lag("G", "T", { signal }),
    (signal: AbortSignal) => admin.resetOffset("G", "T", 0, { signal }),
  ]) {
    const stop = new AbortController();
    const calling = call(stop.signal);
    setImmediate(() => stop.abort(reason));
    await expect(calling).rejects.toBe(reason);
    await expect(call(AbortSignal.abort(reason))).rejects.toBe(reason);
  }
  const namesrvAddr = await liveServer();
  const topic = await createTopic({ namesrvAddr }, "T", 1);
  const options = { namesrvAddr, group: "G", subscriptions: { [topic]: "*" } };
  await using lite = await LitePullConsumer.start(options);
  await using simple = await SimpleConsumer.start(options);
  for (const consumer of [lite, simple]) {
    const signal = AbortSignal.timeout(50);
    for await (const message of consumer.messages({ signal })) expect.fail(`there is no message ${String(message)}`);
    expect(signal.aborted).toBe(true);
  }
});
