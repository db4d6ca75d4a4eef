/** Locks of queues at their brokers, so that one consumer of a group reads a queue in order (LOCK_BATCH_MQ, UNLOCK_BATCH_MQ). */
import { RequestCode } from "../remoting/codes.js";
import { integerIn, listIn, parseFastjson, textIn, toFastjson } from "../remoting/fastjson.js";
import type { ClientInstance } from "./client-instance.js";
import { expectSuccessFrom } from "./errors.js";
import { type MessageQueue, queueKey } from "./message-queue.js";

export class QueueLocks {
  readonly #instance: ClientInstance;
  readonly #consumerGroup: string;

  constructor(instance: ClientInstance, consumerGroup: string) {
    this.#instance = instance;
    this.#consumerGroup = consumerGroup;
  }

  /** By key, whether the queue is locked now; those of brokers that did not answer are missing. Never rejects. */
  async lock(queues: readonly MessageQueue[]): Promise<Map<string, boolean>> {
    const locked = new Map<string, boolean>();
    await this.#forEachBroker(RequestCode.LOCK_BATCH_MQ, queues, (body, asked) => {
      for (const queue of asked) locked.set(queueKey(queue), false);
      for (const value of listIn(parseFastjson(body), "lockOKMQSet") ?? []) {
        const [topic, brokerName] = [textIn(value, "topic"), textIn(value, "brokerName")];
        const queueId = integerIn(value, "queueId");
        if (topic !== undefined && brokerName !== undefined && queueId !== undefined) {
          const key = queueKey({ topic, brokerName, queueId });
          if (locked.has(key)) locked.set(key, true);
        }
      }
    });
    return locked;
  }

  /** Never rejects: a lock ends by itself after a minute. */
  async unlock(queues: readonly MessageQueue[]): Promise<void> {
    await this.#forEachBroker(RequestCode.UNLOCK_BATCH_MQ, queues, () => {});
  }

  async #forEachBroker(
    code: number,
    queues: readonly MessageQueue[],
    done: (body: Buffer, asked: readonly MessageQueue[]) => void,
  ): Promise<void> {
    const byBroker = new Map<string, MessageQueue[]>();
    for (const queue of queues) byBroker.set(queue.brokerName, [...(byBroker.get(queue.brokerName) ?? []), queue]);
    const calls = [...byBroker].map(async ([brokerName, own]) => {
      try {
        const mqSet = own.map(({ topic, queueId }) => ({ brokerName, queueId, topic }));
        const { clientId, settings } = this.#instance;
        const body = toFastjson({ clientId, consumerGroup: this.#consumerGroup, mqSet, onlyThisBroker: false });
        const address = this.#instance.masterOf(brokerName);
        const answer = await this.#instance.callAddress(address, code, {}, Buffer.from(body), {
          timeoutMs: settings.requestTimeoutMs,
        });
        done(expectSuccessFrom(address, answer).body, own);
      } catch (error) {
        this.#instance.settings.log.warn({ err: error, brokerName }, "queues could not be locked or unlocked");
      }
    });
    await Promise.all(calls);
  }
}
