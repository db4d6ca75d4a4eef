/** A broker that has more to do than it can in time says so, with Apache's codes and by Apache's settings. */
import { afterEach, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { heartbeatBody } from "../unit/broker/harness.js";
import { BareSocket, requestBytes, until } from "../unit/remoting/peers.js";
import { ANSWER_MS, closeAll, onCloseAll, roundTrip, send, sendFieldsV2, startBroker, watched } from "./harness.js";
import { HeldDisk } from "./held-disk.js";

afterEach(closeAll);

const OVERLOAD = "[OVERLOAD]system busy, start flow control for a while";

test("with more sends waiting for the disk than sendThreadPoolQueueCapacity further ones are refused", async () => {
  const disk = new HeldDisk();
  const config = { flushDiskType: "SYNC_FLUSH", sendThreadPoolQueueCapacity: 20 } as const;
  const { client: open } = await startBroker({ disk, config });
  const client = open();
  await send(client, {}, "first");
  disk.held = true;
  const waiting = Array.from({ length: 21 }, (_, i) => watched(send(client, {}, String(i))));
  await roundTrip(client);
  expect(await send(client, {}, "one too many")).toMatchObject({ code: ResponseCode.SYSTEM_BUSY, remark: OVERLOAD });
  expect(await send(open(), {}, "another's")).toMatchObject({ code: ResponseCode.SYSTEM_BUSY, remark: OVERLOAD });
  const heartbeat = Buffer.from(heartbeatBody("c", "G", [["T", "*"]]));
  const beat = await client.call(RequestCode.HEART_BEAT, {}, heartbeat, ANSWER_MS);
  expect(beat).toMatchObject({ code: ResponseCode.SUCCESS });
  expect(waiting.some(({ done }) => done)).toBe(false);
  disk.held = false;
  disk.letGo();
  for (const { answer } of waiting) expect(await answer).toMatchObject({ code: ResponseCode.SUCCESS });
  expect(await send(client, {}, "after")).toMatchObject({ code: ResponseCode.SUCCESS, fields: { queueOffset: "22" } });
});

test("a disk that is merely slow refuses nobody", async () => {
  const disk = new HeldDisk();
  const { client: open } = await startBroker({ disk, config: { flushDiskType: "SYNC_FLUSH" } });
  const client = open();
  await send(client, {}, "first");
  disk.held = true;
  const waiting = Array.from({ length: 300 }, (_, i) => watched(send(client, {}, String(i))));
  await roundTrip(client);
  // As long as a send may wait for its turn: these have had it.
  await new Promise((resolve) => setTimeout(resolve, 250));
  const next = watched(send(client, {}, "next"));
  await roundTrip(client);
  disk.held = false;
  disk.letGo();
  for (const { answer } of [...waiting, next]) expect(await answer).toMatchObject({ code: ResponseCode.SUCCESS });
});

/** Sends until a turn does not suffice, and more; how many were refused. */
async function flood(port: number, count: number): Promise<number> {
  const peer = (await BareSocket.open(port)).readFrames();
  onCloseAll(() => void peer.socket.destroy());
  const fields = Object.fromEntries(Object.entries(sendFieldsV2({})).map(([name, value]) => [name, String(value)]));
  const body = "x".repeat(1000);
  const sends = Array.from({ length: count }, (_, i) => ({
    code: RequestCode.SEND_MESSAGE_V2,
    opaque: i,
    fields,
    body,
  }));
  peer.socket.write(requestBytes(...sends));
  await until(() => peer.frames.length === count, "all answers");
  const refused = peer.frames.filter(({ code }) => code === ResponseCode.SYSTEM_BUSY);
  for (const { remark } of refused) expect(remark).toMatch(/^\[TIMEOUT_CLEAN_QUEUE\]broker busy, .* \d+ms, /);
  expect(peer.frames.filter(({ code }) => code === ResponseCode.SUCCESS)).toHaveLength(count - refused.length);
  return refused.length;
}

test("waitTimeMillsInSendQueue says how long a send may wait, brokerFastFailureEnable whether that counts", async () => {
  const { broker, client: open } = await startBroker({ config: { waitTimeMillsInSendQueue: 1 } });
  const client = open();
  await send(client, {}, "first");
  const change = async (text: string) => {
    const answer = await client.call(RequestCode.UPDATE_BROKER_CONFIG, {}, Buffer.from(text), ANSWER_MS);
    expect(answer).toMatchObject({ code: ResponseCode.SUCCESS });
  };
  const refusedCount = await flood(broker.port, 3000);
  expect(refusedCount).toBeGreaterThan(0);
  await change("waitTimeMillsInSendQueue=60000");
  expect(await flood(broker.port, 3000)).toBe(0);
  await change("waitTimeMillsInSendQueue=1\nbrokerFastFailureEnable=false");
  expect(await flood(broker.port, 3000)).toBe(0);
  // What was acknowledged is there, and nothing else.
  const max = await client.call(RequestCode.GET_MAX_OFFSET, { topic: "T", queueId: 0 }, undefined, ANSWER_MS);
  expect(Number(max.fields.offset)).toBe(9001 - refusedCount);
});
