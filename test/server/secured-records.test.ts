/** Messages that are named by their place in the log: the right to one topic is no right to another's messages. */
import { createHmac } from "node:crypto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { RequestCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { parseMessageId } from "#src/record/message-id.js";
import { GrpcEndpoint } from "#src/server/proxy/endpoint.js";
import { encodeReceiptHandle } from "#src/server/proxy/receipt-handle.js";
import { call, connectTo } from "./grpc-client.js";
import { requestSigner } from "#src/remoting/request-signer.js";
import {
  ANSWER_MS,
  bodiesOf,
  closeAll,
  onCloseAll,
  properties,
  pull,
  send,
  sendFields,
  type StartedBroker,
  startBroker,
} from "./harness.js";

const NO_PERMISSION = 16;

let started: StartedBroker;
let root: RemotingClient;
let reader: RemotingClient;

const as = (accessKey: string) =>
  started.client({ signer: requestSigner({ accessKey, secretKey: `${accessKey}-pw` }) });

async function make(code: number, fields: Fields, body?: object): Promise<void> {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  expect(await root.call(code, fields, bytes, ANSWER_MS)).toMatchObject({ code: 0 });
}

async function user(username: string, entries: [resource: string, ...actions: string[]][]): Promise<RemotingClient> {
  await make(RequestCode.AUTH_CREATE_USER, { username }, { password: `${username}-pw` });
  const policies = [{ entries: entries.map(([resource, ...actions]) => ({ resource, actions, decision: "Allow" })) }];
  await make(RequestCode.AUTH_CREATE_ACL, { subject: `User:${username}` }, { policies });
  return as(username);
}

beforeEach(async () => {
  started = await startBroker({
    config: {
      authenticationEnabled: true,
      authorizationEnabled: true,
      initAuthenticationUser: '{"username":"root","password":"root-pw"}',
      // Half messages are given up at once, where there is a producer to ask.
      transactionCheckMax: 1,
      transactionCheckInterval: 10,
      transactionTimeOut: 0,
    },
  });
  root = as("root");
  for (const groupName of ["mine", "theirs"]) {
    await make(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, { groupName });
  }
  reader = await user("reader", [
    ["Group:mine", "Sub"],
    ["Topic:open", "Pub", "Sub", "Update"],
  ]);
});

afterEach(closeAll);

async function sent(client: RemotingClient, topic: string, more: Fields = {}): Promise<{ at: number; msgId: string }> {
  const answer = await send(client, { topic, ...more }, `of ${topic}`);
  expect(answer.code).toBe(0);
  const msgId = answer.fields["msgId"]!;
  return { at: parseMessageId(msgId)!.phyOffset, msgId };
}

const back = (client: RemotingClient, offset: number, group = "mine", more: Fields = {}) =>
  client.call(RequestCode.CONSUMER_SEND_MSG_BACK, { group, offset, delayLevel: -1, ...more }, undefined, ANSWER_MS);

test("what is given back is a message that its consumer may read", async () => {
  const secret = await sent(root, "secret");
  const open = await sent(root, "open");
  const refused = await back(reader, secret.at, "mine", { originTopic: "open" });
  expect(refused).toMatchObject({ code: NO_PERMISSION });
  expect(refused.remark).toContain("Topic:secret");
  expect(await back(reader, open.at)).toMatchObject({ code: 0 });
  expect(await back(reader, open.at, "theirs")).toMatchObject({ code: NO_PERMISSION });
  expect(await back(root, secret.at)).toMatchObject({ code: 0 });
  await started.broker.store.settled();
  const dead = await pull(root, { topic: "%DLQ%mine", consumerGroup: "mine" });
  expect(bodiesOf(dead)).toEqual(["of open", "of secret"]);
});

test("a message of the group's own retry topic is given back again, one of another's is not", async () => {
  const open = await sent(root, "open");
  for (const group of ["mine", "theirs"])
    expect(await back(root, open.at, group, { delayLevel: 1 })).toMatchObject({ code: 0 });
  const own = await sent(root, "%RETRY%mine");
  const other = await sent(root, "%RETRY%theirs");
  expect(await back(reader, own.at)).toMatchObject({ code: 0 });
  expect(await back(reader, other.at)).toMatchObject({ code: NO_PERMISSION });
});

test("a message is not pushed to a consumer who could not pull it", async () => {
  const secret = await sent(root, "secret");
  const open = await sent(root, "open");
  const push = ({ msgId }: { msgId: string }) =>
    reader.call(
      RequestCode.CONSUME_MESSAGE_DIRECTLY,
      { consumerGroup: "mine", clientId: "c", msgId, topic: "open" },
      undefined,
      ANSWER_MS,
    );
  expect(await push(secret)).toMatchObject({ code: NO_PERMISSION });
  expect((await push(open)).remark).toContain("not online");
});

test("a transaction is ended by those who may send to its topic, also by clients that do not name it", async () => {
  const half = { sysFlag: 4, properties: properties({ TRAN_MSG: "true", PGROUP: "P", UNIQ_KEY: "k" }) };
  const endOf = async (client: RemotingClient, topic: string, named: Fields) => {
    const answer = await send(root, { topic, ...half }, "half");
    const { msgId, queueOffset } = answer.fields as { msgId: string; queueOffset: string };
    const fields = { commitLogOffset: parseMessageId(msgId)!.phyOffset, tranStateTableOffset: queueOffset };
    const rest = { producerGroup: "P", commitOrRollback: 8, fromTransactionCheck: false, msgId, transactionId: msgId };
    return (await client.call(RequestCode.END_TRANSACTION, { ...fields, ...rest, ...named }, undefined, ANSWER_MS))
      .code;
  };
  await sent(root, "secret");
  expect(await endOf(reader, "secret", {})).toBe(NO_PERMISSION);
  expect(await endOf(reader, "secret", { topic: "open" })).toBe(NO_PERMISSION);
  expect(await endOf(reader, "open", {})).toBe(0);
  expect(await endOf(root, "secret", {})).toBe(0);
});

test("a transaction that was given up is asked about again for those who may change its topic, by the topic that it has", async () => {
  // A producer is there, and does not answer.
  await make(RequestCode.HEART_BEAT, {}, { clientID: "p", producerDataSet: [{ groupName: "P" }], consumerDataSet: [] });
  const half = { sysFlag: 4, properties: properties({ TRAN_MSG: "true", PGROUP: "P", UNIQ_KEY: "k" }) };
  const given: Record<string, string> = {};
  for (const topic of ["secret", "open"]) expect((await send(root, { topic, ...half }, topic)).code).toBe(0);
  await vi.waitUntil(
    async () => {
      const { code, body } = await pull(root, { topic: "TRANS_CHECK_MAX_TIME_TOPIC", consumerGroup: "mine" });
      if (code !== 0) return false;
      for (const record of decodeRecords(body)) given[record.body.toString()] = record.msgId;
      return Object.keys(given).length === 2;
    },
    { timeout: ANSWER_MS, interval: 50 },
  );
  const resume = async (client: RemotingClient, msgId: string, fields: Fields) => {
    const answer = await client.call(RequestCode.RESUME_CHECK_HALF_MESSAGE, { msgId, ...fields }, undefined, ANSWER_MS);
    return answer.code;
  };
  const stranger = started.client();
  for (const named of [{}, { topic: "open" }, { topic: "secret" }, { topic: "" }]) {
    expect(await resume(reader, given["secret"]!, named)).toBe(NO_PERMISSION);
    expect(await resume(stranger, given["open"]!, named)).toBe(NO_PERMISSION);
  }
  // Without a topic Apache's asks for nothing at all; here it asks for the cluster.
  expect(await resume(reader, given["open"]!, {})).toBe(NO_PERMISSION);
  expect(await resume(reader, given["open"]!, { topic: "open" })).toBe(0);
  expect(await resume(root, given["secret"]!, {})).toBe(0);
});

test("sends with the old code and the new one ask for the topic that they are put into", async () => {
  const both = { ...sendFields({ topic: "secret" }), b: "open" };
  const call = (code: number, fields: Fields) => reader.call(code, fields, Buffer.from("x"), ANSWER_MS);
  expect((await call(RequestCode.SEND_MESSAGE, both)).code).toBe(NO_PERMISSION);
  await sent(reader, "open");
  await expect(sent(reader, "secret", { topic: "secret" })).rejects.toThrow();
});

test("over gRPC the right to a group alone changes no message of a topic, and a made-up handle moves none", async () => {
  const { context, processors, store } = started.broker;
  const endpoint = await GrpcEndpoint.start({ broker: context, processors, files: store.disk, port: 0 });
  onCloseAll(() => endpoint.close());
  const secret = await sent(root, "secret");
  await sent(root, "open");
  const date = "20260102T030405Z";
  const signature = createHmac("sha1", "reader-pw").update(date).digest("hex");
  const authorization = `MQv2-HMAC-SHA1 Credential=reader, SignedHeaders=x-mq-date-time, Signature=${signature}`;
  const session = connectTo(endpoint);
  const ask = (method: string, topic: string, phyOffset: number) => {
    const handle = {
      startOffset: 0,
      retrieveTime: Date.now(),
      invisibleTime: 60_000,
      reviveQueueId: 0,
      topicType: "0",
    };
    const rest = { brokerName: context.config.brokerName, queueId: 0, offset: 0, phyOffset };
    const receiptHandle = encodeReceiptHandle({ ...handle, ...rest } as never);
    const request = { group: { name: "mine" }, topic: { name: topic }, receiptHandle, messageId: "m" };
    const headers = { "x-mq-date-time": date, authorization };
    return call(session, method, { ...request, invisibleDuration: { seconds: 60 } }, headers);
  };
  const UNAUTHORIZED = 40100;
  const { status } = await ask("ChangeInvisibleDuration", "secret", secret.at);
  expect(status.code).toBe(UNAUTHORIZED);
  expect((await ask("ChangeInvisibleDuration", "open", secret.at)).status.code).not.toBe(UNAUTHORIZED);
  const forward = await ask("ForwardMessageToDeadLetterQueue", "open", secret.at);
  expect(forward.status.message).toContain("not of the topic that was named");
  expect(context.topics.get("%DLQ%mine")).toBe(undefined);
});
