/** Messages as consumers get them: decoded, their bodies decompressed. */
import { CometError } from "../base/errors.js";
import { decodeRecords, type MessageExt } from "../record/decode.js";
import { decompressBody } from "../record/compression.js";
import { MessageBatchCursor } from "../record/message-batch.js";
import { decodeProperties } from "../record/properties.js";
import { PropertyName } from "../record/property-names.js";
import { INNER_BATCH_FLAG, isCompressed, NEED_UNWRAP_FLAG } from "../record/sys-flag.js";
import type { MessageQueue } from "./message-queue.js";
import { withoutNamespace } from "./namespace.js";

/** No body becomes larger than this by decompression. */
const BODY_BYTES_MAX = 256 * 1024 * 1024;

/** A message that a consumer received. */
export interface ReceivedMessage {
  /** As its sender knows it, without its namespace, also where it came by way of a retry topic. */
  readonly topic: string;
  /** Where it lies: whole topic (a retry topic perhaps), broker, queue id. */
  readonly queue: MessageQueue;
  readonly queueOffset: number;
  /** The unique id its producer gave it; the offset message id where it gave none. */
  readonly messageId: string;
  /** Says where the message lies in its broker's log. */
  readonly offsetMessageId: string;
  /** Decompressed; as it was sent where that cannot be done. */
  readonly body: Buffer;
  readonly tags: string | undefined;
  readonly keys: readonly string[];
  readonly orderKey: string | undefined;
  /** How often it was delivered before. */
  readonly reconsumeTimes: number;
  /** By the producer's clock, milliseconds since 1970. */
  readonly bornTimestamp: number;
  /** `address:port` of the producer. */
  readonly bornHost: string;
  /** By the broker's clock, milliseconds since 1970. */
  readonly storeTimestamp: number;
  readonly storeHost: string;
  /** An int32 that is the application's own. */
  readonly flag: number;
  readonly sysFlag: number;
  /** The record's place in the broker's log, in bytes. */
  readonly phyOffset: number;
  readonly storeSizeBytes: number;
  readonly preparedTransactionOffset: number;
  /** All of them, those of client and broker included. */
  readonly properties: ReadonlyMap<string, string>;
  /** The body as UTF-8. */
  text(): string;
  /** The body as JSON; throws SyntaxError when it is none. */
  json<T = unknown>(): T;
}

/** Whom messages came from, and for whom. */
export interface ReceivedFrom {
  readonly brokerName: string;
  readonly namespace: string | undefined;
}

class Received implements ReceivedMessage {
  readonly topic: string;
  readonly queue: MessageQueue;
  readonly queueOffset: number;
  readonly body: Buffer;
  readonly properties: ReadonlyMap<string, string>;
  readonly flag: number;
  /** Grows with attempts that the broker does not hear of: those of ordered consumption. */
  reconsumeTimes: number;
  readonly #record: MessageExt;

  constructor(
    record: MessageExt,
    { brokerName, namespace }: ReceivedFrom,
    body: Buffer,
    inner?: Partial<InnerMessage>,
  ) {
    this.#record = record;
    this.reconsumeTimes = record.reconsumeTimes;
    this.body = body;
    this.properties = inner?.properties ?? record.properties;
    this.flag = inner?.flag ?? record.flag;
    this.queueOffset = record.queueOffset + (inner?.index ?? 0);
    this.topic = withoutNamespace(namespace, this.properties.get(PropertyName.RETRY_TOPIC) ?? record.topic);
    this.queue = { topic: record.topic, brokerName, queueId: record.queueId };
  }

  get messageId(): string {
    return this.properties.get(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX) ?? this.#record.msgId;
  }

  get offsetMessageId(): string {
    return this.#record.msgId;
  }

  get tags(): string | undefined {
    return this.properties.get(PropertyName.TAGS);
  }

  get keys(): readonly string[] {
    const keys = this.properties.get(PropertyName.KEYS);
    return keys === undefined ? [] : keys.split(" ").filter((key) => key !== "");
  }

  get orderKey(): string | undefined {
    return this.properties.get(PropertyName.SHARDING_KEY);
  }

  get bornTimestamp(): number {
    return this.#record.bornTimestamp;
  }

  get bornHost(): string {
    return this.#record.bornHost;
  }

  get storeTimestamp(): number {
    return this.#record.storeTimestamp;
  }

  get storeHost(): string {
    return this.#record.storeHost;
  }

  get sysFlag(): number {
    return this.#record.sysFlag;
  }

  get phyOffset(): number {
    return this.#record.phyOffset;
  }

  get storeSizeBytes(): number {
    return this.#record.storeSize;
  }

  get preparedTransactionOffset(): number {
    return this.#record.preparedTransactionOffset;
  }

  text(): string {
    return this.body.toString("utf8");
  }

  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}

/** One more attempt of a message that stays with this consumer. */
export function countAttempt(message: ReceivedMessage): void {
  if (message instanceof Received) message.reconsumeTimes++;
}

/** How often it was delivered before, where only the answer of a pop tells. */
export function setAttempts(message: ReceivedMessage, times: number | undefined): void {
  if (message instanceof Received && times !== undefined) message.reconsumeTimes = times;
}

interface InnerMessage {
  readonly index: number;
  readonly flag: number;
  readonly properties: Map<string, string>;
}

/** The messages of records that follow one another, as in a pull's answer. */
export async function receivedMessages(bytes: Buffer, from: ReceivedFrom): Promise<ReceivedMessage[]> {
  const messages: ReceivedMessage[] = [];
  for (const record of decodeRecords(bytes)) messages.push(...(await receivedOf(record, from)));
  return messages;
}

/** What one record holds: a message, or several where a batch was kept as one record. */
export async function receivedOf(record: MessageExt, from: ReceivedFrom): Promise<ReceivedMessage[]> {
  const { sysFlag } = record;
  const body = isCompressed(sysFlag) ? await decompressed(record) : record.body;
  const wrapped = (sysFlag & NEED_UNWRAP_FLAG) !== 0 && (sysFlag & INNER_BATCH_FLAG) !== 0;
  return wrapped ? innerMessages(record, from, body) : [new Received(record, from, body)];
}

/** One that is not what its flag says stays as it was sent: it must not hold up all that lie behind it. */
async function decompressed({ body, sysFlag }: MessageExt): Promise<Buffer> {
  try {
    return await decompressBody(body, sysFlag, BODY_BYTES_MAX);
  } catch (error) {
    // A codec that is missing here may be there at the next try.
    if (!(error instanceof CometError) || error.code !== "COMETMQ_BAD_MESSAGE") throw error;
    return body;
  }
}

function innerMessages(record: MessageExt, from: ReceivedFrom, body: Buffer): ReceivedMessage[] {
  const cursor = new MessageBatchCursor();
  cursor.reset(new DataView(body.buffer, body.byteOffset, body.length), 0, body.length);
  const messages: ReceivedMessage[] = [];
  while (cursor.next()) {
    const { flag, bodyStart, bodyLength, propertiesStart, propertiesLength } = cursor;
    const properties = decodeProperties(body, propertiesStart, propertiesStart + propertiesLength);
    const inner = { index: messages.length, flag, properties };
    messages.push(new Received(record, from, body.subarray(bodyStart, bodyStart + bodyLength), inner));
  }
  return messages;
}
