/** One message into a store, for those who keep a log of their own: what `put` makes the caller fill in is filled in here. */
import { systemClock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { encodeHost } from "../record/host.js";
import { encodeProperties } from "../record/properties.js";
import type { MessageStore } from "./message-store.js";
import { storeClosed } from "./store-closed.js";
import { type MessageInput, type PutResult, PutStatus, type QueueHandle } from "./types.js";

/** A message that no producer of RocketMQ sent. */
export interface NewMessage {
  /** Text is stored as UTF-8. */
  readonly body: Uint8Array | string;
  /**
   * By name; names hold no U+0001, values no U+0002, neither is empty. `TAGS` is what `javaHash` filters by, `KEYS` (several
   * between blanks) what `lookUp` finds it by. All of them together: 32,767 bytes.
   */
  readonly properties?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds since 1970; the machine's time if it is left out. */
  readonly bornTimestamp?: number | undefined;
}

/** Records have room for the addresses of a client and a broker. */
const NO_HOST = encodeHost("0.0.0.0", 0)!;

/**
 * Appends a message and resolves when the store's flush mode lets it be acknowledged: with `SYNC_FLUSH` once it is on the
 * disk (who appends at the same time shares a sync), else at once. Rejects with a CometError: COMETMQ_BAD_MESSAGE,
 * COMETMQ_DISK_FULL (it passes), COMETMQ_STORE_READ_ONLY, COMETMQ_STORE_CLOSED, COMETMQ_NOT_FOUND for the handle of a
 * deleted topic or of another store, COMETMQ_BUSY.
 *
 * `const { queueOffset } = await appendMessage(store, store.queue("orders", 0), { body: "hello" })`
 */
export async function appendMessage(store: MessageStore, queue: QueueHandle, message: NewMessage): Promise<PutResult> {
  const result: PutResult = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
  const status = store.put(inputOf(queue, message), result);
  if (status !== PutStatus.PUT_OK) throw refusal(store, status);
  // The end of this turn, in which all are written together that were appended in it.
  await Promise.resolve();
  if (!store.publish()) throw refusal(store, PutStatus.UNKNOWN_ERROR);
  if (store.syncFlush) await store.whenFlushed(result.phyOffset + result.sizeBytes);
  return result;
}

function inputOf(
  queue: QueueHandle,
  { body, properties, bornTimestamp = systemClock.nowMs() }: NewMessage,
): MessageInput {
  const entries = Object.entries(properties ?? {});
  const wrong = entries.find(
    ([name, value]) =>
      typeof value !== "string" ||
      !isStorable(name, "\u0001") ||
      !isStorable(value, "\u0002") ||
      name.includes("\u0002"),
  );
  if (wrong !== undefined) {
    const [name] = wrong;
    throw new CometError("COMETMQ_BAD_MESSAGE", `The property ${JSON.stringify(name)} cannot be stored.`);
  }
  if (typeof body !== "string" && !ArrayBuffer.isView(body)) {
    throw new CometError("COMETMQ_BAD_MESSAGE", "The body is neither text nor bytes.");
  }
  if (!Number.isSafeInteger(bornTimestamp)) {
    throw new CometError("COMETMQ_BAD_MESSAGE", `bornTimestamp is ${bornTimestamp}, no integer.`);
  }
  const bodyBytes =
    typeof body === "string" ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const propertyBytes = encodeProperties(entries);
  return {
    queue,
    flag: 0,
    sysFlag: 0,
    bornTimestamp,
    bornHost: NO_HOST,
    storeHost: NO_HOST,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: bodyBytes,
    bodyStart: 0,
    bodyLength: bodyBytes.length,
    properties: propertyBytes,
    propertiesStart: 0,
    propertiesLength: propertyBytes.length,
  };
}

/** In Unicode mode halves that have found their other half are none. */
const HALF_PAIR = /\p{Surrogate}/u;

/** It comes back as it was: not empty, without the separator behind it, and no half of a surrogate pair, which UTF-8 has not. */
function isStorable(text: string, separator: string): boolean {
  return text !== "" && !text.includes(separator) && !HALF_PAIR.test(text);
}

function refusal(store: MessageStore, status: PutStatus): CometError {
  switch (status) {
    case PutStatus.MESSAGE_ILLEGAL:
      return new CometError("COMETMQ_BAD_MESSAGE", "The message is longer than a record may be.");
    case PutStatus.PROPERTIES_SIZE_EXCEEDED:
      return new CometError("COMETMQ_BAD_MESSAGE", "The properties are longer than 32,767 bytes.");
    case PutStatus.DISK_FULL:
      return new CometError("COMETMQ_DISK_FULL", "The disk is full.");
    case PutStatus.SERVICE_NOT_AVAILABLE:
    case PutStatus.UNKNOWN_ERROR:
      if (store.closed) return storeClosed();
      return (
        store.failure ??
        new CometError("COMETMQ_NOT_FOUND", "The topic of this queue was deleted, or the handle is another store's.")
      );
    default:
      return new CometError("COMETMQ_BUSY", "The next segment of the log is not there yet.");
  }
}
