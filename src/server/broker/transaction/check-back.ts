/**
 * The broker asks producers about transactions that nobody has ended (TransactionalMessageServiceImpl#check,
 * AbstractTransactionalMessageCheckListener). At every transactionCheckInterval it walks the half queue from where all
 * before is done with up to what stood there when it began. What has ended is passed; what is older than
 * transactionTimeOut, or than its producer wants (CHECK_IMMUNITY_TIME_IN_SECONDS), is put back at the queue's end and its
 * producer asked, with code 39; what was asked about transactionCheckMax times goes to TRANS_CHECK_MAX_TIME_TOPIC. So the
 * walk always gets on, and holds one message in memory, however many wait.
 *
 * A walk goes in small portions between which the event loop does its other work. Unlike with Apache a message that is
 * put back before its first question has not been asked about, a clock of a producer that is wrong does not matter, and
 * nothing is passed before it lies where it is put back.
 */
import type { Timer } from "../../../base/clock.js";
import { failpoint } from "../../../base/failpoint.js";
import { UnitBatch } from "../../../consumequeue/unit.js";
import { encodeRecord } from "../../../record/encode.js";
import { hostText } from "../../../record/host.js";
import { createMessageId } from "../../../record/message-id.js";
import { RequestCode } from "../../../remoting/codes.js";
import type { Connection, Fields } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import { PutStatus } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import { emptyMessage, emptyPutResult, forgetBytes } from "../message-copy.js";
import { TRANSACTION_CHECK_MAX_TOPIC, TRANSACTION_HALF_TOPIC } from "../names.js";
import { noteReadFailure, READ_RETRY_MS } from "../read-failure.js";
import { topicQueue } from "../topic-config.js";
import { CheckTargets } from "./check-targets.js";
import { HalfState } from "./ended-halves.js";
import { giveUpTopic } from "./given-up.js";
import { HalfMessage } from "./half-message.js";
import type { Transactions } from "./transactions.js";

/** What one turn of the event loop does at the most. */
const TURN_MESSAGES_MAX = 256;
const TURN_MS_MAX = 3;
const TURN_BYTES_MAX = 8 * 1024 * 1024;
/** Halves that have ended are passed by the thousand. */
const TURN_PASSED_MAX = 65536;
const BUSY_RETRY_MS = 50;
/** Producers that take nothing hold up a walk so long; then their messages are put back all the same. */
const BUSY_MS_MAX = 10_000;
const SAVE_MS = 1000;
const HOUR_MS = 3_600_000;

/** What became of the message at hand. */
type Step = "passed" | "put back" | "later" | "busy" | "failed";

interface Question {
  readonly connection: Connection;
  readonly fields: Fields;
  readonly body: Buffer;
}

export class CheckBack {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #transactions: Transactions;
  readonly #targets: CheckTargets;
  readonly #half = new HalfMessage();
  readonly #unit = new UnitBatch(1);
  readonly #message = emptyMessage();
  readonly #result = emptyPutResult();
  #roundTimer: Timer | undefined;
  #turnTimer: Timer | undefined;
  #closed = false;
  /** The walk at hand ends before this offset; undefined between walks. */
  #walkEnd: number | undefined;
  #busySinceMs: number | undefined;
  #savedMs = 0;
  #questions: Question[] = [];
  #questionBytes = 0;
  #asked = 0;
  /** Groups whose producers are all gone, with the count of messages; of this walk. */
  readonly #unasked = new Map<string, number>();
  /** Topics of messages that were given up, with the count and the first one's key; of this walk. */
  readonly #givenUp = new Map<string, { count: number; readonly uniqueKey: string | undefined }>();

  constructor(context: BrokerContext, store: MessageStore, transactions: Transactions) {
    this.#context = context;
    this.#store = store;
    this.#transactions = transactions;
    this.#targets = new CheckTargets(context.producers);
  }

  start(): void {
    if (this.#closed) return;
    const { clock, config } = this.#context;
    const round = (): void => {
      this.walk();
      this.start();
    };
    this.#roundTimer = clock.schedule(config.transactionCheckInterval, round, () => !this.#hasHalves);
  }

  /** Whether a walk would find any. */
  get #hasHalves(): boolean {
    return this.#transactions.doneOffset < this.#store.maxOffset(this.#transactions.halfQueue);
  }

  /** Begins a walk, unless the last one still goes on. */
  walk(): void {
    if (this.#walkEnd !== undefined || this.#closed || this.#store.failure !== undefined) return;
    const { transactionMetrics, topics, clock } = this.#context;
    this.#walkEnd = this.#store.maxOffset(this.#transactions.halfQueue);
    this.#savedMs = clock.monotonicMs();
    this.#asked = 0;
    this.#unasked.clear();
    this.#givenUp.clear();
    transactionMetrics.retain((topic) => topics.get(topic) !== undefined);
    this.#turn();
  }

  #turn(): void {
    this.#turnTimer = undefined;
    if (this.#closed || this.#walkEnd === undefined) return;
    let outcome: "more" | "busy" | "failed" | "end" = "failed";
    try {
      outcome = this.#portion(this.#walkEnd);
    } catch (error) {
      noteReadFailure(error, this.#context.log, "a half message");
    }
    this.#half.forget();
    forgetBytes(this.#message);
    this.#ask();
    if (outcome === "end") this.#endWalk();
    else this.#turnLater(outcome === "failed" ? READ_RETRY_MS : outcome === "busy" ? BUSY_RETRY_MS : 0);
  }

  #turnLater(delayMs: number): void {
    const { clock } = this.#context;
    if (clock.monotonicMs() - this.#savedMs >= SAVE_MS) {
      this.#savedMs = clock.monotonicMs();
      void this.#transactions.save();
    }
    this.#turnTimer = clock.schedule(delayMs, () => this.#turn());
  }

  #endWalk(): void {
    const { log } = this.#context;
    this.#walkEnd = undefined;
    this.#busySinceMs = undefined;
    void this.#transactions.save();
    if (this.#asked > 0) log.info({ count: this.#asked }, "producers were asked about transactions");
    for (const [group, count] of this.#unasked) {
      log.warn({ group, count }, "nobody is there to be asked about transactions");
    }
    for (const [realTopic, { count, uniqueKey }] of this.#givenUp) {
      const fields = { topic: TRANSACTION_CHECK_MAX_TOPIC, realTopic, count, uniqueKey };
      log.error(fields, "transactions that nobody ends are given up; uniqueKey is the first one's");
    }
  }

  /** One turn's share of the walk. */
  #portion(walkEnd: number): "more" | "busy" | "end" {
    const { clock } = this.#context;
    const deadlineMs = clock.monotonicMs() + TURN_MS_MAX;
    this.#targets.refresh();
    let messages = 0;
    let passed = 0;
    let offset = Math.max(this.#transactions.doneOffset, this.#store.minOffset(this.#transactions.halfQueue));
    while (offset < walkEnd) {
      if (messages >= TURN_MESSAGES_MAX || passed >= TURN_PASSED_MAX || this.#questionBytes >= TURN_BYTES_MAX) {
        return "more";
      }
      if (this.#transactions.stateOf(offset, offset) !== HalfState.OPEN) {
        passed++;
      } else {
        if (messages++ > 0 && clock.monotonicMs() > deadlineMs) return "more";
        const step = this.#step(offset);
        if (step === "busy") return "busy";
        if (step === "later" || step === "failed") return "end";
      }
      this.#transactions.passed(++offset);
    }
    this.#transactions.passed(offset);
    return "end";
  }

  #step(offset: number): Step {
    const { config, clock, log } = this.#context;
    const half = this.#half;
    const { lookUp } = this.#store;
    const found = lookUp.readUnits(this.#transactions.halfQueue, offset, this.#unit) > 0;
    if (!found || !half.read(lookUp, this.#unit.messageOffset(0))) {
      log.error({ offset, phyOffset: found ? this.#unit.messageOffset(0) : -1 }, "a half message can not be read");
      return "passed";
    }
    if (this.#transactions.stateOf(offset, half.firstQueueOffset) !== HalfState.OPEN) return "passed";
    const nowMs = clock.nowMs();
    const { checkTimes } = half;
    const isExpired = checkTimes > 0 && nowMs - half.record.bornTimestamp > config.fileReservedTime * HOUR_MS;
    if (checkTimes >= config.transactionCheckMax || isExpired) return this.#giveUp();
    const immunityMs = half.immunityMs(config.transactionTimeOut);
    const ageMs = nowMs - this.#sinceMs();
    // Those behind it wait no longer than it does; a clock that was set back makes nobody wait.
    if (ageMs >= 0 && ageMs <= Math.min(config.transactionTimeOut, immunityMs ?? config.transactionTimeOut))
      return "later";
    if (immunityMs !== undefined && ageMs >= 0 && ageMs <= immunityMs) return this.#putBack(checkTimes);
    return this.#check(checkTimes);
  }

  /** When it was sent, by this broker's clock as far as that is known still. */
  #sinceMs(): number {
    const { bornTimestamp, storeTimestamp, queueOffset } = this.#half.record;
    return this.#half.firstQueueOffset === queueOffset ? storeTimestamp : Math.min(bornTimestamp, storeTimestamp);
  }

  #check(checkTimes: number): Step {
    const half = this.#half;
    const group = half.producerGroup ?? "";
    let target = this.#targets.pick(group);
    if (target === "busy") {
      if (this.#holdsOn()) return "busy";
      target = undefined;
    }
    const step = this.#putBack(Math.max(checkTimes, 0) + 1);
    if (step !== "put back") return step;
    failpoint("transaction-check-after");
    const realTopic = half.realTopic;
    const realQueueId = half.realQueueId;
    if (target === undefined || realTopic === undefined || realQueueId < 0) {
      this.#unasked.set(group, (this.#unasked.get(group) ?? 0) + 1);
      return step;
    }
    this.#busySinceMs = undefined;
    this.#asked++;
    const body = this.#bodyFor(realTopic, realQueueId);
    this.#questions.push({ connection: target, fields: this.#fields(), body });
    this.#questionBytes += body.length;
    return step;
  }

  /** Whether to wait a little for producers that take nothing. */
  #holdsOn(): boolean {
    const nowMs = this.#context.clock.monotonicMs();
    this.#busySinceMs ??= nowMs;
    return nowMs - this.#busySinceMs < BUSY_MS_MAX;
  }

  #putBack(checkTimes: number): Step {
    this.#half.fillRenewed(this.#message, checkTimes);
    this.#message.queue = this.#transactions.halfQueue;
    return this.#put() ? "put back" : "failed";
  }

  #giveUp(): Step {
    const half = this.#half;
    const topic = giveUpTopic(this.#context);
    if (topic === undefined) return "failed";
    half.fillAsked(this.#message, half.checkTimes);
    this.#message.queue = topicQueue(this.#context.store, topic, 0);
    if (!this.#put()) return "failed";
    this.#context.stats.recordPut(topic, 1, this.#result.sizeBytes);
    this.#transactions.countEnd(half.realTopic, this.#context.clock.nowMs());
    const { uniqueKey, realTopic = "" } = half;
    const sameTopic = this.#givenUp.get(realTopic);
    if (sameTopic === undefined) this.#givenUp.set(realTopic, { count: 1, uniqueKey });
    else sameTopic.count++;
    return "passed";
  }

  #put(): boolean {
    const { log, stats } = this.#context;
    const status = this.#store.put(this.#message, this.#result);
    if (status === PutStatus.PUT_OK) {
      if (this.#message.queue === this.#transactions.halfQueue) {
        this.#transactions.operations.putBack(this.#result.queueOffset);
      }
      return true;
    }
    stats.putsFailed++;
    log.warn({ status }, "half messages can not be put back now, will try again");
    return false;
  }

  /** CheckTransactionStateRequestHeader of the message that was put back. */
  #fields(): Fields {
    const { phyOffset, queueOffset } = this.#result;
    const { uniqueKey } = this.#half;
    return {
      topic: TRANSACTION_HALF_TOPIC,
      tranStateTableOffset: queueOffset,
      commitLogOffset: phyOffset,
      msgId: uniqueKey,
      transactionId: uniqueKey,
      offsetMsgId: createMessageId(this.#message.storeHost, phyOffset),
      bname: this.#context.config.brokerName,
    };
  }

  /** The message as its producer sent it, at the place in the log that it has now. */
  #bodyFor(topic: string, queueId: number): Buffer {
    const message = this.#message;
    const { phyOffset, queueOffset, storeTimestamp } = this.#result;
    const { body, bodyStart, bodyLength, propertiesStart, propertiesLength, bornHost, storeHost } = message;
    return encodeRecord({
      topic,
      queueId,
      flag: message.flag,
      sysFlag: message.sysFlag,
      queueOffset,
      phyOffset,
      bornTimestamp: message.bornTimestamp,
      bornHost: hostText(bornHost, 0, bornHost.length),
      storeTimestamp,
      storeHost: hostText(storeHost, 0, storeHost.length),
      reconsumeTimes: message.reconsumeTimes,
      body: body.subarray(bodyStart, bodyStart + bodyLength),
      properties: message.properties.subarray(propertiesStart, propertiesStart + propertiesLength),
    });
  }

  /** Sends the turn's questions, once the messages that they are about can be found by who answers. */
  #ask(): void {
    const questions = this.#questions;
    if (questions.length === 0) return;
    this.#questions = [];
    this.#questionBytes = 0;
    if (this.#store.syncFlush)
      void this.#store.whenFlushed(this.#store.maxPhyOffset).then(() => push(questions), ignore);
    else push(questions);
  }

  close(): void {
    this.#closed = true;
    this.#roundTimer?.cancel();
    this.#turnTimer?.cancel();
  }
}

function push(questions: readonly Question[]): void {
  for (const { connection, fields, body } of questions) {
    connection.pushOneway(RequestCode.CHECK_TRANSACTION_STATE, fields, body);
  }
}

/** The store has failed, and says so by itself. */
function ignore(): void {}
