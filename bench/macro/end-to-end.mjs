/**
 * End to end at a fixed rate: a sender on its own thread (end-to-end-sender.mjs) puts the time each message was due
 * into its body, and a long-polling consumer here takes the time on arrival. The due time counts, not the time of the
 * write: a message that waits behind a stall carries the whole wait (no coordinated omission).
 */
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { describeError, Tally } from "./closed-loop.mjs";
import { Connection } from "./connection.mjs";
import { encodeRequest, OPAQUE_BASE, RequestCode, ResponseCode, readHeader } from "./frames.mjs";
import { mark, monotonicUs, windowFigures } from "./measure.mjs";
import { walkRecords } from "./records.mjs";
import { HEARTBEAT_EVERY_MS, heartbeat, pullFields, QUEUE_COUNT } from "./topic.mjs";

/** What the sender writes at the start of each body: due time f64 in microseconds, then a sequence number u32. */
export const STAMP_BYTES = 12;
const PULL_MESSAGES_MAX = 32;
const START_IN_US = 200_000;
const DRAIN_MS = 15_000;
const TICK_MS = 20;

/** Pulls all queues of a topic, one request in flight for each, as a push consumer does. */
class Consumer {
  /**
   * @param {Connection} connection
   * @param {import("./topic.mjs").Subscription} subscription
   * @param {string} brokerName
   * @param {number} messagesMax
   */
  constructor(connection, subscription, brokerName, messagesMax) {
    this.connection = connection;
    this.subscription = subscription;
    this.brokerName = brokerName;
    this.tally = new Tally();
    this.seen = new Uint8Array(messagesMax);
    this.duplicates = 0;
    this.queueOffsets = new Float64Array(QUEUE_COUNT);
    this.measureFromUs = Number.POSITIVE_INFINITY;
    this.measureToUs = Number.POSITIVE_INFINITY;
    connection.onHotAnswer = (scan, buffer, start, end) => this.#onPulled(scan, buffer, start, end);
    connection.onFailure = (error) => {
      this.tally.failure ??= error;
    };
  }

  start() {
    for (let queueId = 0; queueId < QUEUE_COUNT; queueId++) this.#pull(queueId);
  }

  /** @param {number} queueId */
  #pull(queueId) {
    const queueOffset = /** @type {number} */ (this.queueOffsets[queueId]);
    const fields = pullFields({
      subscription: this.subscription,
      brokerName: this.brokerName,
      queueId,
      queueOffset,
      commitOffset: queueOffset,
      messagesMax: PULL_MESSAGES_MAX,
    });
    this.connection.socket?.write(encodeRequest(RequestCode.PULL_MESSAGE, fields, OPAQUE_BASE + queueId));
  }

  /**
   * @param {import("./frames.mjs").AnswerScan} scan
   * @param {Buffer} buffer
   * @param {number} start
   * @param {number} end
   */
  #onPulled(scan, buffer, start, end) {
    const nowUs = monotonicUs();
    const queueId = scan.opaque - OPAQUE_BASE;
    if (queueId >= QUEUE_COUNT) throw new Error(`answer to ${scan.opaque}, which is not in flight`);
    const next = Number(readHeader(buffer, start).extFields?.["nextBeginOffset"]);
    if (scan.code === ResponseCode.SUCCESS) {
      const { bodyAt } = scan;
      walkRecords(buffer, bodyAt, end, (_offset, at, bytes) => this.#onMessage(buffer, at, bytes, nowUs));
      this.queueOffsets[queueId] = next;
    } else if (scan.code !== ResponseCode.PULL_NOT_FOUND && scan.code !== ResponseCode.PULL_RETRY_IMMEDIATELY) {
      this.tally.noteError(describeError(buffer, start));
    }
    this.#pull(queueId);
  }

  /**
   * @param {Buffer} buffer
   * @param {number} at
   * @param {number} bytes
   * @param {number} nowUs
   */
  #onMessage(buffer, at, bytes, nowUs) {
    if (bytes < STAMP_BYTES) throw new Error("a message without a stamp");
    const dueUs = buffer.readDoubleBE(at);
    const sequence = buffer.readUInt32BE(at + 8);
    if (sequence >= this.seen.length) throw new Error(`a message with the sequence number ${sequence}`);
    if (this.seen[sequence] !== 0) {
      this.duplicates++;
      return;
    }
    this.seen[sequence] = 1;
    this.tally.messages++;
    if (dueUs >= this.measureFromUs && dueUs < this.measureToUs) this.tally.latencies.record(nowUs - dueUs);
  }
}

/**
 * @typedef {object} SenderTask
 * @property {import("./topic.mjs").Target} target
 * @property {string} topic
 * @property {number} bodyBytes
 * @property {number} rate messages a second
 * @property {number} startUs when the first message is due
 * @property {number} measureFromUs
 * @property {number} messagesMax
 */

/**
 * @typedef {object} SenderReport
 * @property {number} sent
 * @property {number} acknowledged
 * @property {number} errors sends refused or never answered
 * @property {number} warmupErrors those refused that were due before the window
 * @property {Record<string, number>} errorKinds
 * @property {number} latestUs how late the latest write of the measured window was against its due time
 */

/**
 * @param {object} options
 * @param {import("./topic.mjs").Target} options.target
 * @param {import("./topic.mjs").Subscription} options.subscription
 * @param {number} options.bodyBytes
 * @param {number} options.rate messages a second
 * @param {number} options.warmupMs
 * @param {number} options.measureMs
 * @param {number | undefined} options.pid
 */
export async function runEndToEnd({ target, subscription, bodyBytes, rate, warmupMs, measureMs, pid }) {
  const messagesMax = Math.ceil(((warmupMs + measureMs) * rate) / 1_000);
  const connection = await Connection.open(target.broker);
  const clientId = `127.0.0.1@${process.pid}`;
  const beat = setInterval(() => {
    heartbeat(connection, subscription, clientId).catch((error) => connection.onFailure(error));
  }, HEARTBEAT_EVERY_MS);
  /** @type {Worker | undefined} */
  let sender;
  try {
    await heartbeat(connection, subscription, clientId);
    const consumer = new Consumer(connection, subscription, target.brokerName, messagesMax);
    consumer.start();
    const startUs = monotonicUs() + START_IN_US;
    consumer.measureFromUs = startUs + warmupMs * 1_000;
    consumer.measureToUs = consumer.measureFromUs + measureMs * 1_000;
    sender = new Worker(new URL("./end-to-end-sender.mjs", import.meta.url), {
      workerData: {
        target,
        topic: subscription.topic,
        bodyBytes,
        rate,
        startUs,
        measureFromUs: consumer.measureFromUs,
        messagesMax,
      },
    });
    const reported = senderReport(sender);
    reported.catch((error) => {
      consumer.tally.failure ??= error;
    });
    await until(consumer.measureFromUs, consumer.tally);
    const from = mark(pid, consumer.tally.messages);
    await until((consumer.measureFromUs + consumer.measureToUs) / 2, consumer.tally);
    const middle = mark(pid, consumer.tally.messages);
    await until(consumer.measureToUs, consumer.tally);
    const to = mark(pid, consumer.tally.messages);
    const report = await reported;
    await waitReceived(consumer, report.acknowledged);
    return { consumer, report, figures: windowFigures(from, middle, to), windowMessages: to.messages - from.messages };
  } finally {
    clearInterval(beat);
    connection.close();
    await sender?.terminate();
  }
}

/**
 * @param {Worker} sender
 * @returns {Promise<SenderReport>}
 */
async function senderReport(sender) {
  // A thread that dies of an error makes `once` reject; one that ends without a word leaves nothing to wait for.
  const message = await Promise.race([once(sender, "message"), once(sender, "exit").then(() => undefined)]);
  if (message === undefined) throw new Error("the sender ended without a report");
  return message[0];
}

/**
 * @param {number} atUs
 * @param {Tally} tally
 */
async function until(atUs, tally) {
  for (let leftUs = atUs - monotonicUs(); leftUs > 0; leftUs = atUs - monotonicUs()) {
    if (tally.failure !== undefined) throw tally.failure;
    await delay(Math.min(TICK_MS * 10, Math.max(1, leftUs / 1_000)));
  }
}

/**
 * @param {Consumer} consumer
 * @param {number} messages
 */
async function waitReceived(consumer, messages) {
  const deadlineMs = performance.now() + DRAIN_MS;
  while (consumer.tally.messages < messages && performance.now() < deadlineMs) {
    if (consumer.tally.failure !== undefined) throw consumer.tally.failure;
    await delay(TICK_MS);
  }
}
