/**
 * A topic that is deleted and made again while consumers read it: they are sent to its beginning, whether their pull
 * waits at that moment or comes later, and what they commit of the former topic does not count.
 */
import { afterEach, expect, test } from "vitest";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { heartbeatBody } from "../unit/broker/harness.js";
import { ANSWER_MS, bodiesOf, closeAll, pull, send, startBroker, waitingPull } from "./harness.js";

afterEach(closeAll);

function call(client: RemotingClient, code: number, fields: Fields, body?: string) {
  return client.call(code, fields, body === undefined ? undefined : Buffer.from(body), ANSWER_MS);
}

const deleteTopic = (client: RemotingClient) => call(client, RequestCode.DELETE_TOPIC_IN_BROKER, { topic: "T" });
const commit = (client: RemotingClient, commitOffset: number) =>
  call(client, RequestCode.UPDATE_CONSUMER_OFFSET, { consumerGroup: "G", topic: "T", queueId: 0, commitOffset });
const query = (client: RemotingClient) =>
  call(client, RequestCode.QUERY_CONSUMER_OFFSET, { consumerGroup: "G", topic: "T", queueId: 0 });

/** A broker with two messages in T, and a member of G that has read them. */
async function readTopic() {
  const { broker, client } = await startBroker();
  const consumer = client();
  const admin = client();
  for (const body of ["old 0", "old 1"]) expect((await send(admin, {}, body)).code).toBe(0);
  await call(consumer, RequestCode.HEART_BEAT, {}, heartbeatBody("c", "G", [["T", "*"]]));
  await broker.store.settled();
  expect(bodiesOf(await pull(consumer))).toEqual(["old 0", "old 1"]);
  expect((await commit(consumer, 2)).code).toBe(0);
  return { broker, consumer, admin };
}

test("a pull that waits is told at once to begin at 0", async () => {
  const { broker, consumer, admin } = await readTopic();
  const waiting = waitingPull(consumer, { queueOffset: 2 });
  await expect.poll(() => broker.context.consumers.get("G")?.members.size).toBe(1);
  expect((await deleteTopic(admin)).code).toBe(0);
  const moved = await waiting;
  expect([moved.code, moved.fields.nextBeginOffset]).toEqual([ResponseCode.PULL_OFFSET_MOVED, "0"]);
  expect((await send(admin, {}, "new 0")).fields.queueOffset).toBe("0");
  await broker.store.settled();
  expect(bodiesOf(await pull(consumer, { queueOffset: 0 }))).toEqual(["new 0"]);
});

test("a member that comes back with an offset of the former topic misses nothing of the new one", async () => {
  const { broker, consumer, admin } = await readTopic();
  expect((await deleteTopic(admin)).code).toBe(0);
  expect((await pull(consumer, { queueOffset: 2 })).code).toBe(ResponseCode.TOPIC_NOT_EXIST);
  expect((await commit(consumer, 2)).code).toBe(ResponseCode.TOPIC_NOT_EXIST);
  for (let i = 0; i < 5; i++) expect((await send(admin, {}, `new ${i}`)).fields.queueOffset).toBe(String(i));
  await broker.store.settled();

  expect((await commit(consumer, 2)).remark).toBe("Offset has been previously reset");
  expect((await query(consumer)).fields.offset).toBe("0");
  const moved = await pull(consumer, { queueOffset: 2 });
  expect([moved.code, moved.fields.nextBeginOffset]).toEqual([ResponseCode.PULL_OFFSET_MOVED, "0"]);
  expect(bodiesOf(await pull(consumer, { queueOffset: 0 }))).toHaveLength(5);
  expect((await commit(consumer, 5)).code).toBe(0);
  expect((await query(consumer)).fields.offset).toBe("5");
  expect(bodiesOf(await pull(consumer, { queueOffset: 2 }))).toHaveLength(3);
});

test("a member that begins at 0 anyway is not sent anywhere", async () => {
  const { broker, consumer, admin } = await readTopic();
  await deleteTopic(admin);
  await send(admin, {}, "new 0");
  await broker.store.settled();
  expect(bodiesOf(await pull(consumer, { queueOffset: 0 }))).toEqual(["new 0"]);
  expect((await commit(consumer, 1)).remark).toBe("");
  expect((await query(consumer)).fields.offset).toBe("1");
});

test("a group that has gone holds no offsets any more", async () => {
  const { broker, consumer, admin } = await readTopic();
  await deleteTopic(admin);
  consumer.close();
  await expect.poll(() => broker.context.consumers.get("G")).toBeUndefined();
  await send(admin, {}, "new 0");
  expect((await commit(admin, 1)).remark).toBe("");
  expect(broker.context.offsets.queryOffset("G", "T", 0)).toBe(1);
});
