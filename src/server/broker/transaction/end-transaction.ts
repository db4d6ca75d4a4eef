/**
 * Code 37: a producer says how a transaction ends (broker/processor/EndTransactionProcessor.java). A commit puts the
 * message where it was meant to go, then the half message is marked as ended; a rollback only marks it. Clients send this
 * one-way, and whatever is lost of it they are asked for again.
 *
 * The second word on a transaction that was committed or rolled back changes nothing; Apache delivers a message once more
 * for every commit, also one that was rolled back.
 */
import { failpoint } from "../../../base/failpoint.js";
import { RecentText } from "../../../base/recent-text.js";
import { decodeProperties, encodeProperties } from "../../../record/properties.js";
import {
  TRANSACTION_COMMIT_TYPE,
  TRANSACTION_NOT_TYPE,
  TRANSACTION_ROLLBACK_TYPE,
  withTransactionType,
} from "../../../record/sys-flag.js";
import { RequestCode, ResponseCode } from "../../../remoting/codes.js";
import type { HeaderView } from "../../../remoting/header-view.js";
import type { Connection, Processor, Request } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import { PutStatus } from "../../../store/types.js";
import { type Answer, answerOf, failure, SUCCESS } from "../../answer.js";
import { type Asker, topicRefusal } from "../../auth/record-access.js";
import type { BrokerContext } from "../context.js";
import type { FlushWaiters } from "../flush-waiters.js";
import { LightQueueNotice } from "../light-queues.js";
import { emptyMessage, emptyPutResult, forgetBytes } from "../message-copy.js";
import { isNotAllowedSendTopic, isSafeName } from "../names.js";
import { batchQueuesRemark, flushAnswer, putRefusal, wrongField } from "../put-remark.js";
import type { ScheduleMessageService } from "../schedule-message.js";
import { markDelayed } from "../stored-properties.js";
import { type Topic, topicQueue } from "../topic-config.js";
import { HalfState } from "./ended-halves.js";
import { HalfMessage } from "./half-message.js";
import type { Transactions } from "./transactions.js";

/** EndTransactionRequestHeader, as far as anything depends on it. */
export interface TransactionEnd {
  readonly producerGroup: string;
  /** Where the half message stands in its queue, and where in the log. */
  readonly tranStateTableOffset: number;
  readonly commitLogOffset: number;
  /** One of TRANSACTION_NOT_TYPE, TRANSACTION_COMMIT_TYPE and TRANSACTION_ROLLBACK_TYPE. */
  readonly commitOrRollback: number;
  /** It answers a question of the broker's. */
  readonly fromTransactionCheck: boolean;
}

/** A half message that this process has put, and that lies so far back at most, is what it was when its CRC was made. */
const FRESH_BYTES = 4 * 1024 * 1024;

const NOT_FOUND = failure(ResponseCode.SYSTEM_ERROR, "Find prepared transaction message failed");

export class EndTransaction {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #transactions: Transactions;
  readonly #schedule: ScheduleMessageService;
  readonly #waiters: FlushWaiters;
  readonly #half = new HalfMessage();
  readonly #light: LightQueueNotice;
  readonly #message = emptyMessage();
  /** Where the log ended when this process began. */
  readonly #beganAt: number;
  readonly #result = emptyPutResult();
  readonly #group = new RecentText();
  readonly #endTask = (request: Request, connection: Connection) => this.#endOf(request, connection);

  constructor(
    context: BrokerContext,
    store: MessageStore,
    transactions: Transactions,
    schedule: ScheduleMessageService,
    waiters: FlushWaiters,
  ) {
    this.#context = context;
    this.#light = new LightQueueNotice(context);
    this.#store = store;
    this.#beganAt = store.maxPhyOffset;
    this.#transactions = transactions;
    this.#schedule = schedule;
    this.#waiters = waiters;
  }

  register(processors: Map<number, Processor>): void {
    processors.set(RequestCode.END_TRANSACTION, (request, connection) => this.#process(request, connection));
  }

  #process(request: Request, connection: Connection): void {
    const { opaque, serializeType, isOneway } = request.header;
    const answer = answerOf(this.#endTask, request, connection, this.#context.log);
    if (isOneway) return;
    if (answer.code === ResponseCode.SUCCESS && this.#store.syncFlush) {
      this.#transactions.operations.flush();
      this.#waiters.add({
        position: this.#store.maxPhyOffset,
        connection,
        deadlineMs: this.#context.clock.monotonicMs() + this.#context.config.syncFlushTimeout,
        answer: (outcome) => {
          const { code, remark } = flushAnswer(outcome, this.#store.failure);
          connection.writer.response(opaque, serializeType, code, remark);
        },
      });
      return;
    }
    connection.writer.response(opaque, serializeType, answer.code, answer.remark);
  }

  #endOf(request: Request, connection: Connection): Answer {
    const { header } = request;
    const producerGroup = this.#groupOf(header);
    const tranStateTableOffset = header.integer("tranStateTableOffset");
    const commitLogOffset = header.integer("commitLogOffset");
    const commitOrRollback = header.integer("commitOrRollback");
    const isWhole =
      producerGroup !== undefined &&
      Number.isSafeInteger(tranStateTableOffset) &&
      Number.isSafeInteger(commitLogOffset) &&
      Number.isSafeInteger(commitOrRollback) &&
      header.find("msgId") >= 0;
    if (!isWhole) return wrongEnd(header);
    const { access } = this.#context;
    return this.end(
      {
        producerGroup,
        tranStateTableOffset: tranStateTableOffset!,
        commitLogOffset: commitLogOffset!,
        commitOrRollback: commitOrRollback!,
        fromTransactionCheck: header.boolean("fromTransactionCheck") === true,
      },
      access?.enforced === true ? { access, request, connection } : undefined,
    );
  }

  /** As a producer's requests name it one after the other: the same string. */
  #groupOf(header: HeaderView): string | undefined {
    const index = header.find("producerGroup");
    if (index < 0) return undefined;
    if (header.escaped[index] === 1) return header.valueText(index);
    return this.#group.of(header.bytes, header.valueStart[index]!, header.valueEnd[index]!);
  }

  /** Ends a transaction. What it has put is on the disk when the store's present `maxPhyOffset` is. */
  end(end: TransactionEnd, asker?: Asker): Answer {
    const { commitOrRollback } = end;
    // Not known yet: the producer will be asked.
    if (commitOrRollback === TRANSACTION_NOT_TYPE) return SUCCESS;
    if (commitOrRollback !== TRANSACTION_COMMIT_TYPE && commitOrRollback !== TRANSACTION_ROLLBACK_TYPE) {
      const expected = "0 for not known, 8 for commit, or 12 for rollback";
      const remark = `commitOrRollback field wrong: ${wrongField("commitOrRollback", String(commitOrRollback), expected)}`;
      return failure(ResponseCode.SYSTEM_ERROR, remark);
    }
    const answer = this.#end(end, asker);
    this.#half.forget();
    forgetBytes(this.#message);
    if (answer.code !== ResponseCode.SUCCESS) {
      this.#context.log.warn({ ...end, remark: answer.remark }, "a transaction is not ended");
    }
    return answer;
  }

  #end(end: TransactionEnd, asker: Asker | undefined): Answer {
    const half = this.#half;
    if (!half.read(this.#store.lookUp, end.commitLogOffset)) return NOT_FOUND;
    const { realTopic, firstQueueOffset } = half;
    const { queueOffset } = half.record;
    // Clients of 4.x do not say which topic it is.
    const refusal = asker && topicRefusal(asker, realTopic ?? "", "Pub");
    if (refusal !== undefined) return failure(ResponseCode.NO_PERMISSION, refusal);
    const problem = this.#problem(end);
    if (problem !== undefined) return problem;
    const isCommit = end.commitOrRollback === TRANSACTION_COMMIT_TYPE;
    const state = this.#transactions.stateOf(queueOffset, firstQueueOffset);
    if (state !== HalfState.OPEN) return alreadyEnded(state, isCommit);
    if (!isCommit) {
      const nowMs = this.#context.clock.nowMs();
      this.#transactions.ended(queueOffset, firstQueueOffset, HalfState.ROLLED_BACK, realTopic, nowMs);
      return SUCCESS;
    }
    const answer = this.#commit(realTopic ?? "");
    if (answer !== SUCCESS) return answer;
    const { storeTimestamp } = this.#result;
    this.#transactions.ended(queueOffset, firstQueueOffset, HalfState.COMMITTED, realTopic, storeTimestamp);
    return SUCCESS;
  }

  #problem({ producerGroup, tranStateTableOffset, fromTransactionCheck }: TransactionEnd): Answer | undefined {
    const { config, clock } = this.#context;
    const half = this.#half;
    const immunityMs = fromTransactionCheck ? undefined : half.immunityMs(0);
    if (immunityMs !== undefined) {
      const ageMs = clock.nowMs() - half.record.bornTimestamp;
      if (ageMs > Math.max(immunityMs, config.transactionTimeOut)) {
        const remark = "the time of CHECK_IMMUNITY_TIME_IN_SECONDS is over, the producer will be asked";
        return failure(ResponseCode.ILLEGAL_OPERATION, remark);
      }
    }
    if (half.producerGroup !== producerGroup) {
      return failure(ResponseCode.SYSTEM_ERROR, "The producer group wrong");
    }
    if (half.record.queueOffset !== tranStateTableOffset) {
      return failure(ResponseCode.SYSTEM_ERROR, "The transaction state table offset wrong");
    }
    return undefined;
  }

  /** Puts the message where it was meant to go, into a queue of topic `name`; SUCCESS, or why not. */
  #commit(name: string): Answer {
    const { config, stats } = this.#context;
    const message = this.#message;
    const half = this.#half;
    half.fillCommitted(message);
    if (this.#isFresh(half.record.phyOffset)) message.bodyCrc = half.record.bodyCrc;
    message.sysFlag = withTransactionType(message.sysFlag, TRANSACTION_COMMIT_TYPE);
    message.preparedTransactionOffset = half.record.phyOffset;
    const topic = this.#route(name);
    if (topic !== "nowhere" && topic?.hasBatchQueues) {
      return failure(ResponseCode.SYSTEM_ERROR, batchQueuesRemark(topic));
    }
    if (topic === "nowhere") {
      return failure(ResponseCode.SYSTEM_ERROR, "the prepared message does not say where it belongs");
    }
    failpoint("transaction-commit-before");
    const status = this.#store.put(message, this.#result);
    if (status !== PutStatus.PUT_OK) {
      stats.putsFailed++;
      return putRefusal(status, config.maxMessageSize, this.#store.failure);
    }
    failpoint("transaction-commit-after");
    if (topic !== undefined) stats.recordPut(topic, 1, this.#result.sizeBytes);
    if (topic === this.#schedule.topic) this.#schedule.stored(message.queue, this.#result);
    else if (half.lightQueues !== undefined)
      this.#light.missed(half.lightQueues, message.queue.topic, this.#result.phyOffset);
    return SUCCESS;
  }

  #isFresh(phyOffset: number): boolean {
    return phyOffset >= this.#beganAt && this.#store.maxPhyOffset - phyOffset <= FRESH_BYTES;
  }

  /** Sets the queue. Undefined for that of a topic that was deleted meanwhile: it is delivered, as with Apache. */
  #route(name: string): Topic | "nowhere" | undefined {
    const { store, topics } = this.#context;
    const half = this.#half;
    const queueId = half.realQueueId;
    const topic = topics.get(name);
    if ((topic === undefined && !isSafeName(name)) || isNotAllowedSendTopic(name) || queueId < 0) return "nowhere";
    if (half.delayLevel > 0) return this.#routeDelayed(name, queueId);
    this.#message.queue = topic === undefined ? store.queue(name, queueId) : topicQueue(store, topic, queueId);
    return topic;
  }

  /** Only Apache takes half messages that are to wait once they are committed. */
  #routeDelayed(name: string, queueId: number): Topic {
    const message = this.#message;
    const level = Math.min(this.#half.delayLevel, this.#schedule.levelMax);
    const properties = decodeProperties(message.properties, message.propertiesStart, message.propertiesLength);
    markDelayed(properties, level, name, queueId);
    message.properties = encodeProperties(properties);
    message.propertiesLength = message.properties.length;
    message.queue = this.#schedule.queueOf(level);
    return this.#schedule.topic;
  }
}

/** The first that is missing, or is no number. */
function wrongEnd(header: HeaderView): Answer {
  for (const name of ["producerGroup", "tranStateTableOffset", "commitLogOffset", "commitOrRollback", "msgId"]) {
    if (header.find(name) < 0) return failure(ResponseCode.SYSTEM_ERROR, wrongField(name, undefined, ""));
  }
  for (const name of ["tranStateTableOffset", "commitLogOffset"]) {
    if (Number.isSafeInteger(header.integer(name))) continue;
    return failure(ResponseCode.SYSTEM_ERROR, wrongField(name, header.text(name), "an integer"));
  }
  const given = header.text("commitOrRollback");
  return failure(ResponseCode.SYSTEM_ERROR, wrongField("commitOrRollback", given, "an integer"));
}

function alreadyEnded(state: HalfState, isCommit: boolean): Answer {
  if (state === HalfState.COMMITTED && !isCommit) {
    return failure(ResponseCode.SYSTEM_ERROR, "The transaction was committed before, it can not be rolled back");
  }
  if (state === HalfState.ROLLED_BACK && isCommit) {
    return failure(ResponseCode.SYSTEM_ERROR, "The transaction was rolled back before, it can not be committed");
  }
  return { code: ResponseCode.SUCCESS, remark: "The transaction was ended before" };
}
