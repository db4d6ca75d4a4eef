/**
 * Pop consumption as a whole: the requests, those who wait, what is given out again, and the state behind them. `open`
 * before the broker serves anybody, `start` when it does.
 */
import { join } from "node:path";
import type { Timer } from "../../../base/clock.js";
import { RequestCode, ResponseCode } from "../../../remoting/codes.js";
import type { Connection, Processor, Request } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import { type Answer, answerOf } from "../../answer.js";
import { PERM_READ, PERM_WRITE } from "../../protocol/topic-config.js";
import { type BrokerContext, logLoadReport } from "../context.js";
import type { FlushWaiters } from "../flush-waiters.js";
import { JsonConfigFile } from "../json-config-file.js";
import { POP_JOURNAL_TOPIC } from "../names.js";
import { flushAnswer } from "../put-remark.js";
import { serve } from "../serve.js";
import { ackMessage, batchAckMessage } from "./ack-message.js";
import { ApacheCheckpoints } from "./apache-checkpoints.js";
import { changeInvisibleTime } from "./change-invisible-time.js";
import { NotificationProcessor } from "./notification.js";
import { OrderAlarms } from "./order-alarms.js";
import { OrderTable } from "./order-table.js";
import { peekMessage, pollingInfo } from "./peek-message.js";
import { PopFilters } from "./pop-filter.js";
import { PopJournal } from "./pop-journal.js";
import { PopMessage } from "./pop-message.js";
import { PopPolling } from "./pop-polling.js";
import { PopRecovery } from "./pop-recovery.js";
import { PopSnapshots } from "./pop-snapshot.js";
import { PopState } from "./pop-state.js";
import { registerQueryAssignment } from "./query-assignment.js";
import { Revive } from "./revive.js";
import { TopicQueues, type TopicRoutes } from "./topic-queues.js";

type PopHandler = (request: Request, connection: Connection) => Answer;

export class PopService {
  readonly state: PopState;
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #waiters: FlushWaiters;
  readonly #orders: OrderTable;
  readonly #alarms: OrderAlarms;
  readonly #popPolling: PopPolling;
  readonly #notificationPolling: PopPolling;
  readonly #revive: Revive;
  readonly #snapshots: PopSnapshots;
  readonly #checkpoints: ApacheCheckpoints;
  #saveTimer: Timer | undefined;

  constructor(context: BrokerContext, store: MessageStore, waiters: FlushWaiters) {
    const { clock, config, log, offsets } = context;
    this.#context = context;
    this.#store = store;
    this.#waiters = waiters;
    const path = join(config.storePathRootDir, "config", "consumerOrderInfo.json");
    this.#orders = new OrderTable(clock, log, new JsonConfigFile(store.disk, path));
    const makeTopic = () => {
      context.topics.createInSendMessageBack(POP_JOURNAL_TOPIC, 1, PERM_READ | PERM_WRITE, false, 0);
    };
    const journal = new PopJournal(store, () => clock.nowMs(), makeTopic);
    this.state = new PopState(context, this.#orders, journal);
    const setInterest = (interested: boolean) => store.setInterest(interested);
    this.#popPolling = new PopPolling(clock, config, setInterest);
    this.#notificationPolling = new PopPolling(clock, config, setInterest);
    const wake = (topic: string, group: string, queueId: number) => {
      this.#popPolling.wake(topic, group, queueId);
      this.#notificationPolling.wake(topic, group, queueId);
    };
    this.#alarms = new OrderAlarms(clock, wake);
    this.#revive = new Revive(context, store, this.state);
    this.#checkpoints = new ApacheCheckpoints(context, store, this.state);
    this.#snapshots = new PopSnapshots(context, this.state);
    this.state.onLease = () => this.#revive.schedule();
    this.state.onLock = (topic, group, queueId, freeAtMs) => {
      // Whoever waits may go on at once, or is tried again when the lock ends.
      if (freeAtMs <= clock.nowMs()) queueMicrotask(() => wake(topic, group, queueId));
      else this.#alarms.set(topic, group, queueId, freeAtMs);
    };
    store.onArrival((queue) => {
      this.#popPolling.arrived(queue);
      this.#notificationPolling.arrived(queue);
    });
    offsets.listeners.push({
      topicGone: (topic) => this.state.forgetTopic(topic),
      readTo: (group, topic, queueId) => this.state.readTo(group, topic, queueId),
      groupGone: (group) => this.state.forgetGroup(group),
      reset: (group, topic, queueId, offset) => {
        this.state.move(group, topic, queueId, offset);
        wake(topic, group, queueId);
      },
    });
  }

  /** `routes` tells of topics that other brokers have queues of, too. */
  register(processors: Map<number, Processor>, routes: TopicRoutes = async () => undefined): void {
    const context = this.#context;
    const { state } = this;
    const store = this.#store;
    const filters = new PopFilters(context);
    const pop = new PopMessage(context, store, state, filters, this.#popPolling);
    const notification = new NotificationProcessor(context, store, state, this.#notificationPolling);
    processors.set(RequestCode.POP_MESSAGE, pop.process);
    processors.set(RequestCode.NOTIFICATION, notification.process);
    this.#serveDurably(processors, RequestCode.ACK_MESSAGE, ({ header }, client) =>
      ackMessage(context, state, header, client),
    );
    this.#serveDurably(processors, RequestCode.BATCH_ACK_MESSAGE, ({ body }, client) =>
      batchAckMessage(context, state, body, client),
    );
    this.#serveDurably(processors, RequestCode.CHANGE_MESSAGE_INVISIBLETIME, ({ header }, client) =>
      changeInvisibleTime(context, state, header, client),
    );
    serve(processors, context, RequestCode.PEEK_MESSAGE, (_, { header }, client) =>
      peekMessage(context, store, state, header, client),
    );
    serve(processors, context, RequestCode.POLLING_INFO, (_, { header }, client) =>
      pollingInfo(context, this.#popPolling, header, client),
    );
    registerQueryAssignment(processors, context, new TopicQueues(context, routes));
  }

  /** Where sends wait for the disk, so does what is said of popped messages. */
  #serveDurably(processors: Map<number, Processor>, code: number, handler: PopHandler): void {
    processors.set(code, (request, connection) => {
      const { opaque, serializeType, isOneway } = request.header;
      const answer = answerOf(handler, request, connection, this.#context.log);
      const respond = ({ code: answerCode, remark, fields }: Answer) =>
        connection.writer.response(opaque, serializeType, answerCode, remark, fields);
      const { position } = this.state.journal;
      const isWritten = answer.code === ResponseCode.SUCCESS && this.#store.flushedPosition < position;
      if (!this.#store.syncFlush || !isWritten || isOneway) {
        respond(answer);
        return;
      }
      this.#waiters.add({
        position,
        connection,
        deadlineMs: this.#context.clock.monotonicMs() + this.#context.config.syncFlushTimeout,
        answer: (outcome) => respond(outcome === "flushed" ? answer : flushAnswer(outcome, this.#store.failure)),
      });
    });
  }

  /** Takes up what was leased when the broker stopped, however it stopped. Before anybody is served. */
  recover(): void {
    const report = this.#orders.load();
    if (report !== undefined) logLoadReport(this.#context.log, report);
    const { recordCount } = new PopRecovery(this.#context, this.#store, this.state).run();
    for (const { topic, group, queueId, info } of this.#orders.all()) {
      this.state.onLock(topic, group, queueId, info.freeAtMs());
    }
    // From now on a stop is no proper one until it is.
    if (recordCount > 0) this.#snapshots.write(false);
  }

  start(): void {
    this.#revive.start();
    this.#checkpoints.start();
    this.#snapshots.start();
    this.#saveOrders();
  }

  #saveOrders(): void {
    const { clock, config } = this.#context;
    const save = (): void => {
      this.#orders.scan();
      void this.#orders.saver.saveIfDirty();
      this.#saveOrders();
    };
    this.#saveTimer = clock.schedule(config.flushConsumerOffsetInterval, save, true);
  }

  /** Those who wait are answered; to be called while their connections are there. */
  quiesce(): void {
    this.#popPolling.close();
    this.#notificationPolling.close();
  }

  async close(): Promise<void> {
    this.#saveTimer?.cancel();
    this.#checkpoints.close();
    this.#revive.close();
    this.#alarms.close();
    this.#snapshots.close();
    await this.#orders.saver.close();
  }
}
