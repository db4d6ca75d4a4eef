/**
 * What a store is given to append and to fill in, as plain JavaScript may give it. It is refused before the log sees it: an
 * error from in there is one of the disk, and ends all writing.
 */
import { CometError } from "../base/errors.js";
import { shown } from "../base/given-values.js";
import type { StoreQueue } from "./store-queue.js";
import type { MessageInput, PutResult } from "./types.js";

/** The queue of a message that can be appended. Throws COMETMQ_CONFIG, which names what is wrong. */
export function queueOfInput(message: MessageInput, result: PutResult): StoreQueue {
  if (typeof message !== "object" || message === null) throw wrong("message", message, "no message to append");
  const { queue, bornHost, storeHost } = message;
  if (typeof queue !== "object" || queue === null) throw wrong("queue", queue, "no handle of store.queue()");
  if (!(bornHost instanceof Uint8Array)) throw wrong("bornHost", bornHost, "no Buffer");
  if (!(storeHost instanceof Uint8Array)) throw wrong("storeHost", storeHost, "no Buffer");
  if (typeof result !== "object" || result === null) throw wrong("result", result, "no object to fill in");
  if (
    !isNumber(message.flag) ||
    !isNumber(message.sysFlag) ||
    !isNumber(message.bornTimestamp) ||
    !isNumber(message.reconsumeTimes) ||
    !isNumber(message.preparedTransactionOffset)
  )
    throw wrong("message", message, "with something else than a number in a field of numbers");
  return queue as StoreQueue;
}

/** The queue that all messages of a batch name; undefined where they name several, or there are none. */
export function queueOfBatch(messages: readonly MessageInput[], result: PutResult): StoreQueue | undefined {
  if (!Array.isArray(messages)) throw wrong("messages", messages, "no list");
  let queue: StoreQueue | undefined;
  for (const message of messages) {
    const own = queueOfInput(message, result);
    if (queue !== undefined && own !== queue) return undefined;
    queue = own;
  }
  return queue;
}

/** What is left out is 0 in the record. */
function isNumber(value: unknown): boolean {
  return typeof value === "number" || value === undefined;
}

function wrong(name: string, value: unknown, why: string): CometError {
  return new CometError("COMETMQ_CONFIG", `${name} is ${shown(value)}, ${why}.`);
}
