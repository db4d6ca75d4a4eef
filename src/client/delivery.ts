/**
 * Brings pulled messages to the handler: several at a time and in any order, or one after the other for each queue
 * (client/impl/consumer/ConsumeMessageConcurrentlyService.java, ConsumeMessageOrderlyService.java).
 */
import { type MessageQueue, queueKey } from "./message-queue.js";
import type { OffsetStore } from "./offset-store.js";
import type { ProcessQueue } from "./process-queue.js";
import { countAttempt, type ReceivedMessage } from "./received-message.js";
import { type HandlerSettings, type Outcome, runHandler } from "./run-handler.js";
import { Bell, pause } from "./waiting.js";

/** Messages that could not be sent back are tried here again after so long. */
const LOCAL_RETRY_MS = 5000;

export interface DeliverySettings extends HandlerSettings {
  readonly offsets: OffsetStore;
  readonly concurrency: number;
  readonly batchSizeMax: number;
  readonly broadcasting: boolean;
  /** Of ordered messages; undefined for no end. */
  readonly maxReconsumeTimes: number | undefined;
  readonly suspendMs: number;
  /** Gives a message back to its broker; rejects when that failed. */
  readonly sendBack: (message: ReceivedMessage, delayLevel: number) => Promise<void>;
  /** Told before a batch, and by what it returns afterwards. */
  readonly observe:
    | ((messages: readonly ReceivedMessage[]) => (outcome: Outcome, elapsedMs: number) => void)
    | undefined;
}

export interface Delivery {
  /** A queue begins. */
  begin(processQueue: ProcessQueue): void;
  /** Messages that `processQueue` has already. */
  submit(processQueue: ProcessQueue, messages: readonly ReceivedMessage[]): void;
  /** In order: resolves when the queue, which was dropped, has no handler at work any more. */
  left(queue: MessageQueue): Promise<void>;
  /** Begins no further handler; resolves when those at work are done, or after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
}

abstract class Handlers {
  protected readonly settings: DeliverySettings;
  protected stopped = false;
  protected running = 0;
  readonly #done = new Bell();

  constructor(settings: DeliverySettings) {
    this.settings = settings;
  }

  async drain(timeoutMs: number): Promise<void> {
    this.stopped = true;
    const { clock } = this.settings;
    const deadline = clock.monotonicMs() + timeoutMs;
    while (this.running > 0) {
      const leftMs = deadline - clock.monotonicMs();
      if (leftMs <= 0) return;
      await this.#done.wait(clock, leftMs);
    }
  }

  protected async handle(processQueue: ProcessQueue, messages: readonly ReceivedMessage[]): Promise<Outcome> {
    const { clock, observe } = this.settings;
    const begun = clock.monotonicMs();
    const observed = observe?.(messages);
    const outcome = await runHandler(this.settings, processQueue, messages);
    observed?.(outcome, clock.monotonicMs() - begun);
    return outcome;
  }

  protected finished(): void {
    this.running--;
    this.#done.ring();
  }

  /** What is consumed leaves the queue; how far that brings it is what the next save says. */
  protected commit(processQueue: ProcessQueue, messages: readonly ReceivedMessage[]): void {
    processQueue.remove(messages);
    const offset = processQueue.consumedOffset;
    if (!processQueue.dropped && offset !== undefined) this.settings.offsets.update(processQueue.queue, offset);
  }
}

interface Task {
  readonly processQueue: ProcessQueue;
  readonly messages: readonly ReceivedMessage[];
}

export class ConcurrentDelivery extends Handlers implements Delivery {
  #tasks: Task[] = [];
  #next = 0;

  begin(): void {}

  async left(): Promise<void> {}

  submit(processQueue: ProcessQueue, messages: readonly ReceivedMessage[]): void {
    const { batchSizeMax } = this.settings;
    for (let i = 0; i < messages.length; i += batchSizeMax) {
      this.#tasks.push({ processQueue, messages: messages.slice(i, i + batchSizeMax) });
    }
    this.#pump();
  }

  #pump(): void {
    while (!this.stopped && this.running < this.settings.concurrency && this.#next < this.#tasks.length) {
      const task = this.#tasks[this.#next++]!;
      if (task.processQueue.dropped) continue;
      this.running++;
      void this.#run(task);
    }
    if (this.#next === this.#tasks.length || this.#next > 1024) {
      this.#tasks = this.#tasks.slice(this.#next);
      this.#next = 0;
    }
  }

  async #run({ processQueue, messages }: Task): Promise<void> {
    try {
      const outcome = await this.handle(processQueue, messages);
      const left = outcome.consumed ? [] : await this.#giveBack(processQueue, messages, outcome.delayLevel);
      this.commit(processQueue, left.length === 0 ? messages : messages.filter((message) => !left.includes(message)));
    } finally {
      this.finished();
      this.#pump();
    }
  }

  /** Those that the broker did not take back: they stay, and are tried here again. */
  async #giveBack(processQueue: ProcessQueue, messages: readonly ReceivedMessage[], delayLevel: number) {
    const { broadcasting, sendBack, log, clock } = this.settings;
    // Broadcasting has no second attempt.
    if (broadcasting || processQueue.dropped) return [];
    const left: ReceivedMessage[] = [];
    for (const message of messages) {
      try {
        await sendBack(message, delayLevel);
      } catch (error) {
        log.warn(
          { err: error, messageId: message.messageId },
          "a message could not be sent back; it is tried here again",
        );
        countAttempt(message);
        left.push(message);
      }
    }
    if (left.length > 0) {
      clock.schedule(LOCAL_RETRY_MS, () => {
        if (!processQueue.dropped) this.submit(processQueue, left);
      });
    }
    return left;
  }
}

export class OrderlyDelivery extends Handlers implements Delivery {
  /** By queue: a queue that was reset, or comes back, waits for the handler that it had before. */
  readonly #loops = new Map<string, Promise<void>>();

  begin(processQueue: ProcessQueue): void {
    const key = queueKey(processQueue.queue);
    const before = this.#loops.get(key);
    const follow = () => this.#follow(processQueue);
    const loop = (before === undefined ? follow() : before.then(follow)).finally(() => {
      if (this.#loops.get(key) === loop) this.#loops.delete(key);
    });
    this.#loops.set(key, loop);
  }

  async left(queue: MessageQueue): Promise<void> {
    await this.#loops.get(queueKey(queue));
  }

  /** The queue's own loop takes them. */
  submit(): void {}

  async #follow(processQueue: ProcessQueue): Promise<void> {
    const { clock, batchSizeMax, broadcasting } = this.settings;
    while (!processQueue.dropped && !this.stopped) {
      if (processQueue.count === 0 || !(broadcasting || processQueue.locked)) {
        await processQueue.changed.wait(clock, 1000, processQueue.signal);
        continue;
      }
      const messages = processQueue.head(batchSizeMax);
      this.running++;
      let done: boolean;
      try {
        const outcome = await this.handle(processQueue, messages);
        done = outcome.consumed || (await this.#givenUp(messages));
        if (done) this.commit(processQueue, messages);
      } finally {
        this.finished();
      }
      if (!done) await pause(clock, this.settings.suspendMs, processQueue.signal);
    }
  }

  /** Whether all of them have had their attempts and are dead letters now. */
  async #givenUp(messages: readonly ReceivedMessage[]): Promise<boolean> {
    const { maxReconsumeTimes, broadcasting, sendBack, log } = this.settings;
    const hopeless = maxReconsumeTimes !== undefined && messages.every((m) => m.reconsumeTimes >= maxReconsumeTimes);
    for (const message of messages) countAttempt(message);
    if (!hopeless || broadcasting) return false;
    try {
      for (const message of messages) await sendBack(message, -1);
      return true;
    } catch (error) {
      log.warn({ err: error, messageId: messages[0]!.messageId }, "a dead letter could not be sent; it is tried again");
      return false;
    }
  }
}
