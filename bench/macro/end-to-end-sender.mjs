/**
 * The sending half of the end to end case, on its own thread: writes each message when it is due, whether or not
 * earlier ones were answered. It sleeps until shortly before the due time and spins the rest, since a timer of the
 * event loop is a millisecond coarse and would be measured instead of the broker.
 */
import { setImmediate as turn } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { describeError, Tally } from "./closed-loop.mjs";
import { Connection } from "./connection.mjs";
import { OPAQUE_BASE, sendTemplate, writeNineDigits } from "./frames.mjs";
import { monotonicUs } from "./measure.mjs";
import { patchUniqueKeys } from "./sources.mjs";
import { QUEUE_COUNT } from "./topic.mjs";

/** The kernel wakes a sleeper some 60 us late; what is left after the sleep is spun. */
const SPIN_US = 150;
const IN_FLIGHT_MAX = 20_000;
const DRAIN_MS = 10_000;

/** @type {import("./end-to-end.mjs").SenderTask} */
const { target, topic, bodyBytes, rate, startUs, measureFromUs, messagesMax } = workerData;

const intervalUs = 1e6 / rate;
const sleepCell = new Int32Array(new SharedArrayBuffer(4));
const tally = new Tally(Number.MAX_SAFE_INTEGER);
const connection = await Connection.open(target.broker);
connection.onFailure = (error) => {
  tally.failure ??= error;
};
connection.onHotAnswer = (scan, buffer, start) => {
  tally.answers++;
  if (scan.code === 0) tally.messages++;
  else if (dueUsOf(scan.opaque - OPAQUE_BASE) < measureFromUs) tally.warmupErrors++;
  else tally.noteError(describeError(buffer, start));
};

const template = sendTemplate({ topic, brokerName: target.brokerName, bodyBytes, messageCount: 1 });
let latestUs = 0;

while (tally.requests < messagesMax) {
  const dueUs = dueUsOf(tally.requests);
  const leftUs = dueUs - monotonicUs();
  if (leftUs <= 0) {
    if (dueUs >= measureFromUs && -leftUs > latestUs) latestUs = -leftUs;
    send(tally.requests, dueUs);
    // One turn of the event loop reads the answers that are there; while late, only every few messages.
    if (-leftUs < intervalUs || tally.requests % 16 === 0) await turn();
    if (tally.failure !== undefined) throw tally.failure;
    if (tally.requests - tally.answers > IN_FLIGHT_MAX) throw new Error(`more than ${IN_FLIGHT_MAX} sends unanswered`);
  } else if (leftUs > SPIN_US) {
    Atomics.wait(sleepCell, 0, 0, (leftUs - SPIN_US) / 1_000);
  }
}

const deadlineUs = monotonicUs() + DRAIN_MS * 1_000;
while (tally.answers < tally.requests && monotonicUs() < deadlineUs && tally.failure === undefined) await turn();
connection.close();
parentPort?.postMessage({
  sent: tally.requests,
  acknowledged: tally.messages,
  latestUs,
  errors: tally.errors + (tally.requests - tally.answers),
  warmupErrors: tally.warmupErrors,
  errorKinds: tally.errorFields().errorKinds,
});

/**
 * @param {number} sequence
 * @returns {number} when that message is due
 */
function dueUsOf(sequence) {
  return startUs + sequence * intervalUs;
}

/**
 * @param {number} sequence
 * @param {number} dueUs
 */
function send(sequence, dueUs) {
  const frame = Buffer.from(template.frame);
  writeNineDigits(frame, template.opaqueAt, OPAQUE_BASE + sequence);
  frame[template.queueAt] = 48 + (sequence % QUEUE_COUNT);
  patchUniqueKeys(template, frame, 0);
  frame.writeDoubleBE(dueUs, template.bodyAt);
  frame.writeUInt32BE(sequence, template.bodyAt + 8);
  tally.requests++;
  connection.socket?.write(frame);
}
