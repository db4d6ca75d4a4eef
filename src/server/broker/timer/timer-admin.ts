/** What operators do with messages that wait: see which there are, and take one back. */
import type { MessageStore } from "../../../store/message-store.js";
import type { BrokerContext } from "../context.js";
import type { RecallMessage } from "./recall-message.js";
import { listTimers, type TimerListOptions, type WaitingMessage } from "./timer-list.js";
import type { TimerMessageStore } from "./timer-message-store.js";

/** Looks at messages that wait for their time, and takes them back. */
export class TimerAdmin {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #timers: TimerMessageStore;
  readonly #recall: RecallMessage;

  /** @internal */
  constructor(context: BrokerContext, store: MessageStore, timers: TimerMessageStore, recall: RecallMessage) {
    this.#context = context;
    this.#store = store;
    this.#timers = timers;
    this.#recall = recall;
  }

  /** The next messages that wait, 100 of them unless told otherwise. */
  list(options: Partial<TimerListOptions> = {}): WaitingMessage[] {
    return listTimers(this.#timers, { countMax: 100, nowMs: this.#context.clock.nowMs(), ...options });
  }

  /**
   * Takes back the message of `topic` with this unique key, whether `recallMessageEnable` lets producers do so or not.
   * False when none waits, or it is too late. What was put a moment ago may not be found yet.
   */
  cancel(topic: string, uniqueKey: string): boolean {
    this.#store.catchUp();
    return this.#recall.cancel(topic, uniqueKey);
  }
}
