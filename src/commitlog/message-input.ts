/** What goes into a commit log, and what comes of it. Statuses are Apache's PutMessageStatus. */

/** One topic-queue of an open store, interned: there is one object for each (topic, queueId), found with `store.queue()`. */
export interface QueueHandle {
  readonly topic: string;
  /** UTF-8 of the topic, as written into records. */
  readonly topicBytes: Buffer;
  readonly queueId: number;
  /** Index into the shared tables of queue progress. */
  readonly slot: number;
  /** Nobody waits for its messages: they alone hurry no thread, and can be read some milliseconds later. */
  quiet?: boolean;
}

/**
 * A message to append; callers reuse one object. Body and properties are ranges of Buffers, copied once, into the log.
 * Properties are as `encodeProperties` makes them; a last byte of 0 is refused.
 * Hosts are address bytes (4 or 16) and a 4-byte port; an IPv6 one sets its sysFlag bit by its length.
 */
export interface MessageInput {
  queue: QueueHandle;
  /** An int32 that is the application's own. */
  flag: number;
  /** Bits of Apache's MessageSysFlag: compression, transaction state. */
  sysFlag: number;
  /** Milliseconds since 1970, as the sender has it. */
  bornTimestamp: number;
  bornHost: Buffer;
  storeHost: Buffer;
  reconsumeTimes: number;
  preparedTransactionOffset: number;
  body: Buffer;
  bodyStart: number;
  bodyLength: number;
  /** @internal The CRC of the body, where it was made of the same bytes a moment ago; computed when it is none or -1. */
  bodyCrc?: number;
  properties: Buffer;
  propertiesStart: number;
  propertiesLength: number;
}

/** How a put ended. DISK_FULL passes when there is space; after SERVICE_NOT_AVAILABLE ask `failure`. */
export const PutStatus = {
  PUT_OK: 0,
  FLUSH_DISK_TIMEOUT: 1,
  CREATE_MAPPED_FILE_FAILED: 4,
  MESSAGE_ILLEGAL: 5,
  PROPERTIES_SIZE_EXCEEDED: 6,
  OS_PAGE_CACHE_BUSY: 7,
  UNKNOWN_ERROR: 8,
  SERVICE_NOT_AVAILABLE: 9,
  DISK_FULL: 10,
} as const;
/** One of the numbers above. */
export type PutStatus = (typeof PutStatus)[keyof typeof PutStatus];

/** Filled by `put` when it answers PUT_OK; callers reuse one object. */
export interface PutResult {
  /** Its place in the queue, from 0. */
  queueOffset: number;
  /** Where its record begins in the log, in bytes. */
  phyOffset: number;
  /** Of the record; of all of them for a batch. */
  sizeBytes: number;
  storeTimestamp: number;
  /** Records appended: more than one for a batch; then the offsets are the first one's. */
  count: number;
}
