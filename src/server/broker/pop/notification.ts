/**
 * Code 200054: is there anything to pop? Asked by proxies that wait for many clients at once (broker/processor/
 * NotificationProcessor.java). Nothing is leased.
 */
import { RequestCode, ResponseCode } from "../../../remoting/codes.js";
import { attempted } from "../../../remoting/failed-request.js";
import type { HeaderView } from "../../../remoting/header-view.js";
import type { Connection, Processor, Request, SerializeType } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import { type Answer, answerOf, requiredInteger, SUCCESS } from "../../answer.js";
import type { BrokerContext } from "../context.js";
import type { SubscriptionGroup } from "../subscription-group-config.js";
import { type Topic, topicQueue } from "../topic-config.js";
import { popRetryTopicV1, popRetryTopicV2 } from "./extra-info.js";
import type { PopPolling } from "./pop-polling.js";
import { readTarget } from "./pop-request.js";
import type { PopState } from "./pop-state.js";

interface Notification {
  readonly opaque: number;
  readonly serializeType: SerializeType;
  readonly topic: Topic;
  readonly group: SubscriptionGroup;
  readonly queueId: number;
  readonly bornTime: number;
  readonly pollTime: number;
  readonly isOrdered: boolean;
  readonly attemptId: string | undefined;
}

export class NotificationProcessor {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #state: PopState;
  readonly #polling: PopPolling;

  constructor(context: BrokerContext, store: MessageStore, state: PopState, polling: PopPolling) {
    this.#context = context;
    this.#store = store;
    this.#state = state;
    this.#polling = polling;
  }

  readonly process: Processor = (request, connection) => {
    const asked = this.#read(request, connection);
    if (asked === undefined) return;
    const waitMs = this.#polling.waitMs(asked.bornTime, asked.pollTime);
    if (waitMs <= 0) this.#store.catchUp();
    if (this.#hasMessage(asked) || waitMs <= 0) {
      this.#answer(asked, connection, false);
      return;
    }
    const { clock, log } = this.#context;
    const key = { code: RequestCode.NOTIFICATION, opaque: asked.opaque, serializeType: asked.serializeType };
    const isParked = this.#polling.park({
      topic: asked.topic.name,
      group: asked.group.name,
      queueId: asked.queueId,
      connection,
      deadlineMs: clock.monotonicMs() + waitMs,
      heapIndex: -1,
      attempt: (last) =>
        attempted(connection, key, log, () => {
          if (!last && !this.#hasMessage(asked)) return false;
          this.#answer(asked, connection, false);
          return true;
        }),
    });
    if (!isParked) this.#answer(asked, connection, true);
  };

  #read(request: Request, connection: Connection): Notification | undefined {
    let asked: Notification | undefined;
    const answer = answerOf(
      ({ header }) => {
        const read = this.#readHeader(header, connection);
        if ("code" in read) return read;
        asked = read;
        return SUCCESS;
      },
      request,
      connection,
      this.#context.log,
    );
    const { opaque, serializeType } = request.header;
    if (asked === undefined) connection.writer.response(opaque, serializeType, answer.code, answer.remark);
    return asked;
  }

  #readHeader(header: HeaderView, connection: Connection): Notification | Answer {
    const bornTime = requiredInteger(header, "bornTime");
    const pollTime = requiredInteger(header, "pollTime");
    const target = readTarget(this.#context, header, connection, "peeking");
    if (!("topic" in target)) return target;
    const { opaque, serializeType, isOneway } = header;
    const isOrdered = header.boolean("order") === true;
    const attemptId = header.text("attemptId");
    return { ...target, opaque, serializeType, bornTime, pollTime: isOneway ? 0 : pollTime, isOrdered, attemptId };
  }

  #hasMessage(asked: Notification): boolean {
    const { topics } = this.#context;
    const { topic, group, queueId } = asked;
    if (topics.get(topic.name) !== topic) return false;
    if (queueId < 0 ? this.#hasInTopic(asked, topic) : this.#hasInQueue(asked, topic, queueId)) return true;
    if (asked.isOrdered) return false;
    const retries = [popRetryTopicV1(group.name, topic.name), popRetryTopicV2(group.name, topic.name)];
    return retries.some((name) => {
      const retry = topics.get(name);
      return retry !== undefined && this.#hasInTopic(asked, retry);
    });
  }

  #hasInTopic(asked: Notification, topic: Topic): boolean {
    for (let queueId = 0; queueId < topic.readQueueNums; queueId++) {
      if (this.#hasInQueue(asked, topic, queueId)) return true;
    }
    return false;
  }

  #hasInQueue({ group, isOrdered, attemptId }: Notification, topic: Topic, queueId: number): boolean {
    if (isOrdered && this.#state.isBlocked(group.name, topic.name, queueId, attemptId, 0)) return false;
    const queue = topicQueue(this.#context.store, topic, queueId);
    return this.#store.maxOffset(queue) > this.#state.peekOffset(group.name, topic.name, queue);
  }

  #answer(asked: Notification, { writer }: Connection, pollingFull: boolean): void {
    const fields = { hasMsg: !pollingFull && this.#hasMessage(asked), pollingFull };
    writer.response(asked.opaque, asked.serializeType, ResponseCode.SUCCESS, undefined, fields);
  }
}
