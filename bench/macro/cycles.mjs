/**
 * Work of which a good part comes after the answer: delayed messages, transactions, popped and acknowledged messages. It is
 * done in cycles of a fixed number of messages, each of which ends when the broker has nothing left to do for them that a
 * client could see, so that all of that is in the CPU per message.
 */
import { describeError, runRequests, runUntil } from "./closed-loop.mjs";
import { encodeRequest, PRODUCER_GROUP, RequestCode, readHeader } from "./frames.mjs";
import { mark, round } from "./measure.mjs";
import { walkRecords } from "./records.mjs";
import { sendSource } from "./sources.mjs";
import { heartbeat, QUEUE_COUNT, waitStored } from "./topic.mjs";

const CYCLE_TIMEOUT_MS = 120_000;
const FILL_BATCH_COUNT = 16;
const HALF = 4;
const COMMIT = "8";
const ONEWAY = 2;
const POP_COUNT = 32;
const INVISIBLE_MS = 60_000;
const POLL_MS = 10_000;

/** @typedef {import("./wire-load.mjs").Settings} Settings */
/** @typedef {import("./closed-loop.mjs").Source} Source */
/** @typedef {import("./closed-loop.mjs").Tally} Tally */

/**
 * `prepare` is not measured, `work` is. `stored` is what the topic's queues hold in the end, of `expected`.
 *
 * @typedef {object} Cycle
 * @property {(cycle: number) => Promise<void>} [prepare]
 * @property {(cycle: number) => Promise<Tally>} work
 * @property {(acknowledged: number) => Promise<{stored: number, isVerified: boolean}>} verify
 */

/**
 * Cycles of warm-up, then of the measured time: at least one of each.
 *
 * @param {Settings} settings
 * @param {Cycle} cycle
 */
async function runCycles(settings, cycle) {
  let count = 0;
  let acknowledged = 0;
  let warmupErrors = 0;
  const once = async () => {
    await cycle.prepare?.(count);
    const from = mark(settings.pid, 0);
    const tally = await cycle.work(count++);
    acknowledged += tally.messages;
    return { from, to: mark(settings.pid, tally.messages), tally };
  };
  /** @param {{from: import("./measure.mjs").Mark, to: import("./measure.mjs").Mark}} done */
  const spentUs = ({ from, to }) => to.atUs - from.atUs;

  let warmupUs = 0;
  while (warmupUs < settings.warmupMs * 1_000) {
    const done = await once();
    warmupUs += spentUs(done);
    warmupErrors += done.tally.errors;
  }
  const measured = [];
  for (let us = 0; us < settings.measureMs * 1_000; us += spentUs(/** @type {Done} */ (measured.at(-1)))) {
    measured.push(await once());
  }
  const { stored, isVerified } = await cycle.verify(acknowledged);
  const last = /** @type {Done} */ (measured.at(-1));
  return {
    cycles: measured.length,
    ...figuresOf(measured, settings.pid !== undefined),
    warmupSeconds: round(warmupUs / 1e6, 1),
    errors: measured.reduce((sum, { tally }) => sum + tally.errors, 0),
    warmupErrors,
    errorKinds: last.tally.errorFields().errorKinds,
    ...last.tally.latencies.summary(),
    acknowledged,
    stored,
    isVerified,
  };
}

/** @typedef {{from: import("./measure.mjs").Mark, to: import("./measure.mjs").Mark, tally: Tally}} Done */

/**
 * @param {Done[]} measured
 * @param {boolean} hasPid
 */
function figuresOf(measured, hasPid) {
  /**
   * @param {Done[]} part
   * @param {(done: Done) => number} value
   */
  const sum = (part, value) => part.reduce((total, done) => total + value(done), 0);
  /** @param {Done} done */
  const cpuSeconds = ({ from, to }) => (to.server?.cpuSeconds ?? 0) - (from.server?.cpuSeconds ?? 0);
  /** @param {Done[]} part */
  const cpuUs = (part) => (hasPid ? round((sum(part, cpuSeconds) * 1e6) / messagesOf(part), 3) : null);
  /** @param {Done[]} part */
  const messagesOf = (part) => sum(part, ({ tally }) => tally.messages);
  const seconds = sum(measured, ({ from, to }) => (to.atUs - from.atUs) / 1e6);
  const half = Math.ceil(measured.length / 2);
  const usage = /** @type {Done} */ (measured.at(-1)).to.server;
  return {
    sends: messagesOf(measured),
    seconds: round(seconds, 3),
    perSecond: Math.round(messagesOf(measured) / seconds),
    cpuUsPerMessage: cpuUs(measured),
    cpuUsByHalf: [cpuUs(measured.slice(0, half)), measured.length > half ? cpuUs(measured.slice(half)) : null],
    serverCpuSeconds: hasPid ? round(sum(measured, cpuSeconds), 2) : null,
    generatorCpuUsPerMessage: round(
      sum(measured, ({ from, to }) => to.generatorCpuUs - from.generatorCpuUs) / messagesOf(measured),
      3,
    ),
    rssMB: usage?.rssMB ?? null,
    rssAnonMB: usage?.rssAnonMB ?? null,
  };
}

/**
 * Sends `cycleCount` messages that reach the topic later than their answers, and waits until the topic has them all.
 *
 * @param {Settings} settings
 * @param {(connectionIndex: number, tally: Tally, connection: import("./connection.mjs").Connection) => Source} sourceOf
 */
function runDeferred(settings, sourceOf) {
  const { target, topic, connections, window, cycleCount } = settings;
  let expected = 0;
  let stored = 0;
  return runCycles(settings, {
    work: async () => {
      const measuring = (/** @type {Parameters<typeof sourceOf>} */ ...args) => {
        args[1].measuring = true;
        return sourceOf(...args);
      };
      const loop = { broker: target.broker, connections, window, sourceOf: measuring };
      const tally = await runRequests(loop, cycleCount, CYCLE_TIMEOUT_MS);
      expected += tally.messages;
      stored = await waitStored(target, topic, expected);
      return tally;
    },
    verify: async (acknowledged) => ({ stored, isVerified: stored === acknowledged }),
  });
}

/**
 * Delayed messages, from the send to the delivery into their topic.
 *
 * @param {Settings} settings
 */
export function runDelays(settings) {
  const { topic, target, bodyBytes } = settings;
  const properties = { TIMER_DELAY_MS: String(settings.delayMs) };
  const options = { topic, brokerName: target.brokerName, bodyBytes, messageCount: 1, properties };
  return runDeferred(settings, (connectionIndex, tally) => sendSource(options, connectionIndex, tally));
}

/**
 * Half messages, each committed as soon as it is acknowledged, with a one-way request as Apache's client does it.
 *
 * @param {Settings} settings
 */
export function runTransactions(settings) {
  const { topic, target, bodyBytes } = settings;
  const properties = { TRAN_MSG: "true", PGROUP: PRODUCER_GROUP };
  const options = { topic, brokerName: target.brokerName, bodyBytes, messageCount: 1, properties, sysFlag: HALF };
  return runDeferred(settings, (connectionIndex, tally, connection) => {
    const source = sendSource(options, connectionIndex, tally);
    const socket = /** @type {import("node:net").Socket} */ (connection.socket);
    return {
      ...source,
      accept(slot, scan, buffer, start, end) {
        const accepted = source.accept(slot, scan, buffer, start, end);
        if (accepted === 0) return 0;
        if (socket.writableCorked === 0) {
          // What one read of answers leads to, the next half messages included, goes out in one write.
          socket.cork();
          process.nextTick(() => socket.uncork());
        }
        socket.write(commitOf(topic, target.brokerName, readHeader(buffer, start).extFields ?? {}));
        return accepted;
      },
    };
  });
}

/**
 * @param {string} topic
 * @param {string} brokerName
 * @param {Record<string, string>} answer
 */
function commitOf(topic, brokerName, answer) {
  const fields = {
    topic,
    producerGroup: PRODUCER_GROUP,
    tranStateTableOffset: String(answer["queueOffset"]),
    commitLogOffset: String(Number.parseInt(String(answer["msgId"]).slice(-16), 16)),
    commitOrRollback: COMMIT,
    fromTransactionCheck: "false",
    msgId: String(answer["transactionId"] ?? ""),
    transactionId: String(answer["transactionId"] ?? ""),
    bname: brokerName,
  };
  return encodeRequest(RequestCode.END_TRANSACTION, fields, 0, undefined, ONEWAY);
}

/**
 * Messages popped 32 at a time and acknowledged one by one, as Apache's push consumer does it. Sending them is not measured.
 *
 * @param {Settings} settings
 */
export function runPops(settings) {
  const { target, topic, connections, window, cycleCount, bodyBytes } = settings;
  const subscription = { topic, group: `${topic}-group`, version: Date.now() };
  const seen = new SeenMessages();
  let filled = 0;
  return runCycles(settings, {
    prepare: async () => {
      const options = { topic, brokerName: target.brokerName, bodyBytes, messageCount: FILL_BATCH_COUNT };
      const requests = Math.ceil(cycleCount / FILL_BATCH_COUNT);
      const fill = await runRequests(
        { broker: target.broker, connections: 4, window: 4, sourceOf: (i, tally) => sendSource(options, i, tally) },
        requests,
        CYCLE_TIMEOUT_MS,
      );
      filled += fill.messages;
      await waitStored(target, topic, filled);
    },
    work: () =>
      runUntil(
        {
          broker: target.broker,
          connections,
          window,
          sourceOf: async (connectionIndex, tally, connection) => {
            tally.measuring = true;
            await heartbeat(connection, subscription, `127.0.0.1@${process.pid}-${connectionIndex}`);
            return popSource(subscription, target.brokerName, window, seen, tally);
          },
        },
        () => seen.ackedCount >= filled,
        CYCLE_TIMEOUT_MS,
      ),
    verify: async (acknowledged) => ({
      stored: filled,
      isVerified: acknowledged === filled && seen.count === filled && seen.repeatedCount === 0,
    }),
  });
}

/** Which messages have been popped, so that none is missing or comes twice. */
class SeenMessages {
  constructor() {
    this.count = 0;
    this.repeatedCount = 0;
    this.ackedCount = 0;
    this.offsetsByQueue = Array.from({ length: QUEUE_COUNT }, () => new Set());
  }

  /**
   * @param {number} queueId
   * @param {number} queueOffset
   */
  add(queueId, queueOffset) {
    const offsets = /** @type {Set<number>} */ (this.offsetsByQueue[queueId]);
    if (offsets.has(queueOffset)) this.repeatedCount++;
    else this.count++;
    offsets.add(queueOffset);
  }
}

/**
 * Each slot pops, acknowledges what it got, and pops again.
 *
 * @param {import("./topic.mjs").Subscription} subscription
 * @param {string} brokerName
 * @param {number} window
 * @param {SeenMessages} seen
 * @param {Tally} tally
 * @returns {Source}
 */
function popSource(subscription, brokerName, window, seen, tally) {
  const { topic, group: consumerGroup } = subscription;
  /** @type {Record<string, string>[][]} */
  const handlesOfSlot = Array.from({ length: window }, () => []);
  const isPopping = new Uint8Array(window);
  return {
    prepare: () => Buffer.allocUnsafe(window * 1_024),
    write(buffer, at, slot, opaque) {
      const handle = /** @type {Record<string, string>[]} */ (handlesOfSlot[slot]).pop();
      isPopping[slot] = handle === undefined ? 1 : 0;
      const code = handle === undefined ? RequestCode.POP_MESSAGE : RequestCode.ACK_MESSAGE;
      const frame = encodeRequest(code, handle ?? popFields(topic, consumerGroup, brokerName), opaque);
      buffer.set(frame, at);
      return frame.length;
    },
    accept(slot, scan, buffer, start, end) {
      if (isPopping[slot] === 1) {
        const hasMessages = scan.code === 0;
        // Nothing there, or nobody could be told in time: the slot asks again.
        if (hasMessages)
          handlesOfSlot[slot] = handlesOf(readHeader(buffer, start).extFields ?? {}, buffer, scan.bodyAt, end);
        return 0;
      }
      if (scan.code === 0) {
        seen.ackedCount++;
        return 1;
      }
      tally.noteError(describeError(buffer, start));
      return 0;
    },
  };

  /**
   * @param {Record<string, string>} fields
   * @param {Buffer} buffer
   * @param {number} from
   * @param {number} to
   */
  function handlesOf(fields, buffer, from, to) {
    const startOffsets = new Map();
    for (const piece of (fields["startOffsetInfo"] ?? "").split(";")) {
      const [, queueId, startOffset] = piece.split(" ");
      startOffsets.set(Number(queueId), startOffset);
    }
    const { popTime, invisibleTime, reviveQid } = fields;
    /** @type {Record<string, string>[]} */
    const handles = [];
    walkRecords(buffer, from, to, (queueOffset, _bodyAt, _bodyBytes, queueId) => {
      seen.add(queueId, queueOffset);
      const place = `${brokerName} ${queueId} ${queueOffset}`;
      const extraInfo = `${startOffsets.get(queueId)} ${popTime} ${invisibleTime} ${reviveQid} 0 ${place}`;
      handles.push({
        queueId: String(queueId),
        offset: String(queueOffset),
        extraInfo,
        bname: brokerName,
        topic,
        consumerGroup,
      });
    });
    return handles;
  }
}

/**
 * @param {string} topic
 * @param {string} consumerGroup
 * @param {string} brokerName
 */
function popFields(topic, consumerGroup, brokerName) {
  return {
    queueId: "-1",
    maxMsgNums: String(POP_COUNT),
    pollTime: String(POLL_MS),
    initMode: "0",
    exp: "*",
    expType: "TAG",
    invisibleTime: String(INVISIBLE_MS),
    bornTime: String(Date.now()),
    order: "false",
    bname: brokerName,
    topic,
    consumerGroup,
  };
}
