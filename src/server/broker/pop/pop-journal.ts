/**
 * The journal of leases: every change of what pop-state keeps in memory, as messages of one queue of the commit log
 * (records: journal-record.ts). It is written before the client is answered and is as durable as any message; and since
 * the log keeps its order, whoever finds that a message was put into a retry topic finds that message, too.
 *
 * Apache knows no such topic and leaves it alone. It finds the committed offsets, which never pass a message that is
 * neither acknowledged nor in a retry topic, and gives out again what lies behind them.
 */
import { encodeProperties } from "../../../record/properties.js";
import { PropertyName } from "../../../record/property-names.js";
import { toFastjson } from "../../../remoting/fastjson.js";
import type { MessageStore } from "../../../store/message-store.js";
import { PutStatus, type QueueHandle } from "../../../store/types.js";
import { emptyMessage, emptyPutResult } from "../message-copy.js";
import { POP_JOURNAL_TOPIC } from "../names.js";
import type { EarlyAck } from "./early-acks.js";
import { JournalKind, JournalWriter } from "./journal-record.js";
import type { Lease, LeaseQueue } from "./leases.js";
import type { OrderInfo } from "./order-info.js";

/** Tells snapshots from other records in the queue's entries. */
export const SNAPSHOT_TAG = "snapshot";
const SNAPSHOT_PROPERTIES = encodeProperties([[PropertyName.TAGS, SNAPSHOT_TAG]]);

const NO_HOST = Buffer.from([127, 0, 0, 1, 0, 0, 0, 0]);

export class PopJournal {
  /** Undefined before the first record: a broker that nobody pops from has no such topic. */
  handle: QueueHandle | undefined;
  /** Where the last record ends: durable when the store's flushed position has reached it. */
  position = 0;
  /** Records since the last snapshot. */
  recordCount = 0;
  onRecord: () => void = () => {};
  readonly #store: MessageStore;
  readonly #nowMs: () => number;
  readonly #makeTopic: () => void;
  readonly #writer = new JournalWriter();
  readonly #message = emptyMessage();
  readonly #result = emptyPutResult();
  #nextOffset: number;

  /** `makeTopic` makes the journal's topic known, so that nobody takes its queue for a topic's that was deleted. */
  constructor(store: MessageStore, nowMs: () => number, makeTopic: () => void) {
    this.#store = store;
    this.#nowMs = nowMs;
    this.#makeTopic = makeTopic;
    const known = store.findQueue(POP_JOURNAL_TOPIC, 0);
    this.#nextOffset = known === undefined ? 0 : store.maxOffset(known);
    if (this.#nextOffset > 0) this.#open();
    this.#message.bornHost = NO_HOST;
    this.#message.storeHost = NO_HOST;
  }

  #open(): QueueHandle {
    this.#makeTopic();
    this.handle = this.#store.queue(POP_JOURNAL_TOPIC, 0);
    this.handle.quiet = true;
    this.#message.queue = this.handle;
    return this.handle;
  }

  // Each answers PUT_OK when the log has it.

  leased(queue: LeaseQueue, leases: readonly Lease[]): PutStatus {
    const { popTime, invisibleMs } = leases[0]!;
    const writer = this.#begin(JournalKind.LEASED, queue);
    writer.double(popTime).double(invisibleMs).double(queue.popOffset).uint16(leases.length);
    for (const lease of leases) writer.double(lease.queueOffset);
    return this.#put();
  }

  settled(queue: LeaseQueue, queueOffsets: readonly number[]): PutStatus {
    const writer = this.#begin(JournalKind.SETTLED, queue).uint16(queueOffsets.length);
    for (const queueOffset of queueOffsets) writer.double(queueOffset);
    return this.#put();
  }

  renewed({ queue, queueOffset }: Lease, popTime: number, invisibleMs: number): PutStatus {
    this.#begin(JournalKind.RENEWED, queue).double(popTime).double(invisibleMs).double(queueOffset);
    return this.#put();
  }

  moved(queue: LeaseQueue, popOffset: number): PutStatus {
    this.#begin(JournalKind.MOVED, queue).double(popOffset);
    return this.#put();
  }

  ordered(group: string, topic: string, queueId: number, committedOffset: number, info: OrderInfo): PutStatus {
    this.#writer.begin(JournalKind.ORDERED, group, topic, queueId).double(committedOffset);
    this.#writer.text(toFastjson(info.toJson()));
    return this.#put();
  }

  unordered(group: string, topic: string, queueId: number): PutStatus {
    this.#writer.begin(JournalKind.UNORDERED, group, topic, queueId);
    return this.#put();
  }

  early({ group, topic, queueId, queueOffset, popTime, untilMs }: EarlyAck): PutStatus {
    this.#writer.begin(JournalKind.EARLY, group, topic, queueId).double(queueOffset).double(popTime).double(untilMs);
    return this.#put();
  }

  topicForgotten(topic: string): PutStatus {
    this.#writer.begin(JournalKind.FORGOTTEN, "", topic, 0);
    return this.#put();
  }

  groupForgotten(group: string): PutStatus {
    this.#writer.begin(JournalKind.FORGOTTEN, group, "", 0);
    return this.#put();
  }

  // Snapshots

  get isEmpty(): boolean {
    return this.#nextOffset === 0;
  }

  /** Where the next record will stand in the journal's queue. */
  begin(): number {
    return this.#nextOffset;
  }

  queue(queue: LeaseQueue, committedOffset: number, leases: readonly Lease[]): PutStatus {
    const writer = this.#begin(JournalKind.QUEUE, queue);
    writer.double(queue.popOffset).double(committedOffset).int32(leases.length);
    for (const lease of leases) writer.double(lease.queueOffset).double(lease.popTime).double(lease.invisibleMs);
    return this.#put();
  }

  snapshot(first: number, isClean: boolean): PutStatus {
    this.#writer
      .begin(JournalKind.SNAPSHOT, "", "", 0)
      .double(first)
      .int32(isClean ? 1 : 0);
    this.#message.properties = SNAPSHOT_PROPERTIES;
    this.#message.propertiesLength = SNAPSHOT_PROPERTIES.length;
    const status = this.#put();
    this.#message.propertiesLength = 0;
    if (status === PutStatus.PUT_OK) this.recordCount = 0;
    return status;
  }

  #begin(kind: number, { group, topic, queueId }: LeaseQueue): JournalWriter {
    return this.#writer.begin(kind, group, topic, queueId);
  }

  #put(): PutStatus {
    if (this.handle === undefined) this.#open();
    const message = this.#message;
    message.body = this.#writer.bytes;
    message.bodyLength = this.#writer.length;
    message.bornTimestamp = this.#nowMs();
    const status = this.#store.put(message, this.#result);
    if (status !== PutStatus.PUT_OK) return status;
    this.position = this.#result.phyOffset + this.#result.sizeBytes;
    this.#nextOffset = this.#result.queueOffset + 1;
    this.recordCount++;
    this.onRecord();
    return status;
  }
}
