/**
 * Makes the state of pop consumption again from the journal: the last snapshot and what came after it. Where the broker
 * was closed properly and an offset in `consumerOffset.json` is not the one it left there, somebody else has served the
 * group since, and is believed.
 */

import { CometError } from "../../../base/errors.js";
import { javaHash } from "../../../base/java-hash.js";
import { UnitBatch } from "../../../consumequeue/unit.js";
import { RecordView } from "../../../record/record-view.js";
import { parseFastjson } from "../../../remoting/fastjson.js";
import type { MessageStore } from "../../../store/message-store.js";
import { asMap } from "../../protocol/members.js";
import type { BrokerContext } from "../context.js";
import { JournalKind, JournalReader } from "./journal-record.js";
import type { LeaseQueue } from "./leases.js";
import { OrderInfo } from "./order-info.js";
import { SNAPSHOT_TAG } from "./pop-journal.js";
import type { PopState } from "./pop-state.js";

const BATCH_UNITS = 512;
const SNAPSHOT_CODE = javaHash(SNAPSHOT_TAG);
const LEASES_MAX = 1 << 20;

export interface PopRecoveryReport {
  /** Records read. */
  readonly recordCount: number;
  readonly malformedCount: number;
  readonly leaseCount: number;
  readonly wasClean: boolean;
}

export class PopRecovery {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #state: PopState;
  readonly #record = new RecordView();
  /** What the snapshot says that each queue's offset was. */
  readonly #committed = new Map<LeaseQueue, number>();
  /** How far ordered pops say that their groups have got. */
  readonly #ordered = new Map<string, { group: string; topic: string; queueId: number; committed: number }>();
  #isClean = false;
  #snapshotFirst = 0;

  constructor(context: BrokerContext, store: MessageStore, state: PopState) {
    this.#context = context;
    this.#store = store;
    this.#state = state;
  }

  /** Nothing is written. */
  run(): PopRecoveryReport {
    const { log, offsets } = this.#context;
    const last = this.#findSnapshot();
    // The files are as they were left, or somebody else has changed them since: they say what is ordered.
    const wasClean = this.#isClean && last === this.#state.journal.begin() - 1;
    let recordCount = 0;
    let malformedCount = 0;
    for (const body of this.#bodies(last === undefined ? 0 : this.#snapshotFirst)) {
      recordCount++;
      try {
        this.#apply(new JournalReader(body), wasClean);
      } catch (error) {
        if (!(error instanceof CometError)) throw error;
        malformedCount++;
        log.error({ err: error }, "a record of the journal of leases is left out");
      }
    }
    for (const queue of [...this.#state.leases.queues()]) this.#settle(queue, wasClean);
    for (const { group, topic, queueId, committed } of this.#ordered.values()) {
      if (committed <= offsets.queryOffset(group, topic, queueId)) continue;
      offsets.commitOffset("PopRecovery", group, topic, queueId, committed);
    }
    const report = { recordCount, malformedCount, leaseCount: this.#state.leases.size, wasClean };
    if (recordCount > 0) log.info(report, "leases of popped messages recovered");
    return report;
  }

  /** The entry of the last snapshot; its record is looked into. */
  #findSnapshot(): number | undefined {
    const { handle } = this.#state.journal;
    if (handle === undefined) return undefined;
    const units = new UnitBatch(BATCH_UNITS);
    const minOffset = this.#store.minOffset(handle);
    for (let end = this.#store.maxOffset(handle); end > minOffset; end -= BATCH_UNITS) {
      const from = Math.max(minOffset, end - BATCH_UNITS);
      const count = Math.min(end - from, this.#store.lookUp.readUnits(handle, from, units));
      for (let i = count - 1; i >= 0; i--) {
        if (units.tagsCodeLow[i] !== SNAPSHOT_CODE || !this.#readSnapshot(units.messageOffset(i))) continue;
        return from + i;
      }
    }
    return undefined;
  }

  #readSnapshot(phyOffset: number): boolean {
    const body = this.#bodyAt(phyOffset);
    if (body === undefined) return false;
    try {
      const reader = new JournalReader(body);
      if (reader.kind !== JournalKind.SNAPSHOT) return false;
      this.#snapshotFirst = reader.double();
      this.#isClean = reader.int32() === 1;
      return true;
    } catch {
      return false;
    }
  }

  *#bodies(first: number): IterableIterator<Buffer> {
    const { handle } = this.#state.journal;
    if (handle === undefined) return;
    const units = new UnitBatch(BATCH_UNITS);
    const maxOffset = this.#store.maxOffset(handle);
    let offset = Math.max(first, this.#store.minOffset(handle));
    while (offset < maxOffset) {
      const count = this.#store.lookUp.readUnits(handle, offset, units);
      if (count === 0) return;
      for (let i = 0; i < count; i++) {
        const body = this.#bodyAt(units.messageOffset(i));
        if (body !== undefined) yield body;
      }
      offset += count;
    }
  }

  #bodyAt(phyOffset: number): Buffer | undefined {
    const record = this.#store.lookUp.readRecord(phyOffset, this.#record);
    const { bodyStart, bodyLength } = this.#record;
    return record?.subarray(bodyStart, bodyStart + bodyLength);
  }

  #apply(reader: JournalReader, wasClean: boolean): void {
    const { leases, orders } = this.#state;
    const { kind, group, topic, queueId } = reader;
    switch (kind) {
      case JournalKind.LEASED:
        this.#applyLeased(reader);
        break;
      case JournalKind.SETTLED:
        this.#applySettled(reader);
        break;
      case JournalKind.RENEWED:
        this.#applyRenewed(reader);
        break;
      case JournalKind.MOVED: {
        const popOffset = reader.double();
        leases.move(leases.add(group, topic, queueId, popOffset), popOffset);
        break;
      }
      case JournalKind.ORDERED:
        if (!wasClean) this.#applyOrdered(reader);
        break;
      case JournalKind.UNORDERED:
        orders.clear(topic, group, queueId);
        this.#ordered.delete(`${topic}@${group}@${queueId}`);
        break;
      case JournalKind.FORGOTTEN:
        if (topic !== "") leases.removeTopic(topic);
        if (group !== "") leases.removeGroup(group);
        if (!wasClean && topic !== "") orders.removeTopic(topic);
        if (!wasClean && group !== "") orders.removeGroup(group);
        for (const [key, one] of this.#ordered)
          if (one.topic === topic || one.group === group) this.#ordered.delete(key);
        break;
      case JournalKind.EARLY: {
        const [queueOffset, popTime, untilMs] = [reader.double(), reader.double(), reader.double()];
        this.#state.early.restore({ group, topic, queueId, queueOffset, popTime, untilMs });
        break;
      }
      case JournalKind.QUEUE:
        this.#applyQueue(reader);
        break;
      default:
        break;
    }
  }

  #applyLeased(reader: JournalReader): void {
    const { leases } = this.#state;
    const popTime = reader.double();
    const invisibleMs = reader.double();
    const popOffset = reader.double();
    const queue = leases.add(reader.group, reader.topic, reader.queueId, popOffset);
    queue.popOffset = popOffset;
    queue.lastUsedMs = popTime;
    const count = reader.uint16();
    for (let i = 0; i < count; i++) leases.lease(queue, reader.double(), popTime, invisibleMs);
  }

  #applySettled(reader: JournalReader): void {
    const { leases } = this.#state;
    const queue = leases.find(reader.group, reader.topic, reader.queueId);
    const count = reader.uint16();
    for (let i = 0; i < count; i++) {
      const lease = queue?.leases.get(reader.double());
      if (lease !== undefined) leases.settle(lease);
    }
  }

  #applyRenewed(reader: JournalReader): void {
    const { leases } = this.#state;
    const popTime = reader.double();
    const invisibleMs = reader.double();
    const lease = leases.find(reader.group, reader.topic, reader.queueId)?.leases.get(reader.double());
    if (lease !== undefined) leases.renew(lease, popTime, invisibleMs);
  }

  #applyOrdered(reader: JournalReader): void {
    const { group, topic, queueId } = reader;
    const committed = reader.double();
    const info = parseFastjson(Buffer.from(reader.text()));
    if (info === undefined) throw new CometError("COMETMQ_STORE_CORRUPT", "An ordered pop in the journal is no JSON.");
    this.#state.orders.set(topic, group, queueId, OrderInfo.fromJson(asMap(info, "an ordered pop")));
    this.#ordered.set(`${topic}@${group}@${queueId}`, { group, topic, queueId, committed });
  }

  #applyQueue(reader: JournalReader): void {
    const { leases } = this.#state;
    const popOffset = reader.double();
    const committed = reader.double();
    const queue = leases.add(reader.group, reader.topic, reader.queueId, popOffset);
    queue.popOffset = popOffset;
    this.#committed.set(queue, committed);
    const count = reader.int32();
    if (count < 0 || count > LEASES_MAX) throw new CometError("COMETMQ_STORE_CORRUPT", "A snapshot has a wild count.");
    for (let i = 0; i < count; i++) {
      const queueOffset = reader.double();
      leases.lease(queue, queueOffset, reader.double(), reader.double());
    }
  }

  #settle(queue: LeaseQueue, wasClean: boolean): void {
    const { offsets, log } = this.#context;
    const { group, topic, queueId } = queue;
    const committed = offsets.queryOffset(group, topic, queueId);
    const left = this.#committed.get(queue);
    if (wasClean && committed >= 0 && left !== undefined && left !== committed) {
      const fields = { group, topic, queueId, left, committed, leaseCount: queue.leases.size };
      log.warn(fields, "another broker has moved the group's offset since: what was leased here counts no more");
      this.#state.leases.remove(queue);
      return;
    }
    queue.sort();
    queue.popOffset = Math.max(queue.popOffset, committed);
    this.#state.commit(queue, "PopRecovery");
  }
}
