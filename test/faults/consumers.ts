/** Push consumers of the client library that write down what they are given, and who watches where their groups stand. */
import { PushConsumer } from "#src/client/push-consumer.js";
import type { ReceivedMessage } from "#src/client/received-message.js";
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { type Handled, hashOf, type History } from "./history.js";
import { onEnd, pause } from "./scratch.js";

const WATCH_MS = 50;

function seenBy(reader: string, { queue, queueOffset, messageId, body }: ReceivedMessage, history: History): string {
  const name = `${queue.topic}/${queue.queueId}`;
  history.seen.push({ reader, queue: name, queueOffset, key: messageId, hash: hashOf(body), atMs: performance.now() });
  return name;
}

/** Of the group ORDERLY and topic T0. */
export async function orderlyConsumer(namesrvAddr: string, name: string, history: History): Promise<PushConsumer> {
  const consumer = await PushConsumer.start({
    namesrvAddr,
    group: "ORDERLY",
    subscriptions: { T0: "*" },
    consumeFrom: "first",
    orderly: true,
    pollNameServerIntervalMs: 1000,
    persistConsumerOffsetIntervalMs: 500,
    onMessage: async (message) => {
      const handled: Handled = {
        group: "ORDERLY",
        consumer: name,
        queue: seenBy(name, message, history),
        queueOffset: message.queueOffset,
        startedMs: performance.now(),
        endedMs: Number.POSITIVE_INFINITY,
      };
      history.handled.push(handled);
      await pause(0);
      handled.endedMs = performance.now();
    },
  });
  onEnd(() => consumer.close());
  return consumer;
}

/** Of the group CLUSTER and topic T1. */
export async function clusterConsumer(namesrvAddr: string, name: string, history: History): Promise<PushConsumer> {
  const consumer = await PushConsumer.start({
    namesrvAddr,
    group: "CLUSTER",
    subscriptions: { T1: "*" },
    consumeFrom: "first",
    pollNameServerIntervalMs: 1000,
    persistConsumerOffsetIntervalMs: 500,
    onMessage: (message) => void seenBy(name, message, history),
  });
  onEnd(() => consumer.close());
  return consumer;
}

/** Asks again and again where a group stands in a queue. */
export class Watcher {
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(port: () => number, history: History, group: string, topic: string, queueId: number) {
    this.#running = this.#run(port, history, group, topic, queueId);
    onEnd(() => this.stop());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(port: () => number, history: History, group: string, topic: string, queueId: number): Promise<void> {
    const fields = { consumerGroup: group, topic, queueId, setZeroIfNotFound: false };
    while (!this.#stopped) {
      const client = new RemotingClient("127.0.0.1", port());
      try {
        while (!this.#stopped) {
          const invokedMs = performance.now();
          const { code, fields: found } = await client.call(
            RequestCode.QUERY_CONSUMER_OFFSET,
            fields,
            undefined,
            20_000,
          );
          const offset = code === ResponseCode.SUCCESS ? Number(found.offset) : -1;
          if (code === ResponseCode.SUCCESS || code === ResponseCode.QUERY_NOT_FOUND) {
            const times = { invokedMs, completedMs: performance.now() };
            history.watched.push({ group, queue: `${topic}/${queueId}`, offset, ...times });
          }
          await pause(WATCH_MS);
        }
      } catch {
        await pause(WATCH_MS);
      }
      await client.close();
    }
  }
}
