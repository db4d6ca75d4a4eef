/**
 * The message of the store benchmark: message i of topic `TopicTest` goes to queue i % 8, with the properties a producer
 * and a broker give it, made anew for each.
 */
import { encodeHost } from "../../record/host.js";
import type { MessageStore } from "../../store/message-store.js";
import { type MessageInput, type PutResult, PutStatus, type QueueHandle } from "../../store/types.js";

export const TOPIC = "TopicTest";
export const QUEUE_COUNT = 8;

const SUFFIX =
  "\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002MSG_REGION\u0001DefaultRegion\u0002TRACE_ON\u0001true\u0002CLUSTER\u0001DefaultCluster\u0002";
const PROPERTIES_BYTES = 1024;

export class StoreMessages {
  readonly queues: readonly QueueHandle[];
  readonly result: PutResult = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
  count = 0;
  readonly #store: MessageStore;
  readonly #message: MessageInput;
  readonly #properties = Buffer.alloc(PROPERTIES_BYTES);

  constructor(store: MessageStore, bodyBytes: number, queueCount = QUEUE_COUNT) {
    this.#store = store;
    this.queues = Array.from({ length: queueCount }, (_, i) =>
      queueCount === QUEUE_COUNT
        ? store.queue(TOPIC, i)
        : store.queue(`${TOPIC}${Math.floor(i / QUEUE_COUNT)}`, i % QUEUE_COUNT),
    );
    const body = Buffer.alloc(bodyBytes);
    for (let k = 0; k < bodyBytes; k++) body[k] = 97 + ((k * 7 + Math.floor(k / 26)) % 26);
    const host = encodeHost("127.0.0.1", 10911)!;
    this.#message = {
      queue: this.queues[0]!,
      flag: 0,
      sysFlag: 0,
      bornTimestamp: 0,
      bornHost: host,
      storeHost: host,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body,
      bodyStart: 0,
      bodyLength: bodyBytes,
      properties: this.#properties,
      propertiesStart: 0,
      propertiesLength: 0,
    };
  }

  /** Puts the next message; false when the store did not take it. */
  put(nowMs: number): boolean {
    const i = this.count++;
    const message = this.#message;
    message.queue = this.queues[i % this.queues.length]!;
    message.bornTimestamp = nowMs;
    const number = i.toString(16).toUpperCase().padStart(16, "0");
    const text = `KEYS\u0001k${i}\u0002UNIQ_KEY\u00017F0000010PERFBENC${number}${SUFFIX}`;
    message.propertiesLength = this.#properties.write(text, 0, "latin1");
    return this.#store.put(message, this.result) === PutStatus.PUT_OK;
  }
}
