/** The types of verify.mjs, for the tests that are TypeScript. */
import type { MessageStore } from "#src/store/message-store.js";

export interface LogRecord {
  readonly phyOffset: number;
  readonly sizeBytes: number;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly queued: boolean;
  readonly rolledBack: boolean;
  readonly tagsCode: number;
  readonly storeTimestamp: number;
  readonly uniqueKey: string | undefined;
  readonly keys: string | undefined;
  readonly tags: string | undefined;
}
export function readLog(store: MessageStore, segmentBytes: number): LogRecord[];
export function verifyStore(
  store: MessageStore,
  options: { readonly segmentBytes: number; readonly queueFileBytes: number; readonly indexStep?: number },
): Promise<{ records: LogRecord[]; problems: string[] }>;
