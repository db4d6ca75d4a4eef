/** Transactions on a broker whose store is in memory and whose clock the test moves. */
import { decodeRecord, type MessageExt } from "#src/record/decode.js";
import { parseMessageId } from "#src/record/message-id.js";
import { encodeProperties } from "#src/record/properties.js";
import { RequestCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { emptyMessage, emptyPutResult } from "#src/server/broker/message-copy.js";
import { PutStatus } from "#src/store/types.js";
import { type Answered, FakeConnection } from "./harness.js";
import { StoreBroker, type StoreBrokerOptions } from "./store-broker.js";

export const HALF = "RMQ_SYS_TRANS_HALF_TOPIC";
export const OP = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
export const GIVEN_UP = "TRANS_CHECK_MAX_TIME_TOPIC";
export const COMMIT = 8;
export const ROLLBACK = 12;
export const UNKNOWN = 0;
export const CHECK_INTERVAL_MS = 30_000;

/** With everything running that transactions need. */
export async function openBroker(options: StoreBrokerOptions = {}): Promise<StoreBroker> {
  const broker = await StoreBroker.open(options);
  broker.schedule.start();
  broker.transactions.start();
  return broker;
}

/** Everything that consumers of T can see. */
export function delivered(broker: StoreBroker): string[] {
  return [0, 1, 2, 3].flatMap((queueId) => broker.bodies("T", queueId));
}

/** What a producer keeps of a half message, to end it with. */
export interface Half {
  readonly commitLogOffset: number;
  readonly tranStateTableOffset: number;
}

/** A question of the broker's: code 39. */
export interface Question extends Half {
  readonly fields: Fields;
  readonly message: MessageExt;
}

/** Sends a half message of group P to topic T. */
export function sendHalf(
  broker: StoreBroker,
  body = "body",
  properties: Record<string, string> = {},
  fields: Fields = {},
): Half {
  const bornTimestamp = broker.clock.nowMs();
  const given = { TRAN_MSG: "true", PGROUP: "P", ...properties };
  const answer = broker.send(given, { bornTimestamp, sysFlag: 4, ...fields }, body);
  if (answer.code !== 0) throw new Error(`code ${answer.code}: ${answer.remark}`);
  return halfOf(answer);
}

export function halfOf({ fields }: Answered): Half {
  return {
    commitLogOffset: parseMessageId(fields["msgId"]!)!.phyOffset,
    tranStateTableOffset: Number(fields["queueOffset"]),
  };
}

export function end(broker: StoreBroker, half: Half, commitOrRollback: number, fields: Fields = {}): Answered {
  const { commitLogOffset, tranStateTableOffset } = half;
  return broker.broker.ask(RequestCode.END_TRANSACTION, {
    producerGroup: "P",
    commitLogOffset,
    tranStateTableOffset,
    commitOrRollback,
    fromTransactionCheck: false,
    msgId: "M",
    transactionId: "M",
    ...fields,
  });
}

/** Answers a question. */
export function answer(broker: StoreBroker, question: Half, commitOrRollback: number): Answered {
  return end(broker, question, commitOrRollback, { fromTransactionCheck: true });
}

/** A producer of `group`, as its heartbeat makes it known. */
export function joinProducer(broker: StoreBroker, group = "P"): FakeConnection {
  const connection = new FakeConnection();
  broker.broker.context.producers.register(group, { connection, clientId: "C", language: 0, version: 0 });
  return connection;
}

/** What the producer was asked since the last call. */
export function questionsTo(connection: FakeConnection): Question[] {
  const bodies = connection.pushedBodies.splice(0);
  return connection.pushed.splice(0).map(([code, fields], i) => {
    if (code !== RequestCode.CHECK_TRANSACTION_STATE) throw new Error(`code ${code} was pushed`);
    return {
      fields,
      commitLogOffset: Number(fields["commitLogOffset"]),
      tranStateTableOffset: Number(fields["tranStateTableOffset"]),
      message: decodeRecord(bodies[i]!),
    };
  });
}

/** Has the broker look for what nobody has ended, and waits until it has. */
export async function nextCheck(broker: StoreBroker, ms = CHECK_INTERVAL_MS): Promise<void> {
  await broker.advance(ms);
  // A walk goes in turns, each a timer of its own, and saves its offsets when the disk has all.
  for (let i = 0; i < 3; i++) await broker.advance(0);
}

/** How far the group of the transactions is in the half queue and in the op queue. */
export function progress(broker: StoreBroker): [half: number, op: number] {
  const { offsets } = broker.broker.context;
  const group = "CID_RMQ_SYS_TRANS";
  return [offsets.queryOffset(group, HALF, 0), offsets.queryOffset(group, OP, 0)];
}

/** A record as another broker may have left one. */
export function putForeign(broker: StoreBroker, topic: string, properties: Record<string, string>, body: Buffer): Half {
  const bytes = encodeProperties(Object.entries(properties));
  const host = Buffer.from([127, 0, 0, 1, 0, 0, 0, 9]);
  const result = emptyPutResult();
  const message = {
    ...emptyMessage(),
    queue: broker.store.queue(topic, 0),
    bornTimestamp: broker.clock.nowMs(),
    bornHost: host,
    storeHost: host,
    body,
    bodyLength: body.length,
    properties: bytes,
    propertiesLength: bytes.length,
  };
  if (broker.store.put(message, result) !== PutStatus.PUT_OK) throw new Error("not put");
  return { commitLogOffset: result.phyOffset, tranStateTableOffset: result.queueOffset };
}

/** A half message as another broker may have left one. */
export function putHalf(broker: StoreBroker, properties: Record<string, string>): Half {
  return putForeign(broker, HALF, properties, Buffer.from("foreign"));
}
