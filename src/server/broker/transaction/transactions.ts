/**
 * The transactions of a broker (broker/transaction): where half messages are put, which of them have ended, and how far
 * the two system queues are done with. That is kept where Apache keeps it, in the offsets of the group CID_RMQ_SYS_TRANS,
 * so that either broker goes on where the other has stopped.
 *
 * The offsets that are saved never pass what is not on the disk: should the log lose its tail, the half messages whose
 * commit is lost with it are before the queue's offset no more, and are asked about again.
 */
import { failpoint } from "../../../base/failpoint.js";
import type { MessageStore } from "../../../store/message-store.js";
import type { QueueHandle } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import { ROCKSDB_HALF_TOPIC, TRANSACTION_HALF_TOPIC, TRANSACTION_OP_TOPIC } from "../names.js";
import { TRANSACTION_GROUP } from "../subscription-group.js";
import { type Topic, topicQueue } from "../topic-config.js";
import { EndedHalves, HalfState } from "./ended-halves.js";
import { OperationLog } from "./operation-log.js";

export class Transactions {
  readonly topic: Topic;
  /** Where half messages wait. */
  readonly halfQueue: QueueHandle;
  readonly operations: OperationLog;
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #ended = new EndedHalves();
  /** Every half message before this one is done with. */
  #doneOffset = 0;
  #saving: Promise<void> | undefined;

  constructor(context: BrokerContext, store: MessageStore) {
    this.#context = context;
    this.#store = store;
    // Nobody can delete a system topic.
    this.topic = context.topics.get(TRANSACTION_HALF_TOPIC)!;
    this.halfQueue = topicQueue(context.store, this.topic, 0);
    this.halfQueue.quiet = true;
    this.operations = new OperationLog(context, store, this.halfQueue, this.#ended);
    this.#load();
  }

  #load(): void {
    this.#doneOffset = this.#savedOffset(TRANSACTION_HALF_TOPIC, this.halfQueue);
    this.#ended.trim(this.#doneOffset);
    const opOffset = this.#savedOffset(TRANSACTION_OP_TOPIC, this.operations.queue);
    this.operations.load(opOffset);
    const { log, store, topics } = this.#context;
    const foreign = topics.get(ROCKSDB_HALF_TOPIC);
    if (foreign !== undefined && this.#store.maxOffset(topicQueue(store, foreign, 0)) > 0) {
      log.warn({ topic: ROCKSDB_HALF_TOPIC }, "transactions that Apache keeps in its RocksDB can not be ended here");
    }
  }

  #savedOffset(topic: string, queue: QueueHandle): number {
    const minOffset = this.#store.minOffset(queue);
    const maxOffset = this.#store.maxOffset(queue);
    const saved = this.#context.offsets.queryOffset(TRANSACTION_GROUP, topic, 0);
    const offset = Math.max(minOffset, Math.min(saved, maxOffset));
    if (saved > maxOffset) {
      const fields = { topic, saved, minOffset, maxOffset };
      this.#context.log.error(fields, "the saved offset of the transactions lies outside of their queue");
    }
    return offset;
  }

  get doneOffset(): number {
    return this.#doneOffset;
  }

  /** A half message of `realTopic` was put. */
  stored(realTopic: string, storeTimestamp: number): void {
    this.#context.transactionMetrics.add(realTopic, 1, storeTimestamp);
    failpoint("transaction-half-after");
  }

  /** How the message at `halfOffset` has ended, which was at `firstOffset` before it was put back for the first time. */
  stateOf(halfOffset: number, firstOffset: number): HalfState {
    const state = this.#ended.get(halfOffset);
    return state === HalfState.OPEN && firstOffset < halfOffset ? this.#ended.get(firstOffset) : state;
  }

  ended(halfOffset: number, firstOffset: number, state: HalfState, realTopic: string | undefined, nowMs: number): void {
    this.#ended.mark(halfOffset, state);
    this.operations.add(halfOffset);
    if (firstOffset < halfOffset) {
      // It may have been put back once more, which only its first offset tells.
      this.#ended.mark(firstOffset, state);
      this.operations.add(firstOffset);
    }
    this.countEnd(realTopic, nowMs);
  }

  countEnd(realTopic: string | undefined, nowMs: number): void {
    const { topics, transactionMetrics } = this.#context;
    if (realTopic !== undefined && topics.get(realTopic) !== undefined) transactionMetrics.add(realTopic, -1, nowMs);
  }

  /** Everything before `halfOffset` has ended, was put back, or given up. */
  passed(halfOffset: number): void {
    this.#doneOffset = halfOffset;
    this.#ended.trim(halfOffset);
  }

  /** Lets the offsets of the group follow, once the disk has what they stand on. */
  save(): Promise<void> {
    this.#saving ??= this.#save().finally(() => {
      this.#saving = undefined;
    });
    return this.#saving;
  }

  async #save(): Promise<void> {
    this.operations.flush();
    const halfOffset = this.#doneOffset;
    const opOffset = this.operations.doneOffset(halfOffset);
    const durable = await this.#store.whenFlushed(this.#store.maxPhyOffset).then(
      () => true,
      () => false,
    );
    if (!durable) return;
    this.#commitOffset(TRANSACTION_HALF_TOPIC, halfOffset);
    this.#commitOffset(TRANSACTION_OP_TOPIC, opOffset);
  }

  #commitOffset(topic: string, offset: number): void {
    const { offsets, brokerAddress } = this.#context;
    if (Math.max(0, offsets.queryOffset(TRANSACTION_GROUP, topic, 0)) === offset) return;
    offsets.commitOffset(brokerAddress(), TRANSACTION_GROUP, topic, 0, offset);
  }

  async close(): Promise<void> {
    this.operations.close();
    await this.#saving;
    await this.save();
  }
}
