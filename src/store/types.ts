/** The words the store speaks: what goes in (see commitlog/message-input), what comes out. Statuses are Apache's GetMessageStatus. */
export { type MessageInput, type PutResult, PutStatus, type QueueHandle } from "../commitlog/message-input.js";

/** How a get ended: FOUND, or why there is nothing at that offset. */
export const GetStatus = {
  FOUND: 0,
  NO_MATCHED_MESSAGE: 1,
  MESSAGE_WAS_REMOVING: 2,
  OFFSET_FOUND_NULL: 3,
  OFFSET_OVERFLOW_BADLY: 4,
  OFFSET_OVERFLOW_ONE: 5,
  OFFSET_TOO_SMALL: 6,
  NO_MATCHED_LOGIC_QUEUE: 7,
  NO_MESSAGE_IN_QUEUE: 8,
} as const;
/** One of the numbers above. */
export type GetStatus = (typeof GetStatus)[keyof typeof GetStatus];

/** Decides by tags code whether an entry is worth reading; undefined means every one. Hash codes are int32 values. */
export type TagFilter = ReadonlySet<number> | undefined;

/** Decides by the record itself, which is read for it. */
export interface RecordFilter {
  /** What deciding has cost; `get` sets it to 0 and stops early when it has become much. */
  steps: number;
  /** Whether the record is given; the bytes are good until it returns. */
  matchesRecord(record: Buffer): boolean;
}

/** Filled by `get`; callers reuse one object and read `records` before the next call. */
export interface GetResult {
  status: GetStatus;
  nextBeginOffset: number;
  minOffset: number;
  maxOffset: number;
  /** Whole records in queue order, as they lie in the log (views where the backend maps). */
  records: Buffer[];
  /** Queue offset of each of `records`. */
  queueOffsets: number[];
  totalBytes: number;
  /** The reader is so far behind that a slave should serve it (Apache: more than 40 % of memory). */
  suggestPullingFromSlave: boolean;
}

/** To be handed to `get`. */
export function emptyGetResult(): GetResult {
  return {
    status: GetStatus.FOUND,
    nextBeginOffset: 0,
    minOffset: 0,
    maxOffset: 0,
    records: [],
    queueOffsets: [],
    totalBytes: 0,
    suggestPullingFromSlave: false,
  };
}
