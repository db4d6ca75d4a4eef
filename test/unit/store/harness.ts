/** A store on a clock and a disk of the test's own. */
import type { Clock, Timer } from "#src/base/clock.js";
import type { Logger } from "#src/base/log.js";
import type { DiskSpace } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { encodeProperties } from "#src/record/properties.js";
import { MessageStore } from "#src/store/message-store.js";
import type { StoreOptions } from "#src/store/options.js";
import {
  emptyGetResult,
  type GetResult,
  GetStatus,
  type MessageInput,
  type PutResult,
  PutStatus,
} from "#src/store/types.js";
import { messageInput } from "./message-input.mjs";

export const SEGMENT_BYTES = 64 * 1024;
/** Local noon: no hour of deleteWhen unless a test says so. */
export const NOON_MS = new Date(2026, 10, 21, 12, 0, 0).getTime();
export const HOUR_MS = 3_600_000;

export class StoreClock implements Clock {
  wallMs = NOON_MS;
  #ms = 1_000_000;
  readonly #tasks = new Set<{ atMs: number; task: () => void }>();

  nowMs(): number {
    return this.wallMs;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  schedule(delayMs: number, task: () => void): Timer {
    const entry = { atMs: this.#ms + delayMs, task };
    this.#tasks.add(entry);
    return { cancel: () => this.#tasks.delete(entry) };
  }

  /** Both clocks go on; what falls due runs in order, and what it began gets some turns of the event loop. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#ms + ms;
    for (;;) {
      const due = [...this.#tasks].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#tasks.delete(due);
      this.#moveTo(Math.max(this.#ms, due.atMs));
      due.task();
      await turns();
    }
    this.#moveTo(endMs);
    await turns();
  }

  #moveTo(ms: number): void {
    this.wallMs += ms - this.#ms;
    this.#ms = ms;
  }
}

export async function turns(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Polls in real time, for what other threads do. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A memory disk whose device is as full as the test says. */
export class RoomDisk extends MemoryDisk {
  usedPercent = 10;
  spaceCount = 0;

  override space(): DiskSpace {
    this.spaceCount++;
    const totalBytes = 100 * 64 * SEGMENT_BYTES;
    return { totalBytes, freeBytes: Math.round(totalBytes * (1 - this.usedPercent / 100)) };
  }
}

export class Lines implements Logger {
  readonly lines: string[] = [];
  readonly #add = (_fields: object, message: string) => {
    this.lines.push(message);
  };
  debug = this.#add;
  info = this.#add;
  warn = this.#add;
  error = this.#add;

  count(pattern: RegExp): number {
    return this.lines.filter((line) => pattern.test(line)).length;
  }
}

/** A message of a kilobyte: some sixty to a segment. */
export function input(store: MessageStore, topic: string, queueId: number, text: string): MessageInput {
  const body = Buffer.alloc(900, text);
  body.write(`${text}|`);
  const properties = encodeProperties([["KEYS", `${text} ${text}.2 ${text}.3`]]);
  return messageInput(store.queue(topic, queueId), body, properties);
}

export const emptyPut = (): PutResult => ({
  queueOffset: -1,
  phyOffset: -1,
  sizeBytes: 0,
  storeTimestamp: 0,
  count: 0,
});

export function put(store: MessageStore, topic: string, queueId: number, text: string): PutResult {
  const result = emptyPut();
  const status = store.put(input(store, topic, queueId, text), result);
  if (status !== PutStatus.PUT_OK) throw new Error(`put answered ${status}`);
  return result;
}

/** Puts until the log has `count` segments, the last one just begun; returns what was put. */
export function fill(store: MessageStore, count: number, topic = "T", queueId = 0): PutResult[] {
  const puts: PutResult[] = [];
  const lastBase = store.minPhyOffset + (count - 1) * SEGMENT_BYTES;
  while (store.maxPhyOffset <= lastBase) puts.push(put(store, topic, queueId, `m${puts.length}`));
  return puts;
}

/** What a consumer that begins at `offset` would be told. */
export function pull(store: MessageStore, topic: string, queueId: number, offset: number): GetResult {
  const result = emptyGetResult();
  store.get(store.queue(topic, queueId), offset, { maxCount: 32, maxBytes: 1 << 20 }, undefined, result);
  return result;
}

/** Queue offsets and first words of all that can be read from `offset` on. */
export function readAll(store: MessageStore, topic: string, queueId: number, offset: number): [number, string][] {
  const found: [number, string][] = [];
  for (let result = pull(store, topic, queueId, offset); result.status === GetStatus.FOUND; ) {
    result.records.forEach((record, i) => {
      const { body } = decodeRecord(record);
      found.push([result.queueOffsets[i]!, body.toString("utf8", 0, body.indexOf("|"))]);
    });
    result = pull(store, topic, queueId, result.nextBeginOffset);
  }
  return found;
}

export function openMemory(disk: MemoryDisk, clock: Clock, options: Partial<StoreOptions> = {}): Promise<MessageStore> {
  return MessageStore.open({
    directory: "/s",
    disk,
    clock,
    segmentBytes: SEGMENT_BYTES,
    queueFileBytes: 400,
    indexSizes: { maxHashSlotNum: 64, maxIndexNum: 101 },
    ...options,
  });
}
