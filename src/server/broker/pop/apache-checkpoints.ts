/**
 * Takes over what was popped from an Apache broker before its store came here. Apache writes a checkpoint for each pop and
 * a message for each acknowledgement (store/pop/PopCheckPoint.java, AckMsg.java, BatchAckMsg.java); both wait in its timer
 * for the end of the invisible time and come into the revive topic then. Here a checkpoint makes leases, an
 * acknowledgement settles them, and what is left after some patience is given out again like any other message.
 */
import { CometError } from "../../../base/errors.js";
import { asciiName, findProperty, ValueRange } from "../../../record/properties.js";
import { PropertyName } from "../../../record/property-names.js";
import { RecordView } from "../../../record/record-view.js";
import { type FastjsonMap, parseFastjson } from "../../../remoting/fastjson.js";
import type { MessageStore } from "../../../store/message-store.js";
import type { QueueHandle } from "../../../store/types.js";
import { asLong, asMap, intMember, listMember, longMember, textMember } from "../../protocol/members.js";
import type { BrokerContext } from "../context.js";
import { reviveTopic } from "../default-topics.js";
import { isSafeName } from "../names.js";
import { noteReadFailure, READ_RETRY_MS } from "../read-failure.js";
import { topicQueue } from "../topic-config.js";
import type { PopState } from "./pop-state.js";

const REVIVE_GROUP = "CID_RMQ_SYS_REVIVE_GROUP";
/** Acknowledgements come out of the timer a second behind their checkpoint, or later where it has much to do. */
const PATIENCE_MS = 10_000;
const TURN_MESSAGES_MAX = 256;
const OFFSETS_MAX = 128;
const BODY_BYTES_MAX = 64 * 1024;
const TAGS = asciiName(PropertyName.TAGS);

export class ApacheCheckpoints {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #state: PopState;
  readonly #topic: string;
  readonly #record = new RecordView();
  readonly #range = new ValueRange();
  /** What is to be read next of each queue. */
  readonly #next: number[] = [];
  #isScheduled = false;
  #running = false;

  constructor(context: BrokerContext, store: MessageStore, state: PopState) {
    this.#context = context;
    this.#store = store;
    this.#state = state;
    this.#topic = reviveTopic(context.config.brokerClusterName);
    store.onArrival((queue) => {
      if (queue.topic === this.#topic) this.#schedule();
    });
  }

  start(): void {
    this.#running = true;
    for (const queue of this.#queues()) {
      const done = this.#context.offsets.queryOffset(REVIVE_GROUP, this.#topic, queue.queueId);
      this.#next[queue.queueId] = Math.max(this.#store.minOffset(queue), done + 1);
    }
    this.#schedule();
  }

  close(): void {
    this.#running = false;
  }

  #queues(): QueueHandle[] {
    const topic = this.#context.topics.get(this.#topic);
    if (topic === undefined) return [];
    return Array.from({ length: topic.readQueueNums }, (_, id) => topicQueue(this.#context.store, topic, id));
  }

  #schedule(delayMs = 0): void {
    if (this.#isScheduled || !this.#running) return;
    this.#isScheduled = true;
    this.#context.clock.schedule(delayMs, () => {
      this.#isScheduled = false;
      if (!this.#running) return;
      try {
        if (this.#turn()) this.#schedule();
      } catch (error) {
        noteReadFailure(error, this.#context.log, "a checkpoint of an Apache broker");
        this.#schedule(READ_RETRY_MS);
      }
    });
  }

  /** True when there is more. */
  #turn(): boolean {
    let left = TURN_MESSAGES_MAX;
    for (const queue of this.#queues()) {
      const before = this.#next[queue.queueId] ?? 0;
      let offset = Math.max(before, this.#store.minOffset(queue));
      while (left > 0 && offset < this.#store.maxOffset(queue)) {
        this.#take(queue, offset++);
        this.#next[queue.queueId] = offset;
        left--;
      }
      // Apache's offset is that of the last message it is done with.
      if (offset > before) {
        this.#context.offsets.commitOffset("ApacheCheckpoints", REVIVE_GROUP, this.#topic, queue.queueId, offset - 1);
      }
    }
    return left === 0;
  }

  #take(queue: QueueHandle, offset: number): void {
    const { lookUp } = this.#store;
    const record = lookUp.readRecord(lookUp.phyOffsetOf(queue, offset), this.#record);
    if (record === undefined) return;
    const { bodyStart, bodyLength, propertiesStart, propertiesLength } = this.#record;
    const range = this.#range;
    if (!findProperty(record, propertiesStart, propertiesStart + propertiesLength, TAGS, range)) return;
    if (bodyLength > BODY_BYTES_MAX) return;
    const tag = record.toString("utf8", range.start, range.end);
    try {
      const body = asMap(parseFastjson(record.subarray(bodyStart, bodyStart + bodyLength)) ?? null, "The body");
      if (tag === "ck") this.#takeCheckpoint(body);
      else if (tag === "ack") this.#takeAck(body, [either(body, "ao", "ackOffset")]);
      else if (tag === "bAck") this.#takeAck(body, offsetsOf(body));
    } catch (error) {
      if (!(error instanceof CometError)) throw error;
      const fields = { topic: this.#topic, queueId: queue.queueId, offset, err: error };
      this.#context.log.error(fields, "a checkpoint or acknowledgement of an Apache broker can not be read");
    }
  }

  #takeCheckpoint(body: FastjsonMap): void {
    const target = this.#target(body);
    if (target === undefined) return;
    const startOffset = longMember(body, "so", 0);
    const popTime = longMember(body, "pt", 0);
    const invisibleMs = longMember(body, "it", 0);
    const ackedBits = longMember(body, "bm", 0);
    const count = intMember(body, "n", 0);
    const distances = listMember(body, "d").map((item) => asLong(item, "d"));
    if (count < 0 || count > OFFSETS_MAX || invisibleMs < 0 || startOffset < 0) {
      throw new CometError("COMETMQ_BAD_REQUEST", "The numbers of a checkpoint are out of range.");
    }
    const open: number[] = [];
    for (let i = 0; i < count; i++) {
      const isAcked = Math.floor(ackedBits / 2 ** i) % 2 === 1;
      if (!isAcked) open.push(startOffset + (distances.length > i ? distances[i]! : i));
    }
    this.#state.adopt({ ...target, popTime, invisibleMs }, open, this.#context.clock.nowMs() + PATIENCE_MS);
  }

  #takeAck(body: FastjsonMap, queueOffsets: readonly number[]): void {
    const target = this.#target(body);
    if (target === undefined) return;
    const popTime = either(body, "pt", "popTime");
    for (const queueOffset of queueOffsets) {
      this.#state.settleAdopted({ ...target, queueOffset, popTime, invisibleMs: 0 });
    }
  }

  /** Undefined for one of another broker, or that could not be popped here. */
  #target(body: FastjsonMap): { group: string; topic: string; queueId: number } | undefined {
    const { config } = this.#context;
    const group = textMember(body, "c") ?? textMember(body, "consumerGroup") ?? "";
    const topic = textMember(body, "t") ?? textMember(body, "topic") ?? "";
    const brokerName = textMember(body, "bn") ?? textMember(body, "brokerName") ?? "";
    const queueId = intMember(body, "q", intMember(body, "queueId", -1));
    if (brokerName !== "" && brokerName !== config.brokerName) return undefined;
    if (!isSafeName(group) || !isSafeName(topic) || queueId < 0) return undefined;
    return { group, topic, queueId };
  }
}

function either(body: FastjsonMap, short: string, long: string): number {
  return longMember(body, short, longMember(body, long, 0));
}

function offsetsOf(body: FastjsonMap): number[] {
  const list = body.get("aol") === undefined ? listMember(body, "ackOffsetList") : listMember(body, "aol");
  if (list.length > OFFSETS_MAX) {
    throw new CometError("COMETMQ_BAD_REQUEST", "A batch of acknowledgements has too many offsets.");
  }
  return list.map((item) => asLong(item, "aol"));
}
