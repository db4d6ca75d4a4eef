/**
 * The texts that bind popped messages to their pop: `extraInfo`, the handle of one message, and the lists of a pop's
 * answer that clients make handles of (remoting/protocol/header/ExtraInfoUtil.java, common/KeyBuilder.java).
 *
 *   extraInfo   startOffset popTime invisibleTime reviveQueueId retry brokerName queueId queueOffset, between blanks;
 *               Apache's proxy adds the place in the log. `retry` is 0 for the topic itself, 1 or 2 for its retry topics.
 */
import { CometError } from "../../../base/errors.js";
import { quoted } from "../../answer.js";
import { RETRY_TOPIC_PREFIX } from "../names.js";

/** Stands in place of a revive queue in the handles of ordered pops. */
export const POP_ORDER_REVIVE_QUEUE = 999;
const REVIVE_QUEUE_MAX = 65535;
const PARTS_MIN = 6;
const PARTS_MAX = 16;
const DIGITS_MAX = 16;
const BLANK = 0x20;
const MINUS = 0x2d;
const ZERO = 0x30;

export interface ExtraInfo {
  readonly popTime: number;
  readonly invisibleMs: number;
  readonly reviveQueueId: number;
  readonly brokerName: string;
}

export type RetryMark = "0" | "1" | "2";

export function popRetryTopicV1(group: string, topic: string): string {
  return `${RETRY_TOPIC_PREFIX}${group}_${topic}`;
}

export function popRetryTopicV2(group: string, topic: string): string {
  return `${RETRY_TOPIC_PREFIX}${group}+${topic}`;
}

export function retryMarkOf(topic: string): RetryMark {
  if (!topic.startsWith(RETRY_TOPIC_PREFIX)) return "0";
  return topic.includes("+") ? "2" : "1";
}

/** The topic that a message lies in, by the topic that was subscribed to and the handle's mark; undefined for no mark. */
export function realTopic(topic: string, group: string, mark: string): string | undefined {
  if (mark === "0") return topic;
  if (mark === "1") return popRetryTopicV1(group, topic);
  return mark === "2" ? popRetryTopicV2(group, topic) : undefined;
}

/** The topic that a retry topic of `group` belongs to; undefined when it is none of POP's. */
export function normalTopicOf(topic: string, group: string): string | undefined {
  const begin = RETRY_TOPIC_PREFIX.length + group.length;
  const separator = topic[begin];
  if (separator !== "_" && separator !== "+") return undefined;
  return topic.startsWith(RETRY_TOPIC_PREFIX + group) ? topic.slice(begin + 1) : undefined;
}

/** The parts of a handle, between blanks: how many there are, and where each ends. Read before the next one is cut. */
export class HandleParts {
  readonly #ends = new Int32Array(PARTS_MAX);
  #text = "";
  count = 0;

  cut(text: string): void {
    this.#text = text;
    let count = 0;
    for (let i = 0; i < text.length && count < PARTS_MAX; i++)
      if (text.charCodeAt(i) === BLANK) this.#ends[count++] = i;
    if (count < PARTS_MAX) this.#ends[count++] = text.length;
    this.count = count;
  }

  text(index: number): string {
    return this.#text.slice(this.#startOf(index), this.#ends[index]);
  }

  /** NaN where it is none of at most sixteen digits. */
  integer(index: number): number {
    const text = this.#text;
    const start = this.#startOf(index);
    const end = this.#ends[index]!;
    let at = text.charCodeAt(start) === MINUS ? start + 1 : start;
    const isNegative = at > start;
    if (at >= end || end - at > DIGITS_MAX) return Number.NaN;
    let value = 0;
    for (; at < end; at++) {
      const digit = text.charCodeAt(at) - ZERO;
      if (digit < 0 || digit > 9) return Number.NaN;
      value = value * 10 + digit;
    }
    return isNegative ? -value : value;
  }

  #startOf(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1]! + 1;
  }
}

const parts = new HandleParts();

/** Throws COMETMQ_BAD_REQUEST. */
export function readExtraInfo(text: string): ExtraInfo {
  parts.cut(text);
  if (parts.count < PARTS_MIN) refuse(text, `it has ${parts.count} parts, and a handle has ${PARTS_MIN} or more`);
  integerPart(text, 0, "start offset");
  const popTime = integerPart(text, 1, "pop time");
  const invisibleMs = integerPart(text, 2, "invisible time");
  const reviveQueueId = integerPart(text, 3, "revive queue id");
  if (reviveQueueId > REVIVE_QUEUE_MAX) refuse(text, "its revive queue id is out of range");
  return { popTime, invisibleMs, reviveQueueId, brokerName: parts.text(5) };
}

function integerPart(text: string, index: number, name: string): number {
  const value = parts.integer(index);
  if (!Number.isSafeInteger(value)) refuse(text, `its ${name} is not an integer`);
  return value;
}

function refuse(text: string, why: string): never {
  throw new CometError("COMETMQ_BAD_REQUEST", `The field extraInfo is no handle of a message, ${why}: ${quoted(text)}`);
}

/** The property POP_CK of one message. */
export function extraInfoText(
  startOffset: number,
  popTime: number,
  invisibleMs: number,
  reviveQueueId: number,
  topic: string,
  brokerName: string,
  queueId: number,
  queueOffset: number,
): string {
  return `${startOffset} ${popTime} ${invisibleMs} ${reviveQueueId} ${retryMarkOf(topic)} ${brokerName} ${queueId} ${queueOffset}`;
}

/** What one queue adds to `startOffsetInfo`, `msgOffsetInfo` and `orderCountInfo`; pieces are joined by semicolons. */
export function startOffsetPiece(topic: string, queueId: number, startOffset: number): string {
  return `${retryMarkOf(topic)} ${queueId} ${startOffset}`;
}

export function msgOffsetPiece(topic: string, queueId: number, queueOffsets: readonly number[]): string {
  return `${retryMarkOf(topic)} ${queueId} ${queueOffsets.join(",")}`;
}

export function orderCountPiece(topic: string, queueId: number, count: number): string {
  return `${retryMarkOf(topic)} ${queueId} ${count}`;
}

export function messageOrderCountPiece(topic: string, queueId: number, queueOffset: number, count: number): string {
  return `${retryMarkOf(topic)} qo${queueId}%${queueOffset} ${count}`;
}
