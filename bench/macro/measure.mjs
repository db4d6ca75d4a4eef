/** What is read off a run: latencies in a histogram of fixed size, and the CPU and memory of the server from /proc. */
import { readFileSync } from "node:fs";

/** Values below this are counted exactly; above, each power of two is cut into this many steps (1.6 % apart). */
const STEPS = 64;
const POWERS = 26;

/** Latencies from 0 to about 70 minutes in microseconds. */
export class LatencyHistogram {
  constructor() {
    this.counts = new Float64Array(STEPS * (POWERS + 1));
    this.count = 0;
    this.maxUs = 0;
  }

  /** @param {number} latencyUs */
  record(latencyUs) {
    const us = Math.max(0, Math.min(2 ** 31 - 1, Math.round(latencyUs)));
    const power = us < STEPS ? 0 : 26 - Math.clz32(us);
    const bucket = us < STEPS ? us : power * STEPS + (us >>> (power - 1)) - STEPS;
    this.counts[bucket] = /** @type {number} */ (this.counts[bucket]) + 1;
    this.count++;
    if (us > this.maxUs) this.maxUs = us;
  }

  /**
   * @param {number} fraction between 0 and 1
   * @returns {number | null} null if nothing was recorded
   */
  percentileUs(fraction) {
    if (this.count === 0) return null;
    let left = Math.max(1, Math.ceil(fraction * this.count));
    for (let bucket = 0; bucket < this.counts.length; bucket++) {
      left -= /** @type {number} */ (this.counts[bucket]);
      if (left <= 0) return Math.min(this.maxUs, upperUs(bucket));
    }
    return this.maxUs;
  }

  summary() {
    return {
      p50Us: this.percentileUs(0.5),
      p99Us: this.percentileUs(0.99),
      p999Us: this.percentileUs(0.999),
      maxUs: this.count === 0 ? null : this.maxUs,
    };
  }
}

/** @param {number} bucket */
function upperUs(bucket) {
  if (bucket < STEPS) return bucket;
  const power = Math.floor(bucket / STEPS);
  return ((bucket % STEPS) + STEPS + 1) * 2 ** (power - 1) - 1;
}

/** Linux gives utime and stime to programs in hundredths of a second on every architecture Node runs on. */
const TICKS_PER_SECOND = 100;

/**
 * CPU of all threads of a process, those that ended included, and its memory now.
 *
 * @typedef {object} Usage
 * @property {number} cpuSeconds
 * @property {number} rssMB
 * @property {number} rssAnonMB without pages of files, so without the store's own maps
 */

/**
 * @param {number} pid
 * @returns {Usage}
 */
export function readUsage(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    rssMB: statusMB(status, "VmRSS"),
    rssAnonMB: statusMB(status, "RssAnon"),
  };
}

/**
 * @param {string} status
 * @param {string} name
 */
function statusMB(status, name) {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status);
  return match === null ? 0 : Math.round(Number(match[1]) / 102.4) / 10;
}

/**
 * Microseconds on the clock which all threads of a machine share.
 * @returns {number}
 */
export function monotonicUs() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

/**
 * What a measured window cost, marked at its two ends.
 *
 * @typedef {object} Mark
 * @property {number} atUs
 * @property {number} messages
 * @property {Usage | undefined} server
 * @property {number} generatorCpuUs
 */

/**
 * @param {number | undefined} pid
 * @param {number} messages
 * @returns {Mark}
 */
export function mark(pid, messages) {
  const own = process.cpuUsage();
  return {
    atUs: monotonicUs(),
    messages,
    server: pid === undefined ? undefined : readUsage(pid),
    generatorCpuUs: own.user + own.system,
  };
}

/**
 * @param {Mark} from
 * @param {Mark} to
 * @returns {number | null} unknown without the server's process id
 */
function cpuUsPerMessage(from, to) {
  const messages = to.messages - from.messages;
  if (from.server === undefined || to.server === undefined || messages === 0) return null;
  return round(((to.server.cpuSeconds - from.server.cpuSeconds) * 1e6) / messages, 3);
}

/**
 * @param {Mark} from
 * @param {Mark} middle
 * @param {Mark} to
 */
export function windowFigures(from, middle, to) {
  const messages = to.messages - from.messages;
  const seconds = (to.atUs - from.atUs) / 1e6;
  return {
    seconds: round(seconds, 3),
    perSecond: Math.round(messages / seconds),
    cpuUsPerMessage: cpuUsPerMessage(from, to),
    // A second half much below the first says that the server was still warming up: the figure is not its own yet.
    cpuUsByHalf: [cpuUsPerMessage(from, middle), cpuUsPerMessage(middle, to)],
    serverCpuSeconds: from.server && to.server ? round(to.server.cpuSeconds - from.server.cpuSeconds, 2) : null,
    generatorCpuUsPerMessage: messages === 0 ? null : round((to.generatorCpuUs - from.generatorCpuUs) / messages, 3),
    rssMB: to.server?.rssMB ?? null,
    rssAnonMB: to.server?.rssAnonMB ?? null,
  };
}

/**
 * @param {number} value
 * @param {number} places
 */
export function round(value, places) {
  return Math.round(value * 10 ** places) / 10 ** places;
}
