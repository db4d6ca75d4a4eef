/**
 * The whole state of pop consumption in the journal, now and then: what a start has to read begins there. A snapshot is
 * QUEUE and ORDERED records and, when all of them are in, one SNAPSHOT record, which is found by its tag.
 */
import type { Clock, Timer } from "../../../base/clock.js";
import { PutStatus } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import type { LeaseQueue } from "./leases.js";
import type { PopState } from "./pop-state.js";

/** A start has to read no more than about so many records. */
const RECORDS_MAX = 50_000;
const INTERVAL_MS = 600_000;
/** A queue that nobody has popped for so long, and of which nothing is leased, is known by its offset alone. */
const IDLE_MS = 600_000;
const LEASES_PER_RECORD = 2000;

export class PopSnapshots {
  readonly #context: BrokerContext;
  readonly #state: PopState;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #soon: Timer | undefined;
  #closed = false;

  constructor(context: BrokerContext, state: PopState) {
    this.#context = context;
    this.#state = state;
    this.#clock = context.clock;
    state.journal.onRecord = () => {
      if (state.journal.recordCount >= RECORDS_MAX) this.#writeSoon();
    };
  }

  start(): void {
    const round = (): void => {
      if (this.#state.journal.recordCount > 0) this.write(false);
      this.start();
    };
    this.#timer = this.#clock.schedule(INTERVAL_MS, round, true);
  }

  /** What was done is finished first: a snapshot in the middle of it would have half of it. */
  #writeSoon(): void {
    if (this.#closed) return;
    this.#soon ??= this.#clock.schedule(0, () => {
      this.#soon = undefined;
      this.write(false);
    });
  }

  /** `isClean` is of the last one: nothing happens after it, and the files are saved as they are now. */
  write(isClean: boolean): boolean {
    const { leases, orders, journal } = this.#state;
    const { offsets } = this.#context;
    this.#forgetIdle();
    const first = journal.begin();
    for (const queue of leases.queues()) {
      const committed = offsets.queryOffset(queue.group, queue.topic, queue.queueId);
      const all = [...queue.leases.values()];
      for (let i = 0; i === 0 || i < all.length; i += LEASES_PER_RECORD) {
        const status = journal.queue(queue, committed, all.slice(i, i + LEASES_PER_RECORD));
        if (status !== PutStatus.PUT_OK) return this.#failed(status);
      }
    }
    for (const { group, topic, queueId, info } of orders.all()) {
      const status = journal.ordered(group, topic, queueId, offsets.queryOffset(group, topic, queueId), info);
      if (status !== PutStatus.PUT_OK) return this.#failed(status);
    }
    for (const early of this.#state.early.values(this.#clock.nowMs())) {
      const status = journal.early(early);
      if (status !== PutStatus.PUT_OK) return this.#failed(status);
    }
    const status = journal.snapshot(first, isClean);
    return status === PutStatus.PUT_OK || this.#failed(status);
  }

  #failed(status: PutStatus): boolean {
    this.#context.log.warn({ status }, "no snapshot of the leases of popped messages can be stored now");
    return false;
  }

  /** Once their offsets are on the disk, idle queues are in no further snapshot. */
  #forgetIdle(): void {
    const { clock, offsets } = this.#context;
    const { leases } = this.#state;
    const isIdle = (queue: LeaseQueue): boolean => {
      const committed = offsets.queryOffset(queue.group, queue.topic, queue.queueId);
      const isDone = queue.leases.size === 0 && committed >= queue.popOffset;
      return isDone && clock.nowMs() - queue.lastUsedMs > IDLE_MS;
    };
    const idle = [...leases.queues()].filter(isIdle);
    if (idle.length === 0) return;
    const forget = (problem: string | undefined): void => {
      if (problem !== undefined || this.#closed) return;
      for (const queue of idle) if (isIdle(queue)) leases.remove(queue);
    };
    const saving = offsets.saver.saveIfDirty();
    if (saving === undefined) forget(undefined);
    else void saving.then(forget);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#soon?.cancel();
    const { journal, leases, orders } = this.#state;
    if (journal.isEmpty && leases.size === 0 && orders.isEmpty) return;
    this.write(true);
  }
}
