/**
 * A closed loop: every connection keeps its window of requests in flight, and a request is written as soon as an answer
 * frees its place. All answers of one read are followed by one write, which is what a busy asynchronous client does.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Connection } from "./connection.mjs";
import { OPAQUE_BASE, OPAQUE_SPAN, readHeader } from "./frames.mjs";
import { LatencyHistogram, mark, round, windowFigures } from "./measure.mjs";

const ERRORS_MAX = 1_000;
const ERROR_KINDS_MAX = 8;
const STALL_MS = 15_000;
const DRAIN_MS = 30_000;
const TICK_MS = 5;
export const WINDOW_MAX = 1_024;

/** Counts shared by all connections of a run. */
export class Tally {
  /** @param {number} errorsMax so many end the run: a closed loop would only repeat what is refused */
  constructor(errorsMax = ERRORS_MAX) {
    this.errorsMax = errorsMax;
    this.requests = 0;
    this.requestsMax = Number.MAX_SAFE_INTEGER;
    this.answers = 0;
    this.messages = 0;
    this.errors = 0;
    this.warmupErrors = 0;
    /** @type {Map<string, number>} */
    this.errorKinds = new Map();
    this.latencies = new LatencyHistogram();
    this.measuring = false;
    this.stopping = false;
    /** @type {Error | undefined} */
    this.failure = undefined;
  }

  /** @param {string} kind */
  noteError(kind) {
    this.errors++;
    if (this.errorKinds.has(kind) || this.errorKinds.size < ERROR_KINDS_MAX) {
      this.errorKinds.set(kind, (this.errorKinds.get(kind) ?? 0) + 1);
    }
    if (this.errors > this.errorsMax) throw new Error(`more than ${this.errorsMax} errors, among them: ${kind}`);
  }

  /** What was refused until now is no error of the window: a JVM that has just started refuses sends for a while. */
  startMeasuring() {
    this.measuring = true;
    this.warmupErrors = this.errors;
    this.errors = 0;
    this.errorKinds.clear();
  }

  errorFields() {
    return { errors: this.errors, warmupErrors: this.warmupErrors, errorKinds: Object.fromEntries(this.errorKinds) };
  }
}

/**
 * @param {Buffer} buffer
 * @param {number} start
 * @returns {string} code and the beginning of the remark, without the digits which differ each time
 */
export function describeError(buffer, start) {
  const header = readHeader(buffer, start);
  return `${header.code} ${(header.remark ?? "").slice(0, 80).replace(/\d+/g, "N")}`.trim();
}

/** @typedef {import("./frames.mjs").AnswerScan} AnswerScan */

/**
 * What a connection sends. `prepare` makes a buffer for a whole window, `write` puts one request into such a buffer
 * and returns its bytes, `accept` judges an answer and returns how many messages it stands for.
 *
 * @typedef {object} Source
 * @property {(window: number) => Buffer} prepare
 * @property {(buffer: Buffer, at: number, slot: number, opaque: number) => number} write
 * @property {(slot: number, scan: AnswerScan, buffer: Buffer, start: number, end: number) => number} accept
 */

/** One connection with its window. A slot is a place in the window; its opaque says which request holds it. */
class Lane {
  /**
   * @param {Connection} connection
   * @param {number} window
   * @param {Source} source
   * @param {Tally} tally
   */
  constructor(connection, window, source, tally) {
    this.connection = connection;
    this.socket = /** @type {import("node:net").Socket} */ (connection.socket);
    this.window = window;
    this.source = source;
    this.tally = tally;
    this.generationMax = Math.floor(OPAQUE_SPAN / window);
    this.generations = new Uint32Array(window);
    this.opaques = new Uint32Array(window);
    this.sentAtMs = new Float64Array(window);
    this.freeSlots = new Uint16Array(window).map((_, slot) => slot);
    this.freeCount = window;
    /** @type {Buffer[]} buffers the kernel has taken over entirely */
    this.idleBuffers = [];
    /** @type {Buffer[]} buffers the socket still reads from */
    this.busyBuffers = [];
    connection.onHotAnswer = (scan, buffer, start, end) => this.#onAnswer(scan, buffer, start, end);
    connection.onChunkDone = () => this.fill();
    connection.onFailure = (error) => {
      tally.failure ??= error;
    };
  }

  isDrained() {
    return this.freeCount === this.window;
  }

  /** Writes one request for every free place. */
  fill() {
    const { tally, socket, source } = this;
    if (this.freeCount === 0 || tally.stopping || tally.requests >= tally.requestsMax) return;
    if (socket.writableLength === 0) {
      for (let buffer = this.busyBuffers.pop(); buffer; buffer = this.busyBuffers.pop()) this.idleBuffers.push(buffer);
    }
    const buffer = this.idleBuffers.pop() ?? source.prepare(this.window);
    const nowMs = performance.now();
    let bytes = 0;
    while (this.freeCount > 0 && tally.requests < tally.requestsMax) {
      const slot = /** @type {number} */ (this.freeSlots[--this.freeCount]);
      const generation = /** @type {number} */ (this.generations[slot]);
      const opaque = OPAQUE_BASE + generation * this.window + slot;
      this.generations[slot] = (generation + 1) % this.generationMax;
      this.opaques[slot] = opaque;
      this.sentAtMs[slot] = nowMs;
      bytes += source.write(buffer, bytes, slot, opaque);
      tally.requests++;
    }
    socket.write(buffer.subarray(0, bytes));
    (socket.writableLength === 0 ? this.idleBuffers : this.busyBuffers).push(buffer);
  }

  /**
   * @param {AnswerScan} scan
   * @param {Buffer} buffer
   * @param {number} start
   * @param {number} end
   */
  #onAnswer(scan, buffer, start, end) {
    const slot = (scan.opaque - OPAQUE_BASE) % this.window;
    if (this.opaques[slot] !== scan.opaque) throw new Error(`answer to ${scan.opaque}, which is not in flight`);
    this.opaques[slot] = 0;
    const { tally } = this;
    if (tally.measuring) {
      tally.latencies.record((performance.now() - /** @type {number} */ (this.sentAtMs[slot])) * 1_000);
    }
    tally.answers++;
    tally.messages += this.source.accept(slot, scan, buffer, start, end);
    this.freeSlots[this.freeCount++] = slot;
  }
}

/**
 * Waits for `ms`, or until so many messages have passed, whichever comes first.
 *
 * @param {Tally} tally
 * @param {number} ms
 * @param {number} messagesMax
 */
async function phase(tally, ms, messagesMax) {
  const startMs = performance.now();
  const messagesEnd = tally.messages + messagesMax;
  let progressMs = startMs;
  let progressAnswers = tally.answers;
  for (;;) {
    await delay(TICK_MS);
    if (tally.failure !== undefined) throw tally.failure;
    const nowMs = performance.now();
    if (nowMs - startMs >= ms || tally.messages >= messagesEnd) return;
    if (tally.answers !== progressAnswers) {
      progressAnswers = tally.answers;
      progressMs = nowMs;
    } else if (nowMs - progressMs > STALL_MS) {
      throw new Error(`no answer for ${STALL_MS} ms`);
    }
  }
}

/**
 * @param {Tally} tally
 * @param {Lane[]} lanes
 */
async function drain(tally, lanes) {
  const deadlineMs = performance.now() + DRAIN_MS;
  while (!lanes.every((lane) => lane.isDrained())) {
    if (tally.failure !== undefined) throw tally.failure;
    if (performance.now() > deadlineMs) throw new Error(`requests still unanswered after ${DRAIN_MS} ms`);
    await delay(TICK_MS);
  }
}

/**
 * @typedef {object} Loop
 * @property {string} broker host:port
 * @property {number} connections
 * @property {number} window requests in flight on each connection
 * @property {(connectionIndex: number, tally: Tally, connection: Connection) => Promise<Source> | Source} sourceOf
 */

/**
 * @param {Loop} loop
 * @param {(tally: Tally, lanes: Lane[]) => Promise<void>} work
 * @returns {Promise<Tally>}
 */
async function withLanes(loop, work) {
  const tally = new Tally();
  /** @type {Connection[]} */
  const connections = [];
  try {
    const lanes = [];
    for (let i = 0; i < loop.connections; i++) {
      const connection = await Connection.open(loop.broker);
      connections.push(connection);
      lanes.push(new Lane(connection, loop.window, await loop.sourceOf(i, tally, connection), tally));
    }
    for (const lane of lanes) lane.fill();
    await work(tally, lanes);
    return tally;
  } finally {
    tally.stopping = true;
    for (const connection of connections) connection.close();
  }
}

/**
 * Sends an exact number of requests, unmeasured.
 *
 * @param {Loop} loop
 * @param {number} requestsMax
 * @param {number} timeoutMs
 */
export function runRequests(loop, requestsMax, timeoutMs) {
  return runUntil(
    {
      ...loop,
      sourceOf: (i, tally, connection) => {
        tally.requestsMax = requestsMax;
        return loop.sourceOf(i, tally, connection);
      },
    },
    (tally) => tally.answers >= requestsMax,
    timeoutMs,
  );
}

/**
 * Requests until something is done; what is then in flight is left to its fate.
 *
 * @param {Loop} loop
 * @param {(tally: Tally) => boolean} isDone
 * @param {number} timeoutMs
 */
export function runUntil(loop, isDone, timeoutMs) {
  return withLanes(loop, async (tally) => {
    const deadlineMs = performance.now() + timeoutMs;
    while (!isDone(tally)) {
      if (tally.failure !== undefined) throw tally.failure;
      if (performance.now() > deadlineMs) throw new Error(`${tally.messages} messages were all in ${timeoutMs} ms`);
      await delay(TICK_MS);
    }
  });
}

/**
 * Runs warm-up and measured window without a pause between them, then lets everything in flight come back.
 *
 * @param {Loop} loop
 * @param {{warmupMs: number, measureMs: number, messagesMax: number, pid: number | undefined}} limits
 */
export async function runMeasured(loop, limits) {
  /** @type {ReturnType<typeof windowFigures> | undefined} */
  let figures;
  let windowMessages = 0;
  let windowAnswers = 0;
  let warmupSeconds = 0;
  const tally = await withLanes(loop, async (running, lanes) => {
    const startMs = performance.now();
    if (limits.warmupMs > 0) await phase(running, limits.warmupMs, limits.messagesMax);
    warmupSeconds = round((performance.now() - startMs) / 1_000, 1);
    running.startMeasuring();
    const from = mark(limits.pid, running.messages);
    const fromAnswers = running.answers;
    await phase(running, limits.measureMs / 2, limits.messagesMax / 2);
    const middle = mark(limits.pid, running.messages);
    await phase(running, limits.measureMs / 2, limits.messagesMax / 2);
    const to = mark(limits.pid, running.messages);
    running.measuring = false;
    running.stopping = true;
    figures = windowFigures(from, middle, to);
    windowMessages = to.messages - from.messages;
    windowAnswers = running.answers - fromAnswers;
    await drain(running, lanes);
  });
  const measured = /** @type {NonNullable<typeof figures>} */ (figures);
  return { tally, windowMessages, windowAnswers, figures: { warmupSeconds, ...measured } };
}
