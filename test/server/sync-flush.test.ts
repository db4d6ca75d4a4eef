/** SYNC_FLUSH: what is acknowledged is on the disk, and what is not on the disk is neither acknowledged nor seen. */
import { afterEach, expect, test } from "vitest";
import { encodeMessageBatch } from "#src/record/message-batch.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { FakeClock } from "../unit/broker/harness.js";
import { until } from "../unit/remoting/peers.js";
import {
  ANSWER_MS,
  bodiesOf,
  closeAll,
  properties,
  pull,
  roundTrip,
  type StartedBroker,
  send,
  sendFieldsV2,
  startBroker,
  waitingPull,
  watched,
} from "./harness.js";
import { HeldDisk } from "./held-disk.js";

afterEach(closeAll);

async function startHeld(clock?: FakeClock): Promise<StartedBroker & { disk: HeldDisk }> {
  const disk = new HeldDisk();
  const started = await startBroker({ disk, config: { flushDiskType: "SYNC_FLUSH" }, ...(clock && { clock }) });
  // The topic is there before anything is held.
  await send(started.client(), { queueId: 1 }, "first");
  disk.held = true;
  return { ...started, disk };
}

test("the answer comes after the sync, and readers see the message no sooner", async () => {
  const started = await startHeld();
  const { disk } = started;
  const client = started.client();
  const reader = started.client();
  const waiting = watched(waitingPull(reader));
  await roundTrip(reader);
  const sent = watched(send(client, {}, "durable"));
  await until(() => disk.syncsUnderWay === 1, "the sync");
  await roundTrip(client);
  expect([sent.done, waiting.done]).toEqual([false, false]);
  expect((await pull(client)).code).toBe(ResponseCode.PULL_NOT_FOUND);
  disk.letGo();
  expect(await sent.answer).toMatchObject({ code: ResponseCode.SUCCESS, fields: { queueId: "0", queueOffset: "0" } });
  expect(bodiesOf(await waiting.answer)).toEqual(["durable"]);
  const [id, message] = [(await sent.answer).fields.msgId, await pull(client)];
  expect(message.body.length).toBeGreaterThan(0);
  const viewed = await client.call(
    RequestCode.VIEW_MESSAGE_BY_ID,
    { offset: Number.parseInt(id!.slice(16), 16) },
    undefined,
    ANSWER_MS,
  );
  expect(viewed.body.equals(message.body)).toBe(true);
});

test("messages sent during a sync share the next one", async () => {
  const started = await startHeld();
  const { disk } = started;
  const client = started.client();
  const first = watched(send(client, {}, "0"));
  await until(() => disk.syncsUnderWay === 1, "the sync");
  const others = Array.from({ length: 100 }, (_, i) => watched(send(client, {}, String(i + 1))));
  const batch = encodeMessageBatch([{ body: Buffer.from("b1") }, { body: Buffer.from("b2") }]);
  const fields = sendFieldsV2({ batch: true });
  others.push(watched(client.call(RequestCode.SEND_BATCH_MESSAGE, fields, batch, ANSWER_MS)));
  await roundTrip(client);
  disk.letGo();
  await first.answer;
  await until(() => disk.syncsUnderWay === 1, "the next sync");
  expect(others.some(({ done }) => done)).toBe(false);
  disk.letGo();
  for (const [i, { answer }] of others.entries()) {
    expect(await answer).toMatchObject({ code: ResponseCode.SUCCESS, fields: { queueOffset: String(i + 1) } });
  }
  const ids = (await others.at(-1)!.answer).fields.msgId!.split(",");
  expect(ids).toHaveLength(2);
  expect(disk.syncsUnderWay).toBe(0);
});

test("a producer that does not wait for the disk is answered at once", async () => {
  const started = await startHeld();
  const client = started.client();
  const waits = watched(send(client, {}, "waits"));
  const answer = await send(client, { properties: properties({ WAIT: "false" }) }, "does not");
  expect(answer).toMatchObject({ code: ResponseCode.SUCCESS, fields: { queueOffset: "1" } });
  expect(waits.done).toBe(false);
  started.disk.held = false;
  started.disk.letGo();
  expect((await waits.answer).code).toBe(ResponseCode.SUCCESS);
});

test("who waits too long for the disk is told so, with the message's place", async () => {
  const clock = new FakeClock();
  const started = await startHeld(clock);
  const client = started.client();
  const sent = watched(send(client, {}, "slow"));
  await until(() => started.disk.syncsUnderWay === 1, "the sync");
  clock.advance(4900);
  await roundTrip(client);
  expect(sent.done).toBe(false);
  clock.advance(200);
  expect(await sent.answer).toMatchObject({
    code: ResponseCode.FLUSH_DISK_TIMEOUT,
    fields: { queueId: "0", queueOffset: "0", msgId: expect.stringMatching(/^[0-9A-F]{32}$/) },
  });
  started.disk.held = false;
  started.disk.letGo();
  await until(() => started.broker.store.flushedPosition === started.broker.store.maxPhyOffset, "the sync");
  expect(bodiesOf(await pull(client))).toEqual(["slow"]);
});

test("a sync that fails acknowledges nothing, and the broker takes no more but goes on serving", async () => {
  const started = await startHeld();
  const { disk } = started;
  const client = started.client();
  const failing = [send(client, {}, "a"), send(client, {}, "b")];
  await until(() => disk.syncsUnderWay === 1, "the sync");
  await roundTrip(client);
  disk.fail();
  for (const answer of await Promise.all(failing)) {
    expect(answer.code).toBe(ResponseCode.SERVICE_NOT_AVAILABLE);
    expect(answer.remark).toMatch(/^service not available now: The store takes no more messages: .*The disk is broken/);
    expect(answer.fields.msgId).toBeUndefined();
  }
  disk.held = false;
  for (let i = 0; i < 3; i++) {
    const answer = await send(client, {}, "later");
    expect(answer.code).toBe(ResponseCode.SERVICE_NOT_AVAILABLE);
    expect(answer.remark).toMatch(/takes no more messages/);
  }
  expect((await pull(client)).code).toBe(ResponseCode.PULL_NOT_FOUND);
  expect(bodiesOf(await pull(client, { queueId: 1 }))).toEqual(["first"]);
  expect(started.log.at("error", /read-only/)).toHaveLength(1);
});

test("a broker that closes first answers who waits for the disk", async () => {
  const started = await startHeld();
  const client = started.client();
  const sent = send(client, {}, "last");
  await until(() => started.disk.syncsUnderWay === 1, "the sync");
  const closing = started.broker.close();
  await until(() => started.broker.port === 0, "the end of listening");
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  started.disk.held = false;
  started.disk.letGo();
  expect((await sent).code).toBe(ResponseCode.SUCCESS);
  await closing;
});
