/**
 * The state of all pop consumption and every change of it: leases, ordered pops, the offsets that follow from them, and
 * the journal that has each change before its client hears of it. Requests are read and answered elsewhere.
 */
import { PutStatus as Put, type PutStatus, type QueueHandle } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import { isRetryTopic } from "../names.js";
import { EarlyAcks } from "./early-acks.js";
import { type LeaseQueue, LeaseTable } from "./leases.js";
import { OrderInfo } from "./order-info.js";
import type { OrderTable } from "./order-table.js";
import type { PopJournal } from "./pop-journal.js";

/** A pop's initMode (common/constant/ConsumeInitMode): where a group begins that has never read the queue. */
export const INIT_MODE_MIN = 0;

/** What became of an acknowledgement or an extension. */
export type Outcome =
  | { readonly done: true; readonly popTime: number; readonly invisibleMs: number }
  /** Acknowledged before: there is nothing left to do. */
  | "nothing"
  /** The message is leased under another handle. */
  | "overtaken"
  | "never popped"
  /** It ran out, and the message was given out again. */
  | "expired"
  /** Ordered pops: none of the messages that the group has. */
  | "illegal"
  | { readonly failed: PutStatus };

/** Names one popped message. */
export interface Handle {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly popTime: number;
  readonly invisibleMs: number;
}

export class PopState {
  readonly leases = new LeaseTable();
  readonly orders: OrderTable;
  readonly journal: PopJournal;
  readonly early = new EarlyAcks();
  readonly #context: BrokerContext;
  readonly #startedMs: number;
  /** A lease has begun or changed. */
  onLease: () => void = () => {};
  /** A lock of an ordered pop ends then, by wall time, or has ended. */
  onLock: (topic: string, group: string, queueId: number, freeAtMs: number) => void = () => {};

  constructor(context: BrokerContext, orders: OrderTable, journal: PopJournal) {
    this.#context = context;
    this.#startedMs = context.clock.nowMs();
    this.orders = orders;
    this.journal = journal;
  }

  // Where pops begin

  /**
   * Where the next pop of the group begins. Makes the offset of a group that has none and says so to everybody; takes
   * what an administrator has set.
   */
  popOffset(group: string, topic: string, queue: QueueHandle, initMode: number): number {
    const { offsets } = this.#context;
    const { queueId } = queue;
    const restart = offsets.queryThenEraseRestart(group, topic, queueId);
    const reset = offsets.queryThenEraseResetOffset(topic, group, queueId) ?? (restart ? 0 : undefined);
    if (reset !== undefined) this.move(group, topic, queueId, reset);
    let offset = offsets.queryOffset(group, topic, queueId);
    if (offset < 0) {
      offset = this.#initialOffset(topic, queue, initMode);
      offsets.commitOffset("getPopOffset", group, topic, queueId, offset);
    }
    const popped = this.leases.find(group, topic, queueId)?.popOffset ?? -1;
    return Math.max(popped, offset);
  }

  /** The same without making or taking anything. */
  peekOffset(group: string, topic: string, queue: QueueHandle): number {
    const offset = this.#context.offsets.queryOffset(group, topic, queue.queueId);
    const popped = this.leases.find(group, topic, queue.queueId)?.popOffset ?? -1;
    return Math.max(popped, offset < 0 ? this.#context.store.minOffset(queue) : offset);
  }

  /** Behind what the group has popped, while it has not settled all of that: a client may send it back after that. */
  readTo(group: string, topic: string, queueId: number): number {
    const queue = this.leases.find(group, topic, queueId);
    return queue === undefined || queue.settledOffset === queue.popOffset ? -1 : queue.popOffset;
  }

  #initialOffset(topic: string, queue: QueueHandle, initMode: number): number {
    const { config, store } = this.#context;
    const minOffset = store.minOffset(queue);
    if (initMode === INIT_MODE_MIN || isRetryTopic(topic)) return minOffset;
    if (config.initPopOffsetByCheckMsgInMem && minOffset <= 0 && store.isInMemory(queue, 0)) return 0;
    return Math.max(0, store.maxOffset(queue) - 1);
  }

  /** The group goes on at `popOffset`. */
  move(group: string, topic: string, queueId: number, popOffset: number): void {
    const queue = this.leases.find(group, topic, queueId);
    this.clearOrder(group, topic, queueId);
    if (queue !== undefined) {
      this.leases.move(queue, popOffset);
      this.journal.moved(queue, popOffset);
    }
    this.#context.offsets.commitOffset("ResetPopOffset", group, topic, queueId, popOffset);
  }

  // Unordered pops

  /**
   * Leases the messages at `queueOffsets` to whoever has popped them. When the journal can not take it the leases hold as
   * long as the process: after that the messages are given out again.
   */
  lease(
    group: string,
    topic: string,
    queueId: number,
    queueOffsets: readonly number[],
    nextOffset: number,
    popTime: number,
    invisibleMs: number,
  ): void {
    const queue = this.leases.add(group, topic, queueId, nextOffset);
    queue.popOffset = nextOffset;
    queue.lastUsedMs = popTime;
    if (queueOffsets.length > 0) {
      const leases = queueOffsets.map((offset) => this.leases.lease(queue, offset, popTime, invisibleMs));
      this.journal.leased(queue, leases);
      this.onLease();
    }
    this.commit(queue, "PopMessage");
  }

  ack(handle: Handle): Outcome {
    const queue = this.leases.find(handle.group, handle.topic, handle.queueId);
    const lease = queue?.leases.get(handle.queueOffset);
    if (queue === undefined || lease === undefined || lease.popTime !== handle.popTime) {
      const outcome = this.#unleased(handle, queue);
      // Apache may have given it out: then its checkpoint is still to come.
      const isForeign = outcome === "nothing" && handle.popTime < this.#startedMs;
      const kept = isForeign ? this.#keepEarly(handle) : Put.PUT_OK;
      return kept === Put.PUT_OK ? outcome : { failed: kept };
    }
    const status = this.journal.settled(queue, [handle.queueOffset]);
    if (status !== Put.PUT_OK) return { failed: status };
    this.leases.settle(lease);
    this.commit(queue, "AckMessage");
    return { done: true, popTime: handle.popTime, invisibleMs: handle.invisibleMs };
  }

  changeInvisibleTime(handle: Handle, invisibleMs: number): Outcome {
    const queue = this.leases.find(handle.group, handle.topic, handle.queueId);
    const lease = queue?.leases.get(handle.queueOffset);
    if (lease === undefined || lease.popTime !== handle.popTime) return this.#unleased(handle, queue);
    // Two extensions in one millisecond make two handles.
    const popTime = Math.max(this.#context.clock.nowMs(), lease.popTime + 1);
    const status = this.journal.renewed(lease, popTime, invisibleMs);
    if (status !== Put.PUT_OK) return { failed: status };
    this.leases.renew(lease, popTime, invisibleMs);
    this.onLease();
    return { done: true, popTime, invisibleMs };
  }

  #unleased(handle: Handle, queue: LeaseQueue | undefined): Outcome {
    const { clock, offsets } = this.#context;
    const { group, topic, queueId, queueOffset, popTime, invisibleMs } = handle;
    if (queue?.leases.has(queueOffset) === true) return "overtaken";
    const popped = Math.max(queue?.popOffset ?? -1, offsets.queryOffset(group, topic, queueId));
    if (queueOffset >= popped || popTime > clock.nowMs()) return "never popped";
    return popTime + invisibleMs <= clock.nowMs() ? "expired" : "nothing";
  }

  /** The group's offset follows what is settled; never backwards, and not while an administrator moves it. */
  commit(queue: LeaseQueue, who: string): void {
    const { offsets } = this.#context;
    const { group, topic, queueId, settledOffset } = queue;
    if (settledOffset <= offsets.queryOffset(group, topic, queueId)) return;
    offsets.commitOffset(who, group, topic, queueId, settledOffset);
  }

  // Ordered pops

  isBlocked(
    group: string,
    topic: string,
    queueId: number,
    attemptId: string | undefined,
    invisibleMs: number,
  ): boolean {
    const info = this.orders.get(topic, group, queueId);
    return info?.isBlocked(attemptId, invisibleMs, this.#context.clock.nowMs()) === true;
  }

  /** What an ordered pop from `begin` on is to leave out: acknowledged before its turn. */
  passedOffsets(group: string, topic: string, queueId: number, begin: number): ReadonlySet<number> | undefined {
    const info = this.orders.get(topic, group, queueId);
    const passed = info?.ackedBehindFirst;
    // A filter may have gone past messages that nobody acknowledges then.
    if (info === undefined || passed === undefined || begin <= info.nextOffset) return passed;
    return new Set([...passed].filter((queueOffset) => queueOffset >= begin));
  }

  /** Answers what the pop's answer says about how often its messages were popped. */
  leaseOrdered(
    group: string,
    topic: string,
    queueId: number,
    attemptId: string | undefined,
    queueOffsets: readonly number[],
    popTime: number,
    invisibleMs: number,
  ): string[] {
    const before = this.orders.get(topic, group, queueId);
    const info = new OrderInfo(attemptId, popTime, invisibleMs, [...queueOffsets], this.#context.clock.nowMs());
    if (before !== undefined) info.continue(before);
    this.orders.set(topic, group, queueId, info);
    this.#journalOrder(group, topic, queueId, info);
    this.onLock(topic, group, queueId, info.freeAtMs());
    return info.orderCountPieces(topic, queueId);
  }

  ackOrdered(handle: Handle, client: string): Outcome {
    const { offsets } = this.#context;
    const { group, topic, queueId, queueOffset, popTime, invisibleMs } = handle;
    if (queueOffset < offsets.queryOffset(group, topic, queueId)) return "nothing";
    const info = this.orders.get(topic, group, queueId);
    if (info === undefined) return "expired";
    // Apache says yes to every handle that is not the newest, also where the message will come again.
    if (info.popTime !== popTime) {
      if (info.isAcked(queueOffset)) return "nothing";
      return popTime + invisibleMs <= this.#context.clock.nowMs() ? "expired" : "overtaken";
    }
    const index = info.queueOffsets.indexOf(queueOffset);
    if (index < 0) return "illegal";
    const wasAcked = info.acked[index]!;
    info.acked[index] = true;
    const status = this.#journalOrder(group, topic, queueId, info);
    if (status !== Put.PUT_OK) {
      info.acked[index] = wasAcked;
      return { failed: status };
    }
    this.orders.touch();
    if (!offsets.hasOffsetReset(topic, group, queueId)) {
      offsets.commitOffset(client, group, topic, queueId, info.nextOffset);
    }
    this.onLock(topic, group, queueId, info.freeAtMs());
    return { done: true, popTime, invisibleMs };
  }

  changeInvisibleTimeOrdered(handle: Handle, invisibleMs: number): Outcome {
    const { clock, offsets } = this.#context;
    const { group, topic, queueId, queueOffset, popTime } = handle;
    if (queueOffset < offsets.queryOffset(group, topic, queueId)) return "nothing";
    const info = this.orders.get(topic, group, queueId);
    if (info === undefined || info.popTime !== popTime) return "expired";
    if (!info.queueOffsets.includes(queueOffset)) return "illegal";
    const before = info.visibleAtMs.get(queueOffset);
    const visibleAtMs = clock.nowMs() + invisibleMs;
    info.visibleAtMs.set(queueOffset, visibleAtMs);
    const status = this.#journalOrder(group, topic, queueId, info);
    if (status !== Put.PUT_OK) {
      if (before === undefined) info.visibleAtMs.delete(queueOffset);
      else info.visibleAtMs.set(queueOffset, before);
      return { failed: status };
    }
    this.orders.touch();
    this.onLock(topic, group, queueId, info.freeAtMs());
    // The handle keeps its pop time, so what it says of the invisible time counts from there.
    return { done: true, popTime, invisibleMs: visibleAtMs - popTime };
  }

  #journalOrder(group: string, topic: string, queueId: number, info: OrderInfo): PutStatus {
    const committed = this.#context.offsets.queryOffset(group, topic, queueId);
    return this.journal.ordered(group, topic, queueId, Math.max(committed, info.nextOffset), info);
  }

  clearOrder(group: string, topic: string, queueId: number): void {
    if (this.orders.get(topic, group, queueId) === undefined) return;
    this.orders.clear(topic, group, queueId);
    this.journal.unordered(group, topic, queueId);
  }

  // What an Apache broker has given out

  /** Makes leases of a checkpoint: they hold until `untilMs` at least. */
  adopt(pop: Omit<Handle, "queueOffset">, queueOffsets: readonly number[], untilMs: number): void {
    const { offsets, log } = this.#context;
    const { group, topic, queueId, popTime, invisibleMs } = pop;
    const open = queueOffsets.filter((queueOffset) => !this.early.take({ ...pop, queueOffset }));
    const committed = offsets.queryOffset(group, topic, queueId);
    const queue = this.leases.add(group, topic, queueId, Math.max(0, committed));
    // What the group has yet to pop comes to it anyway, and what was popped here has a newer handle.
    const wanted = open.filter((offset) => offset < queue.popOffset && !queue.leases.has(offset));
    if (wanted.length === 0) return;
    const leases = wanted.map((offset) => this.leases.lease(queue, offset, popTime, invisibleMs));
    queue.sort();
    for (const lease of leases) this.leases.postpone(lease, Math.max(lease.deadlineMs, untilMs));
    this.journal.leased(queue, leases);
    log.info({ group, topic, queueId, queueOffsets: wanted }, "leases of an Apache broker taken over");
    this.onLease();
  }

  /** An acknowledgement that Apache has written; where its checkpoint is yet to come it is kept for it. */
  settleAdopted(handle: Handle): void {
    const queue = this.leases.find(handle.group, handle.topic, handle.queueId);
    const lease = queue?.leases.get(handle.queueOffset);
    if (queue === undefined || lease?.popTime !== handle.popTime) {
      this.#keepEarly(handle);
      return;
    }
    this.journal.settled(queue, [handle.queueOffset]);
    this.leases.settle(lease);
    this.commit(queue, "ApacheCheckpoints");
  }

  #keepEarly(handle: Handle): PutStatus {
    const early = this.early.add(handle, this.#context.clock.nowMs());
    return early === undefined ? Put.PUT_OK : this.journal.early(early);
  }

  // What goes

  forgetTopic(topic: string): void {
    this.orders.removeTopic(topic);
    if (this.leases.removeTopic(topic)) this.journal.topicForgotten(topic);
  }

  forgetGroup(group: string): void {
    this.orders.removeGroup(group);
    if (this.leases.removeGroup(group)) this.journal.groupForgotten(group);
  }
}
