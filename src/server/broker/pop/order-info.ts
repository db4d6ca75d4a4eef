/**
 * What a group has of one queue in an ordered pop (broker/pop/orderly/QueueLevelConsumerManager.java#OrderInfo): the
 * messages of the last pop, which of them are acknowledged, and when the others may be popped again. Nothing behind them
 * is given out before.
 */
import { CometError } from "../../../base/errors.js";
import type { FastjsonInput, FastjsonMap } from "../../../remoting/fastjson.js";
import { asLong, asMap, listMember, longMember, textMember } from "../../protocol/members.js";
import { messageOrderCountPiece, orderCountPiece } from "./extra-info.js";

/** `maxMsgNums` is no more, and Apache keeps what is acknowledged in the bits of a long. */
export const ORDER_MESSAGES_MAX = 32;

/** A queue in which so many are acknowledged behind one that is not gives out that one only. */
export const PASSED_MAX = 512;
const NONE: ReadonlySet<number> = new Set();

export class OrderInfo {
  readonly attemptId: string | undefined;
  readonly popTime: number;
  /** Apache's may be unknown in a file: the next pop says it. */
  invisibleMs: number;
  /** Ascending. */
  readonly queueOffsets: readonly number[];
  readonly acked: boolean[];
  /** By queue offset, where it differs from `popTime + invisibleMs`. */
  readonly visibleAtMs = new Map<number, number>();
  /** How often a message was popped before, by queue offset; only where it was. */
  consumedCounts: ReadonlyMap<number, number> = new Map();
  /**
   * Behind the first message that is not acknowledged: those of earlier pops that are, out of their order. They are not
   * given out again. CometMQ's own: Apache gives them out again.
   */
  passed: ReadonlySet<number> = new Set();
  readonly lastConsumeTimestamp: number;

  constructor(
    attemptId: string | undefined,
    popTime: number,
    invisibleMs: number,
    queueOffsets: readonly number[],
    lastConsumeTimestamp: number,
  ) {
    this.attemptId = attemptId;
    this.popTime = popTime;
    this.invisibleMs = invisibleMs;
    this.queueOffsets = queueOffsets;
    this.acked = queueOffsets.map(() => false);
    this.lastConsumeTimestamp = lastConsumeTimestamp;
  }

  /** Who asks again under the id of the pop before has not got its answer, and is given the same again. */
  isBlocked(attemptId: string | undefined, invisibleMs: number, nowMs: number): boolean {
    if (this.attemptId !== undefined && this.attemptId === attemptId) return false;
    if (this.invisibleMs <= 0) this.invisibleMs = invisibleMs;
    return this.freeAtMs() > nowMs;
  }

  /** When the last message that is not acknowledged may be popped again; 0 when all are. */
  freeAtMs(): number {
    let latestMs = 0;
    this.queueOffsets.forEach((queueOffset, index) => {
      if (this.acked[index]) return;
      latestMs = Math.max(latestMs, this.visibleAtMs.get(queueOffset) ?? this.popTime + this.invisibleMs);
    });
    return latestMs;
  }

  /** Where the group goes on: at the first message that is not acknowledged, or behind all. */
  get nextOffset(): number {
    const index = this.acked.indexOf(false);
    if (index >= 0) return this.queueOffsets[index]!;
    let next = this.queueOffsets.at(-1)! + 1;
    while (this.passed.has(next)) next++;
    return next;
  }

  /** In this pop or, out of its order, in one before. */
  isAcked(queueOffset: number): boolean {
    const index = this.queueOffsets.indexOf(queueOffset);
    return index < 0 ? this.passed.has(queueOffset) : this.acked[index]!;
  }

  /** What the next pop is to leave out. */
  get ackedBehindFirst(): ReadonlySet<number> {
    const { nextOffset } = this;
    const isBehind = (queueOffset: number) => queueOffset > nextOffset;
    const acked = this.queueOffsets.filter((queueOffset, index) => this.acked[index] && isBehind(queueOffset));
    return acked.length === 0 && this.passed.size === 0 ? NONE : new Set([...this.passed, ...acked].filter(isBehind));
  }

  /** Takes over how often the messages were popped, from the pop before. */
  continue(before: OrderInfo): void {
    this.passed = before.ackedBehindFirst;
    if (before.attemptId !== undefined && before.attemptId === this.attemptId) {
      this.consumedCounts = before.consumedCounts;
      return;
    }
    const known = new Set(before.queueOffsets);
    const counts = new Map<number, number>();
    for (const queueOffset of this.queueOffsets) {
      if (known.has(queueOffset)) counts.set(queueOffset, (before.consumedCounts.get(queueOffset) ?? 0) + 1);
    }
    this.consumedCounts = counts;
  }

  /** What the pop's answer says about it. The last piece is for clients of old, which count by queue. */
  orderCountPieces(topic: string, queueId: number): string[] {
    const pieces: string[] = [];
    let smallest = Number.MAX_SAFE_INTEGER;
    // A repeated attempt may have counts of messages that it is not given, which say nothing of those that it is.
    for (const queueOffset of this.queueOffsets) {
      const count = this.consumedCounts.get(queueOffset) ?? 0;
      if (count > 0) pieces.push(messageOrderCountPiece(topic, queueId, queueOffset, count));
      smallest = Math.min(smallest, count);
    }
    pieces.push(orderCountPiece(topic, queueId, smallest));
    return pieces;
  }

  /** As `consumerOrderInfo.json` has it: offsets as distances from the first, acknowledged ones as bits. */
  toJson(): FastjsonInput {
    const first = this.queueOffsets[0]!;
    let bits = 0;
    this.acked.forEach((isAcked, index) => {
      if (isAcked) bits += 2 ** index;
    });
    return {
      a: this.attemptId,
      cm: bits,
      i: this.invisibleMs,
      l: this.lastConsumeTimestamp,
      o: this.queueOffsets.map((queueOffset, index) => (index === 0 ? queueOffset : queueOffset - first)),
      oc: new Map(this.consumedCounts),
      passed: this.passed.size === 0 ? undefined : [...this.passed],
      ot: this.visibleAtMs.size === 0 ? undefined : new Map(this.visibleAtMs),
      popTime: this.popTime,
    };
  }

  /** Throws COMETMQ_BAD_REQUEST. */
  static fromJson(map: FastjsonMap): OrderInfo {
    const distances = listMember(map, "o").map((item) => asLong(item, "o"));
    const first = distances[0];
    const queueOffsets = distances.map((distance, index) => (index === 0 ? distance : first! + distance));
    const isAscending = queueOffsets.every((offset, index) => offset > (queueOffsets[index - 1] ?? -1));
    if (first === undefined || queueOffsets.length > ORDER_MESSAGES_MAX || !isAscending) {
      throw new CometError("COMETMQ_BAD_REQUEST", "The offsets of an ordered pop are none, too many or not ascending.");
    }
    const popTime = longMember(map, "popTime", 0);
    const lastConsumed = longMember(map, "l", popTime);
    const info = new OrderInfo(textMember(map, "a"), popTime, longMember(map, "i", 0), queueOffsets, lastConsumed);
    const bits = longMember(map, "cm", 0);
    queueOffsets.forEach((_, index) => {
      info.acked[index] = Math.floor(bits / 2 ** index) % 2 === 1;
    });
    const passed = listMember(map, "passed").map((item) => asLong(item, "passed"));
    info.passed = new Set(passed.slice(0, PASSED_MAX));
    info.consumedCounts = numbersByOffset(map, "oc");
    for (const [queueOffset, atMs] of numbersByOffset(map, "ot")) info.visibleAtMs.set(queueOffset, atMs);
    return info;
  }
}

function numbersByOffset(map: FastjsonMap, name: string): Map<number, number> {
  const numbers = new Map<number, number>();
  const member = map.get(name);
  if (member === undefined || member === null) return numbers;
  for (const [key, value] of asMap(member, name)) {
    const queueOffset = Number(key);
    if (Number.isSafeInteger(queueOffset)) numbers.set(queueOffset, asLong(value, name));
  }
  return numbers;
}
