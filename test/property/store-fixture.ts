/**
 * Small stores in memory for the tests that hurt them: built once, kept as an image (every file's bytes), and put on a
 * fresh disk for each case.
 */
import type { Disk } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { encodeProperties } from "#src/record/properties.js";
import { MessageStore } from "#src/store/message-store.js";
import type { StoreOptions } from "#src/store/options.js";
import { type MessageInput, type PutResult, PutStatus, type QueueHandle } from "#src/store/types.js";
import { type LogRecord, verifyStore } from "../crash/programs/verify.mjs";
import { messageInput } from "../unit/store/message-input.mjs";

export const ROOT = "/store";
export const QUEUE_FILE_BYTES = 20 * 50;
export const INDEX_SIZES = { maxHashSlotNum: 64, maxIndexNum: 200 };

/** Bytes by path. */
export type DiskImage = ReadonlyMap<string, Buffer>;

export function imageOf(disk: Disk, root = ROOT): Map<string, Buffer> {
  const image = new Map<string, Buffer>();
  const visit = (path: string): void => {
    if (!disk.isDirectory(path)) image.set(path, disk.readFile(path)!);
    else for (const name of disk.list(path)) visit(`${path}/${name}`);
  };
  visit(root);
  return image;
}

/** The lock is a process's, not the directory's. */
export function diskOf(image: DiskImage): MemoryDisk {
  const disk = new MemoryDisk();
  disk.makeDirectory(ROOT);
  for (const [path, bytes] of image) disk.writeAtomically(path, bytes);
  return disk;
}

export function segmentPath(segmentBytes: number, index: number): string {
  return `${ROOT}/commitlog/${String(index * segmentBytes).padStart(20, "0")}`;
}

/** Wall time of the stores under test: goes on by a millisecond with each message. */
export class TickingClock {
  #ms: number;

  constructor(ms = 1_760_000_000_000) {
    this.#ms = ms;
  }

  nowMs = (): number => this.#ms++;
  monotonicMs = (): number => performance.now();
  schedule(): { cancel: () => void } {
    return { cancel: () => {} };
  }
}

export function openStore(disk: Disk, segmentBytes: number, more: Partial<StoreOptions> = {}): Promise<MessageStore> {
  const sizes = { segmentBytes, queueFileBytes: QUEUE_FILE_BYTES, indexSizes: INDEX_SIZES };
  return MessageStore.open({ directory: ROOT, disk, threads: false, ...sizes, ...more });
}

export function message(queue: QueueHandle, body: Buffer, properties: Record<string, string> = {}): MessageInput {
  return messageInput(queue, body, encodeProperties(Object.entries(properties)));
}

export function emptyPutResult(): PutResult {
  return { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
}

/** Puts one message; throws unless it was taken. Answers where it went. */
export function put(
  store: MessageStore,
  topic: string,
  queueId: number,
  body: Buffer,
  properties?: Record<string, string>,
): PutResult {
  const result = emptyPutResult();
  const status = store.put(message(store.queue(topic, queueId), body, properties), result);
  if (status !== PutStatus.PUT_OK) throw new Error(`put answered ${status}`);
  return result;
}

/** Body number `number`, `bytes` long: no two are alike. */
export function bodyOf(number: number, bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) body[i] = (number * 31 + i * 7 + (i >> 3) * number) & 0xff;
  if (bytes >= 4) body.writeUInt32BE(number, 0);
  return body;
}

/** Puts message `number` of `bytes`; topic, queue, tags and keys follow from the number. `salt` makes another body. */
export function putNumbered(store: MessageStore, number: number, bytes: number, salt = 0): PutResult {
  const properties = {
    UNIQ_KEY: `unique${number}`,
    KEYS: `key${number % 7} number${number}`,
    TAGS: `tag${number % 3}`,
  };
  const topic = number % 5 === 0 ? "payments" : "orders";
  return put(store, topic, number % 3, bodyOf(number + salt * 100_003, bytes), properties);
}

/** The records of the log, and everything the checks of test/crash find wrong, as lines. */
export function problemsOf(
  store: MessageStore,
  segmentBytes: number,
  indexStep = 1,
): Promise<{ records: LogRecord[]; problems: string[] }> {
  return verifyStore(store, { segmentBytes, queueFileBytes: QUEUE_FILE_BYTES, indexStep });
}
