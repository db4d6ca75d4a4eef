/**
 * Stores messages that were written as lines, in the order of the lines. A line that no message can be made of is
 * reported and passed over; a store that takes no more messages ends the import.
 */
import type { Clock } from "../base/clock.js";
import { systemClock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { type LineContent, parseMessageLine } from "./message-line.js";
import type { MessageStore } from "./message-store.js";
import { type MessageInput, type PutResult, PutStatus } from "./types.js";

export interface ImportReport {
  readonly messageCount: number;
  readonly bodyBytes: number;
  readonly queueCount: number;
  readonly refusedCount: number;
}

export interface ImportOptions {
  readonly store: MessageStore;
  readonly lines: AsyncIterable<string>;
  /** Called with the message's own time before it is put: see ImportClock. */
  readonly clock?: ImportClock | undefined;
  /** Topics that cannot be imported, and why. */
  readonly refusedTopics?: ReadonlyMap<string, string>;
  /** `lineNumber` begins at 1. */
  readonly onRefused: (lineNumber: number, reason: string) => void;
  readonly onProgress?: (messageCount: number) => void;
}

/** A clock that shows the time of the message which is being imported, so that it keeps its store time. */
export class ImportClock implements Clock {
  #nowMs = systemClock.nowMs();

  show(timeMs: number): void {
    this.#nowMs = timeMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs();
  }

  schedule(delayMs: number, task: () => void): ReturnType<Clock["schedule"]> {
    return systemClock.schedule(delayMs, task);
  }
}

const PROGRESS_MESSAGES = 4096;
/** What may wait for the disk before the import waits for it. */
const UNFLUSHED_BYTES_MAX = 64 * 1024 * 1024;

const REASONS: Readonly<Partial<Record<PutStatus, string>>> = {
  [PutStatus.MESSAGE_ILLEGAL]: "the message is too large for a segment, or for maxMessageSize",
  [PutStatus.PROPERTIES_SIZE_EXCEEDED]: "its properties take more than 32767 bytes",
};

/** Durable when it is fulfilled. */
export async function importMessages(options: ImportOptions): Promise<ImportReport> {
  const { store, lines, clock, onRefused, onProgress } = options;
  const queues = new Set<unknown>();
  const result: PutResult = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
  let lineNumber = 0;
  let messageCount = 0;
  let bodyBytes = 0;
  let refusedCount = 0;
  for await (const line of lines) {
    lineNumber++;
    if (line.trim() === "") continue;
    const message = messageFrom(line, options, (reason) => onRefused(lineNumber, reason));
    if (message === undefined) {
      refusedCount++;
      continue;
    }
    clock?.show(message.content.storeTime);
    const status = store.put(message.input, result);
    if (status !== PutStatus.PUT_OK) {
      const reason = REASONS[status];
      if (reason === undefined) throw store.failure ?? stopped(lineNumber, status);
      onRefused(lineNumber, reason);
      refusedCount++;
      continue;
    }
    messageCount++;
    bodyBytes += message.input.bodyLength;
    queues.add(message.input.queue);
    if (store.maxPhyOffset - store.flushedPosition > UNFLUSHED_BYTES_MAX) await store.whenFlushed(store.maxPhyOffset);
    if (messageCount % PROGRESS_MESSAGES !== 0) continue;
    onProgress?.(messageCount);
    // Lines may come without a pause; syncs and dispatch have to be heard all the same.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await store.whenFlushed(store.maxPhyOffset);
  await store.settled();
  return { messageCount, bodyBytes, queueCount: queues.size, refusedCount };
}

function stopped(lineNumber: number, status: PutStatus): CometError {
  const code = status === PutStatus.DISK_FULL ? "COMETMQ_DISK_FULL" : "COMETMQ_STORE_READ_ONLY";
  return new CometError(code, `The store refused line ${lineNumber} with status ${status}.`);
}

function messageFrom(
  line: string,
  { store, refusedTopics }: ImportOptions,
  refuse: (reason: string) => void,
): { input: MessageInput; content: LineContent } | undefined {
  try {
    const content = parseMessageLine(line);
    const reason = refusedTopics?.get(content.topic);
    if (reason !== undefined) {
      refuse(reason);
      return undefined;
    }
    return { content, input: inputOf(store, content) };
  } catch (error) {
    if (!(error instanceof CometError)) throw error;
    refuse(error.message);
    return undefined;
  }
}

function inputOf(store: MessageStore, content: LineContent): MessageInput {
  const { topic, queueId, body, properties, flag, sysFlag, bornHost, storeHost, reconsumeTimes } = content;
  return {
    queue: store.queue(topic, queueId),
    flag,
    sysFlag,
    bornTimestamp: content.bornTime,
    bornHost,
    storeHost,
    reconsumeTimes,
    preparedTransactionOffset: content.preparedTransactionOffset,
    body,
    bodyStart: 0,
    bodyLength: body.length,
    properties,
    propertiesStart: 0,
    propertiesLength: properties.length,
  };
}
