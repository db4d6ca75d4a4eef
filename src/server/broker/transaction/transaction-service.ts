/** Everything of transactions that a broker has: their state, the end of them, the questions about them. */
import type { Processor } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import type { BrokerContext } from "../context.js";
import type { FlushWaiters } from "../flush-waiters.js";
import type { ScheduleMessageService } from "../schedule-message.js";
import { CheckBack } from "./check-back.js";
import { EndTransaction } from "./end-transaction.js";
import { registerResumeCheck } from "./given-up.js";
import { Transactions } from "./transactions.js";

export class TransactionService {
  readonly transactions: Transactions;
  /** For whoever ends transactions without a connection. */
  readonly endTransaction: EndTransaction;
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #checkBack: CheckBack;

  constructor(context: BrokerContext, store: MessageStore, schedule: ScheduleMessageService, waiters: FlushWaiters) {
    this.#context = context;
    this.#store = store;
    this.transactions = new Transactions(context, store);
    this.endTransaction = new EndTransaction(context, store, this.transactions, schedule, waiters);
    this.#checkBack = new CheckBack(context, store, this.transactions);
  }

  register(processors: Map<number, Processor>): void {
    this.endTransaction.register(processors);
    registerResumeCheck(processors, this.#context, this.#store, this.transactions);
  }

  start(): void {
    this.#checkBack.start();
  }

  /** Stops asking, and saves how far everything is done with. */
  async close(): Promise<void> {
    this.#checkBack.close();
    await this.transactions.close();
  }
}
