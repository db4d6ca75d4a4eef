/**
 * The message of the store benchmark: message i of topic `TopicTest` goes to queue i % 8, with the properties a producer
 * and a broker give it, made anew for each.
 */
import { encodeHost } from "../../record/host.js";
import type { MessageStore } from "../../store/message-store.js";
import { type MessageInput, type PutResult, PutStatus, type QueueHandle } from "../../store/types.js";

export const TOPIC = "TopicTest";
export const QUEUE_COUNT = 8;

const BEFORE_KEY = "KEYS\u0001k";
const BEFORE_UNIQUE = "\u0002UNIQ_KEY\u00017F000001PERFBENC";
const AFTER_UNIQUE =
  "\u0002WAIT\u0001true\u0002TAGS\u0001TagA\u0002MSG_REGION\u0001DefaultRegion\u0002TRACE_ON\u0001true\u0002CLUSTER\u0001DefaultCluster\u0002";
const HEX_DIGITS = 16;
const HEX = Buffer.from("0123456789ABCDEF");
const ZERO = 0x30;
const PROPERTIES_BYTES = 1024;

export class StoreMessages {
  readonly queues: readonly QueueHandle[];
  readonly result: PutResult = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
  count = 0;
  readonly #store: MessageStore;
  readonly #message: MessageInput;
  readonly #properties = Buffer.alloc(PROPERTIES_BYTES);
  /** The properties without their numbers, for keys of so many digits. */
  #template = templateFor(1);
  #keyDigits = 1;
  #moreDigitsFrom = 10;

  constructor(
    store: MessageStore,
    bodyBytes: number,
    queueCount = QUEUE_COUNT,
    topics: "one topic" | "many topics" = queueCount === QUEUE_COUNT ? "one topic" : "many topics",
  ) {
    this.#store = store;
    this.queues = Array.from({ length: queueCount }, (_, i) =>
      topics === "one topic"
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
    this.#writeProperties(i);
    return this.#store.put(message, this.result) === PutStatus.PUT_OK;
  }

  /** KEYS, UNIQ_KEY and the rest for message `i`, as bytes: strings would take more time than the store. */
  #writeProperties(i: number): void {
    if (i >= this.#moreDigitsFrom) {
      this.#keyDigits++;
      this.#moreDigitsFrom *= 10;
      this.#template = templateFor(this.#keyDigits);
    }
    const bytes = this.#properties;
    bytes.set(this.#template);
    const keyStart = BEFORE_KEY.length;
    let rest = i;
    for (let at = keyStart + this.#keyDigits - 1; at >= keyStart; at--) {
      const tens = Math.floor(rest / 10);
      bytes[at] = ZERO + rest - 10 * tens;
      rest = tens;
    }
    let at = keyStart + this.#keyDigits + BEFORE_UNIQUE.length + HEX_DIGITS - 1;
    for (rest = i; rest > 0; rest = Math.floor(rest / 16)) bytes[at--] = HEX[rest % 16]!;
    this.#message.propertiesLength = this.#template.length;
  }
}

function templateFor(keyDigits: number): Buffer {
  const key = "0".repeat(keyDigits);
  return Buffer.from(`${BEFORE_KEY}${key}${BEFORE_UNIQUE}${"0".repeat(HEX_DIGITS)}${AFTER_UNIQUE}`, "latin1");
}
