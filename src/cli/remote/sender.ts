/** Messages to queues: in turn, by a key that keeps its order, or to one. Many are under way at a time, in their order. */

import { randomInt } from "node:crypto";
import { systemClock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { javaHash } from "../../base/java-hash.js";
import { formatProperties } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { type Cluster, type QueueEntry, refusedBy } from "./cluster.js";
import { uniqueKey } from "./unique-key.js";

const PRODUCER_GROUP = "TOOLS_PRODUCER";

export interface OutgoingMessage {
  readonly body: Buffer;
  readonly properties: Readonly<Record<string, string>>;
  /** Messages of one key go to one queue. */
  readonly orderKey?: string | undefined;
  readonly queueId?: number | undefined;
}

export interface SentMessage {
  readonly topic: string;
  readonly msgId: string;
  readonly offsetMsgId: string;
  readonly brokerName: string;
  readonly queueId: number;
  readonly queueOffset: number;
  /** Of a message that waits for its time: takes it back. */
  readonly recallHandle?: string;
}

export interface SenderOptions {
  /** Of a topic that does not exist yet and that brokers make by themselves. */
  readonly queuesOfNew?: readonly QueueEntry[] | undefined;
  /** The queue at which the turn of those without key and queue begins; by default any. */
  readonly firstQueue?: number | undefined;
}

export class Sender {
  readonly #cluster: Cluster;
  readonly #topic: string;
  readonly #queues: readonly QueueEntry[];
  #turn: number;

  private constructor(cluster: Cluster, topic: string, queues: readonly QueueEntry[], firstQueue: number | undefined) {
    this.#cluster = cluster;
    this.#topic = topic;
    this.#queues = queues;
    // Where a process sends one message only, the next one's is not to go to the same queue every time.
    this.#turn = firstQueue === undefined ? randomInt(queues.length) : queues.indexOf(this.#queueOf(firstQueue));
  }

  /** Rejects with COMETMQ_NOT_FOUND where the topic has no queue to write to, or not `firstQueue`. */
  static async open(cluster: Cluster, topic: string, { queuesOfNew, firstQueue }: SenderOptions = {}): Promise<Sender> {
    const isNew = queuesOfNew !== undefined && (await cluster.findRoute(topic)) === undefined;
    return new Sender(cluster, topic, isNew ? queuesOfNew : await cluster.writeQueues(topic), firstQueue);
  }

  async send(message: OutgoingMessage): Promise<SentMessage> {
    const { address, brokerName, queueId } = this.#queueFor(message);
    const msgId = uniqueKey();
    const properties = {
      [PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX]: msgId,
      [PropertyName.WAIT_STORE_MSG_OK]: "true",
      ...message.properties,
    };
    const fields = {
      a: PRODUCER_GROUP,
      b: this.#topic,
      c: "TBW102",
      d: 4,
      e: queueId,
      f: 0,
      g: systemClock.nowMs(),
      h: 0,
      i: formatProperties(Object.entries(properties)),
      j: 0,
      k: false,
      m: false,
    };
    const answer = await this.#cluster.call(address, RequestCode.SEND_MESSAGE_V2, fields, message.body);
    // The message is there then, though not on so many disks as was wished.
    const isStored =
      answer.code === ResponseCode.SUCCESS ||
      answer.code === ResponseCode.FLUSH_DISK_TIMEOUT ||
      answer.code === ResponseCode.SLAVE_NOT_AVAILABLE ||
      answer.code === ResponseCode.FLUSH_SLAVE_TIMEOUT;
    if (!isStored) throw refusedBy(address, answer);
    const { msgId: offsetMsgId = "", queueOffset, recallHandle } = answer.fields;
    const place = { topic: this.#topic, msgId, offsetMsgId, brokerName, queueId, queueOffset: Number(queueOffset) };
    return recallHandle === undefined ? place : { ...place, recallHandle };
  }

  #queueFor({ orderKey, queueId }: OutgoingMessage): QueueEntry {
    if (queueId !== undefined) return this.#queueOf(queueId);
    const index = orderKey === undefined ? this.#turn++ : Math.abs(javaHash(orderKey));
    return this.#queues[index % this.#queues.length]!;
  }

  #queueOf(queueId: number): QueueEntry {
    const queue = this.#queues.find((entry) => entry.queueId === queueId);
    if (queue !== undefined) return queue;
    throw new CometError("COMETMQ_NOT_FOUND", `${this.#topic} has no queue ${queueId} to write to.`);
  }
}
