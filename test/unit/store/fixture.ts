/** Stores with small files, messages for them, and what lies in a directory, byte for byte. */
import { createHash } from "node:crypto";
import { cpSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach } from "vitest";
import { decodeRecord } from "#src/record/decode.js";
import { MessageStore } from "#src/store/message-store.js";
import type { StoreOptions } from "#src/store/options.js";
import { type GetResult, GetStatus, type MessageInput, type PutResult, PutStatus } from "#src/store/types.js";
import { messageInput } from "./message-input.mjs";

const root = mkdtempSync(join(tmpdir(), "cometmq-store-"));
const opened: MessageStore[] = [];

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

export function newDirectory(): string {
  return mkdtempSync(join(root, "s-"));
}

export const SEGMENT_BYTES = 1024 * 1024;
export const QUEUE_FILE_BYTES = 20 * 500;
export const INDEX_SIZES = { maxHashSlotNum: 100, maxIndexNum: 400 };

/** Closed with the test, unless it does so itself. */
export async function openStore(options: StoreOptions): Promise<MessageStore> {
  const sizes = { segmentBytes: SEGMENT_BYTES, queueFileBytes: QUEUE_FILE_BYTES, indexSizes: INDEX_SIZES };
  const store = await MessageStore.open({ ...sizes, ...options });
  opened.push(store);
  return store;
}

export function messageOf(store: MessageStore, topic: string, queueId: number, body: string): MessageInput {
  return messageInput(store.queue(topic, queueId), Buffer.from(body));
}

export function newPutResult(): PutResult {
  return { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
}

/** The status of a put of `body`. */
export function put(
  store: MessageStore,
  topic: string,
  queueId: number,
  body: string,
  result = newPutResult(),
): PutStatus {
  return store.put(messageOf(store, topic, queueId, body), result);
}

/** Bodies of everything that can be read of a queue. */
export function bodiesIn(store: MessageStore, topic: string, queueId: number): string[] {
  const queue = store.findQueue(topic, queueId);
  if (queue === undefined) return [];
  const result: GetResult = {
    status: GetStatus.FOUND,
    nextBeginOffset: store.minOffset(queue),
    minOffset: 0,
    maxOffset: 0,
    records: [],
    queueOffsets: [],
    totalBytes: 0,
    suggestPullingFromSlave: false,
  };
  const bodies: string[] = [];
  const limits = { maxCount: 1000, maxBytes: 64 * 1024 * 1024 };
  while (store.get(queue, result.nextBeginOffset, limits, undefined, result) === GetStatus.FOUND) {
    for (const record of result.records) bodies.push(decodeRecord(record).body.toString());
  }
  return bodies;
}

/** A store with `count` messages in T 0, closed in order. */
export async function writtenStore(directory: string, count: number, bodyBytes = 100): Promise<string[]> {
  const store = await openStore({ directory });
  const bodies = Array.from({ length: count }, (_, i) => `m${i} ${"x".repeat(bodyBytes)}`);
  for (const body of bodies) {
    const status = put(store, "T", 0, body);
    if (status !== PutStatus.PUT_OK) throw new Error(`put status ${status}`);
  }
  await store.close();
  return bodies;
}

/**
 * Copies an open store as a kill would leave it, `abort` file included. A segment that is being made is renamed under the
 * copy, which then begins again.
 */
export function copyAsKilled(directory: string, target: string): void {
  const isLock = (path: string): boolean => path.endsWith("/lock");
  for (let attempt = 0; ; attempt++) {
    try {
      cpSync(directory, target, { recursive: true, filter: (path) => !isLock(path) });
      return;
    } catch (error) {
      if (attempt === 20 || (error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      rmSync(target, { recursive: true, force: true });
    }
  }
}

/** Every path below `directory` with kind, size, time and content. */
export function listingOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const path = join(directory, name);
      const stat = lstatSync(path);
      if (!stat.isFile()) return `${name} ${stat.mode}`;
      const hash = createHash("sha1").update(readFileSync(path)).digest("hex");
      return `${name} ${stat.mode} ${stat.size} ${stat.mtimeMs} ${hash}`;
    });
}
