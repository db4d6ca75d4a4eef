/** What a closed loop sends: single messages, batches, or pulls round and round over the queues of a filled topic. */
import { describeError } from "./closed-loop.mjs";
import {
  encodeRequest,
  messageBody,
  RequestCode,
  readHeader,
  sendTemplate,
  writeEightHexDigits,
  writeNineDigits,
} from "./frames.mjs";
import { walkRecords } from "./records.mjs";
import { pullFields, QUEUE_COUNT } from "./topic.mjs";

/** @typedef {import("./closed-loop.mjs").Source} Source */
/** @typedef {import("./closed-loop.mjs").Tally} Tally */

/** A u32 shared by all senders of this process, so that no two messages of a run have the same unique key. */
let uniqueKeyCount = 0;

/**
 * @param {import("./frames.mjs").SendTemplate} template
 * @param {Buffer} buffer
 * @param {number} at where a copy of the template starts
 */
export function patchUniqueKeys(template, buffer, at) {
  for (const keyAt of template.uniqueKeysAt) {
    uniqueKeyCount = (uniqueKeyCount + 1) >>> 0;
    writeEightHexDigits(buffer, at + keyAt, uniqueKeyCount);
  }
}

/**
 * @param {object} options
 * @param {string} options.topic
 * @param {string} options.brokerName
 * @param {number} options.bodyBytes
 * @param {number} options.messageCount
 * @param {Record<string, string>} [options.properties]
 * @param {number} [options.sysFlag]
 * @param {number} firstQueue
 * @param {Tally} tally
 * @returns {Source}
 */
export function sendSource(options, firstQueue, tally) {
  const template = sendTemplate(options);
  const frameBytes = template.frame.length;
  let queueId = firstQueue % QUEUE_COUNT;
  return {
    prepare(window) {
      const buffer = Buffer.allocUnsafe(window * frameBytes);
      for (let i = 0; i < window; i++) buffer.set(template.frame, i * frameBytes);
      return buffer;
    },
    write(buffer, at, _slot, opaque) {
      writeNineDigits(buffer, at + template.opaqueAt, opaque);
      buffer[at + template.queueAt] = 48 + queueId;
      patchUniqueKeys(template, buffer, at);
      queueId = (queueId + 1) % QUEUE_COUNT;
      return frameBytes;
    },
    accept(_slot, scan, buffer, start) {
      if (scan.code === 0) return template.messageCount;
      tally.noteError(describeError(buffer, start));
      return 0;
    },
  };
}

/** A filled topic, and what has been seen of it: each record is checked in full the first time it comes by. */
export class FilledTopic {
  /**
   * @param {import("./topic.mjs").Subscription} subscription
   * @param {string} brokerName
   * @param {number[]} maxOffsetByQueue
   * @param {number} bodyBytes
   */
  constructor(subscription, brokerName, maxOffsetByQueue, bodyBytes) {
    this.subscription = subscription;
    this.brokerName = brokerName;
    this.maxOffsetByQueue = maxOffsetByQueue;
    this.expectedBody = messageBody(bodyBytes);
    this.checkedToByQueue = new Float64Array(QUEUE_COUNT);
    this.recordBytes = 0;
  }

  checkedCount() {
    return this.checkedToByQueue.reduce((sum, checkedTo) => sum + checkedTo, 0);
  }

  /**
   * @param {number} queueId
   * @param {number} queueOffset of the first record
   * @param {number} count
   * @param {Buffer} buffer
   * @param {number} from
   * @param {number} to
   * @returns {string | undefined} what is wrong with these records
   */
  check(queueId, queueOffset, count, buffer, from, to) {
    const isSeen = queueOffset + count <= /** @type {number} */ (this.checkedToByQueue[queueId]);
    if (isSeen) return to - from === count * this.recordBytes ? undefined : "a pull answer of another size than before";
    let expectedOffset = queueOffset;
    let problem;
    const walked = walkRecords(buffer, from, to, (offset, bodyAt, bodyBytes) => {
      if (offset !== expectedOffset++) problem ??= "a pulled record out of order";
      if (this.expectedBody.compare(buffer, bodyAt, bodyAt + bodyBytes) !== 0) problem ??= "a pulled body differs";
    });
    if (walked !== count) problem ??= "nextBeginOffset does not fit the records pulled";
    const recordBytes = (to - from) / count;
    if (this.recordBytes === 0) this.recordBytes = recordBytes;
    if (recordBytes !== this.recordBytes) problem ??= "records of the same message differ in size";
    this.checkedToByQueue[queueId] = Math.max(
      queueOffset + count,
      /** @type {number} */ (this.checkedToByQueue[queueId]),
    );
    return problem;
  }
}

const NEXT_OFFSET_NAME = Buffer.from('"nextBeginOffset":"');

/**
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} bodyAt
 */
function nextBeginOffset(buffer, start, bodyAt) {
  const found = buffer.indexOf(NEXT_OFFSET_NAME, start + 8);
  if (found < 0 || found >= bodyAt) return Number(readHeader(buffer, start).extFields?.["nextBeginOffset"]);
  const from = found + NEXT_OFFSET_NAME.length;
  return Number(buffer.toString("latin1", from, buffer.indexOf(0x22, from)));
}

/**
 * Each slot walks a queue from offset 0 to its end, then goes on with the next queue.
 *
 * @param {FilledTopic} filled
 * @param {{connectionIndex: number, window: number, messagesMax: number}} place
 * @param {Tally} tally
 * @returns {Source}
 */
export function pullSource(filled, { connectionIndex, window, messagesMax }, tally) {
  const queueIds = new Uint8Array(window).map((_, slot) => (connectionIndex * window + slot) % QUEUE_COUNT);
  const queueOffsets = new Float64Array(window);
  return {
    prepare: () => Buffer.allocUnsafe(window * 1_024),
    write(buffer, at, slot, opaque) {
      const fields = pullFields({
        subscription: filled.subscription,
        brokerName: filled.brokerName,
        queueId: /** @type {number} */ (queueIds[slot]),
        queueOffset: /** @type {number} */ (queueOffsets[slot]),
        commitOffset: 0,
        messagesMax,
      });
      const frame = encodeRequest(RequestCode.PULL_MESSAGE, fields, opaque);
      buffer.set(frame, at);
      return frame.length;
    },
    accept(slot, scan, buffer, start, end) {
      const queueId = /** @type {number} */ (queueIds[slot]);
      const queueOffset = /** @type {number} */ (queueOffsets[slot]);
      if (scan.code !== 0) {
        tally.noteError(describeError(buffer, start));
        return 0;
      }
      const next = nextBeginOffset(buffer, start, scan.bodyAt);
      const count = next - queueOffset;
      if (!(count > 0 && count <= messagesMax)) throw new Error(`a pull from ${queueOffset} leads to ${next}`);
      const problem = filled.check(queueId, queueOffset, count, buffer, scan.bodyAt, end);
      if (problem !== undefined) tally.noteError(problem);
      const isEnd = next >= /** @type {number} */ (filled.maxOffsetByQueue[queueId]);
      queueOffsets[slot] = isEnd ? 0 : next;
      if (isEnd) queueIds[slot] = (queueId + 1) % QUEUE_COUNT;
      return count;
    },
  };
}
