/** A consumer that pops, as Apache's clients do it: it makes handles of a pop's answer and sends them back. */
import { expect } from "vitest";
import { decodeRecords, type MessageExt } from "#src/record/decode.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields, RemoteAnswer } from "#src/remoting/types.js";
import { ANSWER_MS, properties, type StartedBroker, send } from "./harness.js";

export const GROUP = "G";
export const TOPIC = "T";
export const BROKER = "broker-t";
export const INVISIBLE_MS = 60_000;

export interface Popped {
  readonly body: string;
  readonly message: MessageExt;
  /** POP_CK. */
  readonly handle: string;
  /** Where the message lies, which may be a retry topic. */
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
}

export function makeTopic({ broker }: StartedBroker, topic = TOPIC, queues = 1): void {
  expect(broker.context.topics.createInSendMessage(topic, "TBW102", "", queues, 0)).toBeDefined();
}

export async function sendMessages(
  client: RemotingClient,
  bodies: readonly string[],
  fields: Fields = {},
): Promise<void> {
  for (const body of bodies) {
    const answer = await send(client, { properties: properties({ UNIQ_KEY: `key-${body}` }), ...fields }, body);
    expect(answer.code).toBe(ResponseCode.SUCCESS);
  }
}

export function popFields(fields: Fields = {}): Fields {
  return {
    consumerGroup: GROUP,
    topic: TOPIC,
    queueId: -1,
    maxMsgNums: 32,
    invisibleTime: INVISIBLE_MS,
    pollTime: 0,
    bornTime: 0,
    initMode: 0,
    expType: "TAG",
    exp: "*",
    order: false,
    ...fields,
  };
}

export function pop(client: RemotingClient, fields: Fields = {}): Promise<RemoteAnswer> {
  return client.call(RequestCode.POP_MESSAGE, popFields(fields), undefined, ANSWER_MS);
}

/** Nothing when there was nothing. */
export async function popped(client: RemotingClient, fields: Fields = {}): Promise<Popped[]> {
  return poppedOf(await pop(client, fields), fields);
}

export function poppedOf(answer: RemoteAnswer, fields: Fields = {}): Popped[] {
  if (answer.code !== ResponseCode.SUCCESS) {
    expect(answer.code).toBe(ResponseCode.POLLING_TIMEOUT);
    return [];
  }
  const group = String(fields.consumerGroup ?? GROUP);
  const topic = String(fields.topic ?? TOPIC);
  const starts = listed(answer.fields.startOffsetInfo!);
  const { popTime, invisibleTime, reviveQid } = answer.fields;
  return decodeRecords(answer.body).map((message) => {
    const made = `${starts.get(`0 ${message.queueId}`)} ${popTime} ${invisibleTime} ${reviveQid} 0 ${BROKER} ${message.queueId} ${message.queueOffset}`;
    const handle = message.properties.get("POP_CK") ?? made;
    const mark = handle.split(" ")[4];
    const real = mark === "1" ? `%RETRY%${group}_${topic}` : mark === "2" ? `%RETRY%${group}+${topic}` : topic;
    const { queueId, queueOffset } = message;
    return { body: message.body.toString(), message, handle, topic: real, queueId, queueOffset };
  });
}

/** By mark and queue, as in `0 3`. */
function listed(text: string): Map<string, string> {
  return new Map(
    text.split(";").map((piece) => {
      const [mark, queueId, value] = piece.split(" ");
      return [`${mark} ${queueId}`, value!];
    }),
  );
}

function handleFields({ handle, topic, queueId, queueOffset }: Popped, fields: Fields): Fields {
  return { consumerGroup: GROUP, topic, queueId, extraInfo: handle, offset: queueOffset, ...fields };
}

export function ack(client: RemotingClient, message: Popped, fields: Fields = {}): Promise<RemoteAnswer> {
  return client.call(RequestCode.ACK_MESSAGE, handleFields(message, fields), undefined, ANSWER_MS);
}

export async function acked(client: RemotingClient, ...messages: readonly Popped[]): Promise<void> {
  for (const message of messages) expect((await ack(client, message)).code).toBe(ResponseCode.SUCCESS);
}

export function changeInvisibleTime(
  client: RemotingClient,
  message: Popped,
  invisibleTime: number,
  fields: Fields = {},
): Promise<RemoteAnswer> {
  const all = { ...handleFields(message, fields), invisibleTime, ...fields };
  return client.call(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, all, undefined, ANSWER_MS);
}

/** The message under its new handle. */
export async function extended(client: RemotingClient, message: Popped, invisibleTime: number): Promise<Popped> {
  const answer = await changeInvisibleTime(client, message, invisibleTime);
  expect(answer.code).toBe(ResponseCode.SUCCESS);
  const parts = message.handle.split(" ");
  parts.splice(1, 3, answer.fields.popTime!, answer.fields.invisibleTime!, answer.fields.reviveQid!);
  return { ...message, handle: parts.join(" ") };
}

/** As clients put them together: one entry for the messages of one pop and queue. */
export function batchAck(
  client: RemotingClient,
  messages: readonly Popped[],
  fields: Fields = {},
): Promise<RemoteAnswer> {
  const entries = new Map<string, { handle: string[]; bits: Buffer; topic: string }>();
  for (const { handle, queueOffset } of messages) {
    const parts = handle.split(" ");
    const key = [parts[4], parts[6], parts[0], parts[1]].join("@");
    const entry = entries.get(key) ?? { handle: parts, bits: Buffer.alloc(16), topic: TOPIC };
    const bit = queueOffset - Number(parts[0]);
    entry.bits[bit >> 3]! |= 1 << (bit & 7);
    entries.set(key, entry);
  }
  const acks = [...entries.values()].map(({ handle, bits, topic }) => ({
    b: bits.toString("base64"),
    c: GROUP,
    it: Number(handle[2]),
    pt: Number(handle[1]),
    q: Number(handle[6]),
    r: handle[4],
    rq: Number(handle[3]),
    so: Number(handle[0]),
    t: topic,
    ...fields,
  }));
  const body = Buffer.from(JSON.stringify({ acks, brokerName: BROKER }));
  return client.call(RequestCode.BATCH_ACK_MESSAGE, {}, body, ANSWER_MS);
}

export function notification(client: RemotingClient, fields: Fields = {}): Promise<RemoteAnswer> {
  const asked = { consumerGroup: GROUP, topic: TOPIC, queueId: -1, pollTime: 0, bornTime: 0, order: false, ...fields };
  return client.call(RequestCode.NOTIFICATION, asked, undefined, ANSWER_MS);
}

export function bodies(messages: readonly Popped[]): string[] {
  return messages.map(({ body }) => body);
}

export function committed({ broker }: StartedBroker, topic = TOPIC, queueId = 0): number {
  return broker.context.offsets.queryOffset(GROUP, topic, queueId);
}
