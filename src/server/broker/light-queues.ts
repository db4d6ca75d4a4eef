/**
 * Messages for light queues that this broker did not take itself: a timer, a delayed message or half of a transaction that
 * another broker's store held may name them (INNER_MULTI_DISPATCH). Where it is delivered Apache's broker, if enableLmq is
 * set, enters it into those queues too (store/LmqDispatch). Here it reaches its own topic, and whoever reads the light queues
 * does not get it: that is said and counted.
 */
import type { BrokerContext } from "./context.js";
import { isRetryTopic } from "./names.js";

const TOLD_EVERY_MS = 60_000;
const NAMES_CHARS_MAX = 256;
/** MixAll#topicAllowsLMQ: messages of such topics are for no light queue. */
const EXCEPTED_PREFIX = "rmq_sys_";

export class LightQueueNotice {
  readonly #context: BrokerContext;
  #toldMs = Number.NEGATIVE_INFINITY;
  #untold = 0;

  constructor(context: BrokerContext) {
    this.#context = context;
  }

  /** A message that names `lightQueues` was delivered to `topic`, and lies at `phyOffset`. */
  missed(lightQueues: string, topic: string, phyOffset: number): void {
    if (isRetryTopic(topic) || topic.startsWith(EXCEPTED_PREFIX)) return;
    const { log, stats, clock } = this.#context;
    stats.lightQueueMessagesMissed++;
    this.#untold++;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#toldMs < TOLD_EVERY_MS) return;
    const fields = { topic, lightQueues: lightQueues.slice(0, NAMES_CHARS_MAX), phyOffset, count: this.#untold };
    log.warn(fields, "a message that names light message queues was delivered to its topic, but not to them");
    this.#toldMs = nowMs;
    this.#untold = 0;
  }
}
