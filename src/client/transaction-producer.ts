/**
 * Messages that consumers see only when a local transaction was committed (client/producer/TransactionMQProducer.java).
 * Should this producer go before it says how the transaction ended, the broker asks any producer of the group.
 */
import type { OptionNames } from "../base/option-names.js";
import { decodeRecord } from "../record/decode.js";
import { parseMessageId } from "../record/message-id.js";
import { PropertyName } from "../record/property-names.js";
import {
  TRANSACTION_COMMIT_TYPE,
  TRANSACTION_NOT_TYPE,
  TRANSACTION_PREPARED_TYPE,
  TRANSACTION_ROLLBACK_TYPE,
} from "../record/sys-flag.js";
import { RequestCode } from "../remoting/codes.js";
import type { Fields } from "../remoting/types.js";
import { shown } from "../base/given-values.js";
import { checkList } from "./arguments.js";
import { type BrokerRequest, brokerProcessor } from "./broker-requests.js";
import { BrokerNotFoundError, configError, expectSuccessFrom, MessageError } from "./errors.js";
import type { Message, OutgoingMessage } from "./message.js";
import { checkSend, type SendOptions } from "./message-sender.js";
import { withNamespace } from "./namespace.js";
import { checkStart, type StartOptions, settingsOf } from "./options.js";
import { Producer } from "./producer.js";
import { PRODUCER_OPTIONS, type ProducerOptions, senderSettings } from "./sender-settings.js";
import { type ReceivedMessage, receivedOf } from "./received-message.js";
import type { SendResult } from "./send-request.js";
import { type EndedTransaction, traceOfEnd } from "./trace-dispatcher.js";
import { orClosed } from "./waiting.js";

/** How a transaction ended; of an unknown one the broker asks again later. */
export type TransactionState = "commit" | "rollback" | "unknown";

/** Says how the transaction of a message ended that the broker has heard nothing of. A throw is "unknown". */
export type TransactionChecker<State extends TransactionState = TransactionState> = (
  message: ReceivedMessage,
) => State | Promise<State>;

/** The local transaction; it runs once the broker has the message. */
export type LocalTransaction<State extends TransactionState = TransactionState> = (
  result: SendResult,
) => State | Promise<State>;

export interface TransactionProducerOptions<State extends TransactionState = TransactionState> extends ProducerOptions {
  /** All producers of a group can answer for each other. */
  readonly group: string;
  readonly checkTransaction: TransactionChecker<State>;
  /**
   * Brokers of these topics are connected at the start, and so ask this producer what became of transactions before it has
   * sent anything: for those that an earlier process has left open. Others ask once something was sent to them.
   */
  readonly topics?: readonly string[];
}

const OPTIONS: OptionNames<TransactionProducerOptions> = { ...PRODUCER_OPTIONS, checkTransaction: true, topics: true };

/** Where the half message lies, and how its transaction ended. */
export interface TransactionSendResult extends SendResult {
  readonly state: TransactionState;
}

const TYPES: Readonly<Record<TransactionState, number>> = {
  commit: TRANSACTION_COMMIT_TYPE,
  rollback: TRANSACTION_ROLLBACK_TYPE,
  unknown: TRANSACTION_NOT_TYPE,
};

/** Sends messages that are seen once a local transaction has succeeded, and never where it failed. */
export class TransactionProducer extends Producer {
  /**
   * Rejects with COMETMQ_CONFIG, and where `topics` are named as `publishQueues` does. (The type parameter is for the
   * compiler, which takes `async () => "commit"` for a promise of any string without it.)
   */
  static override async start<const State extends TransactionState>(
    options: TransactionProducerOptions<State>,
    startOptions: StartOptions = {},
  ): Promise<TransactionProducer> {
    checkStart("TransactionProducer.start", options, OPTIONS, startOptions);
    const { signal } = startOptions;
    signal?.throwIfAborted();
    const { checkTransaction } = options;
    if (typeof checkTransaction !== "function") throw configError("checkTransaction is no function.");
    const { topics = [] } = options;
    checkList("topics", topics);
    const settings = settingsOf(options);
    const started: { producer?: TransactionProducer } = {};
    const check = brokerProcessor(async (request) => started.producer?.check(request, checkTransaction), settings.log);
    const processors = new Map([[RequestCode.CHECK_TRANSACTION_STATE, check]]);
    const producer = new TransactionProducer(settings, senderSettings(options), processors);
    started.producer = producer;
    return orClosed(producer, producer.#connect(topics), signal);
  }

  async #connect(topics: readonly string[]): Promise<void> {
    for (const topic of topics) await this.publishQueues(topic);
    if (topics.length > 0) await this.instance.sendHeartbeats();
  }

  /**
   * Sends a message that nobody sees yet, runs `transaction`, and tells the broker how it ended. Rejects with what
   * `transaction` throws; how that one ended, the broker asks `checkTransaction` then. Where the broker could not be told,
   * it asks as well.
   */
  async sendInTransaction<const State extends TransactionState>(
    message: Message,
    transaction: LocalTransaction<State>,
    options: SendOptions = {},
  ): Promise<TransactionSendResult> {
    // Before anything is sent: of a half message the broker would ask.
    if (typeof transaction !== "function") throw configError("The transaction is no function.");
    checkSend("sendInTransaction", options);
    const own = this.namespaced(message);
    if ((message.delayLevel ?? message.delayMs ?? message.deliverAt) !== undefined) {
      throw new MessageError("A message of a transaction has no delay.");
    }
    const outgoing = this.sender.outgoing(own);
    outgoing.properties.set(PropertyName.TRANSACTION_PREPARED, "true");
    outgoing.properties.set(PropertyName.PRODUCER_GROUP, this.group);
    return this.sender.hold(this.#run(own, outgoing, transaction, options));
  }

  async #run(
    own: Message,
    outgoing: OutgoingMessage,
    transaction: LocalTransaction,
    options: SendOptions,
  ): Promise<TransactionSendResult> {
    const result = await this.sender.send(own, outgoing, options, TRANSACTION_PREPARED_TYPE);
    let state: TransactionState = "unknown";
    try {
      // A half message that is not safe is not built upon.
      state =
        result.status === "SEND_OK" ? checkedState(await this.callbacks.run(() => transaction(result))) : "rollback";
    } finally {
      await this.#end(this.instance.routes.addressOf(result.queue.brokerName), state, {
        topic: own.topic,
        commitLogOffset: parseMessageId(result.offsetMessageId)?.phyOffset,
        tranStateTableOffset: result.queueOffset,
        fromTransactionCheck: false,
        msgId: result.messageId,
        transactionId: result.transactionId,
        bname: result.queue.brokerName,
      });
      this.#traceEnd(state, outgoing.properties, {
        topic: own.topic,
        messageId: result.messageId,
        transactionId: result.transactionId,
        address: this.instance.routes.addressOf(result.queue.brokerName) ?? "",
        fromTransactionCheck: false,
      });
    }
    return { ...result, state };
  }

  /** CHECK_TRANSACTION_STATE: the broker is answered at once, and told the state when it is known. */
  protected check(request: BrokerRequest, checker: TransactionChecker): Promise<undefined> {
    return this.sender.hold(this.#check(request, checker));
  }

  async #check({ fields, body, address }: BrokerRequest, checker: TransactionChecker): Promise<undefined> {
    const brokerName = fields.get("bname") ?? fields.get("brokerName") ?? "";
    const [message] = await receivedOf(decodeRecord(body), this.instance.from(brokerName));
    if (message === undefined) return;
    let state: TransactionState = "unknown";
    try {
      state = checkedState(await this.callbacks.run(() => checker(message)));
    } catch (error) {
      this.instance.settings.log.warn(
        { err: error, messageId: message.messageId },
        "a transaction could not be checked",
      );
    }
    await this.#end(address, state, {
      topic: withNamespace(this.instance.namespace, message.topic),
      commitLogOffset: fields.get("commitLogOffset"),
      tranStateTableOffset: fields.get("tranStateTableOffset"),
      fromTransactionCheck: true,
      msgId: message.messageId,
      transactionId: fields.get("transactionId"),
      bname: brokerName === "" ? undefined : brokerName,
    });
    this.#traceEnd(state, message.properties, {
      topic: message.topic,
      messageId: message.messageId,
      transactionId: fields.get("transactionId"),
      address,
      fromTransactionCheck: true,
    });
  }

  #traceEnd(
    state: TransactionState,
    properties: ReadonlyMap<string, string>,
    ended: Omit<EndedTransaction, "state" | "properties">,
  ): void {
    this.trace?.add(traceOfEnd({ ...ended, state, properties }, this.instance, this.group));
  }

  /** Never rejects: a broker that does not hear of it asks. */
  async #end(address: string | undefined, state: TransactionState, fields: Fields): Promise<void> {
    const all = { ...fields, producerGroup: this.group, commitOrRollback: TYPES[state] };
    const { settings, brokers } = this.instance;
    try {
      if (address === undefined) throw new BrokerNotFoundError(String(fields.bname));
      if (state === "unknown") {
        // No answer comes to this one.
        await brokers.oneway(address, RequestCode.END_TRANSACTION, all, undefined, settings.requestTimeoutMs);
      } else {
        expectSuccessFrom(address, await this.instance.callAddress(address, RequestCode.END_TRANSACTION, all));
      }
    } catch (error) {
      settings.log.warn({ err: error, address, state }, "the end of a transaction did not reach the broker");
    }
  }
}

function checkedState(state: TransactionState): TransactionState {
  if (!Object.hasOwn(TYPES, state)) throw configError(`A transaction ended with ${shown(state)}.`);
  return state;
}
