/** Calls an application's handler so that nothing it does comes through: errors and time are answers. */
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import type { OwnCallbacks } from "./own-callbacks.js";
import type { ProcessQueue } from "./process-queue.js";
import type { BatchHandler, ConsumeContext } from "./push-options.js";
import type { ReceivedMessage } from "./received-message.js";

export interface Outcome {
  readonly consumed: boolean;
  readonly delayLevel: number;
  readonly error: unknown;
  /** The handler took longer than it may. */
  readonly timedOut: boolean;
}

export interface HandlerSettings {
  readonly handler: BatchHandler;
  readonly callbacks: OwnCallbacks;
  readonly consumeTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Never rejects. A handler that takes too long is left to itself; its signal tells it so. */
export async function runHandler(
  settings: HandlerSettings,
  processQueue: ProcessQueue,
  messages: readonly ReceivedMessage[],
): Promise<Outcome> {
  const { handler, callbacks, consumeTimeoutMs, clock, log } = settings;
  const overtime = new AbortController();
  const dropped = () => overtime.abort(new Error("the queue went to another consumer, or the consumer is closed"));
  processQueue.signal.addEventListener("abort", dropped, { once: true });
  const context: ConsumeContext = { queue: processQueue.queue, signal: overtime.signal, delayLevelWhenNextConsume: 0 };
  let timedOut = false;
  let timer: { cancel(): void } | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = clock.schedule(consumeTimeoutMs, () => {
      const error = new Error(`the handler took longer than ${consumeTimeoutMs} ms`);
      timedOut = true;
      overtime.abort(error);
      reject(error);
    });
  });
  processQueue.lastConsumeMs = clock.nowMs();
  try {
    await Promise.race([Promise.resolve().then(() => callbacks.run(() => handler(messages, context))), late]);
    return { consumed: true, delayLevel: 0, error: undefined, timedOut: false };
  } catch (error) {
    const { messageId, topic } = messages[0]!;
    log.warn({ err: error, messageId, topic, count: messages.length }, "messages were not consumed");
    return { consumed: false, delayLevel: context.delayLevelWhenNextConsume, error, timedOut };
  } finally {
    timer?.cancel();
    processQueue.signal.removeEventListener("abort", dropped);
  }
}
