/** Sends traces a batch at a time. It never gets in the way: what cannot be sent is dropped. */
import { PropertyName } from "../record/property-names.js";
import type { ClientInstance } from "./client-instance.js";
import { MessageSender, type SendReport } from "./message-sender.js";
import type { ProducerSettings } from "./sender-settings.js";
import { withoutNamespace } from "./namespace.js";
import { endTransactionTrace, publishedTrace, TRACE_TOPIC, type Traced, TraceMessageType } from "./trace.js";
import { Periodic } from "./waiting.js";

const FLUSH_INTERVAL_MS = 500;
const BATCH_MAX = 100;
/** Further ones are dropped. */
const WAITING_MAX = 8192;
const SEND_TIMEOUT_MS = 5000;
const GROUP_PREFIX = "_INNER_TRACE_PRODUCER-";

/** With a sender of its own, whose messages are not traced. */
export function traceDispatcherOf(instance: ClientInstance, settings: ProducerSettings): TraceDispatcher {
  const producerGroup = `${GROUP_PREFIX}${settings.producerGroup}`;
  const sender = new MessageSender(instance, { ...settings, producerGroup });
  return new TraceDispatcher(instance, sender, settings.traceTopic ?? TRACE_TOPIC);
}

export function traceOfSend(
  { message, result, bornTimestamp, costMs }: SendReport,
  instance: ClientInstance,
  group: string,
): Traced {
  const { properties, topic, uniqueId, body } = message;
  return publishedTrace({
    timestamp: bornTimestamp,
    regionId: result?.regionId ?? "DefaultRegion",
    group: withoutNamespace(instance.namespace, group),
    topic: withoutNamespace(instance.namespace, topic),
    messageId: uniqueId,
    tags: properties.get(PropertyName.TAGS) ?? "",
    keys: properties.get(PropertyName.KEYS) ?? "",
    storeHost: (result && instance.routes.addressOf(result.queue.brokerName)) ?? "",
    bodyLength: body.length,
    costMs,
    messageType: typeOf(properties),
    offsetMessageId: result?.offsetMessageId ?? "",
    success: result !== undefined,
  });
}

const STATES = { commit: "COMMIT_MESSAGE", rollback: "ROLLBACK_MESSAGE", unknown: "UNKNOW" } as const;

export interface EndedTransaction {
  readonly topic: string;
  readonly messageId: string;
  readonly transactionId: string | undefined;
  readonly properties: ReadonlyMap<string, string>;
  readonly address: string;
  readonly state: keyof typeof STATES;
  readonly fromTransactionCheck: boolean;
}

export function traceOfEnd(ended: EndedTransaction, instance: ClientInstance, group: string): Traced {
  const { topic, messageId, transactionId, properties, address, state, fromTransactionCheck } = ended;
  return endTransactionTrace({
    timestamp: instance.clock.nowMs(),
    regionId: properties.get(PropertyName.MSG_REGION) ?? "DefaultRegion",
    group: withoutNamespace(instance.namespace, group),
    topic: withoutNamespace(instance.namespace, topic),
    messageId,
    tags: properties.get(PropertyName.TAGS) ?? "",
    keys: properties.get(PropertyName.KEYS) ?? "",
    storeHost: address,
    transactionId: transactionId ?? "",
    state: STATES[state],
    fromTransactionCheck,
  });
}

function typeOf(properties: ReadonlyMap<string, string>): number {
  if (properties.has(PropertyName.TRANSACTION_PREPARED)) return TraceMessageType.TRANSACTION;
  const { DELAY_TIME_LEVEL, TIMER_DELAY_MS, TIMER_DELIVER_MS, SHARDING_KEY } = PropertyName;
  if ([DELAY_TIME_LEVEL, TIMER_DELAY_MS, TIMER_DELIVER_MS].some((name) => properties.has(name)))
    return TraceMessageType.DELAY;
  return properties.has(SHARDING_KEY) ? TraceMessageType.ORDER : TraceMessageType.NORMAL;
}

export class TraceDispatcher {
  readonly #instance: ClientInstance;
  readonly #sender: MessageSender;
  readonly #topic: string;
  readonly #timer: Periodic;
  #waiting: Traced[] = [];

  constructor(instance: ClientInstance, sender: MessageSender, topic: string) {
    this.#instance = instance;
    this.#sender = sender;
    this.#topic = topic;
    this.#timer = new Periodic(instance.clock, FLUSH_INTERVAL_MS, () => this.#flush());
  }

  add(trace: Traced): void {
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push(trace);
  }

  /** Sends what waits. Never rejects. */
  async close(): Promise<void> {
    this.#timer.stop();
    await this.#flush();
    await this.#sender.close();
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const some = this.#waiting.splice(0, BATCH_MAX);
      const message = {
        topic: this.#topic,
        body: some.map(({ text }) => text).join(""),
        keys: [...new Set(some.flatMap(({ keys }) => keys))],
      };
      try {
        await this.#sender.send(message, this.#sender.outgoing(message), { timeoutMs: SEND_TIMEOUT_MS });
      } catch (error) {
        this.#instance.settings.log.debug({ err: error, count: some.length }, "traces were dropped");
        return;
      }
    }
  }
}
