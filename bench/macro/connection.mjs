/**
 * One TCP connection to a name server or broker. Control requests (topics, offsets, heartbeats) are promises; hot
 * answers, those with an opaque of OPAQUE_BASE or above, go to `onHotAnswer` without any.
 */
import { connect } from "node:net";
import { AnswerScan, encodeRequest, FrameReader, OPAQUE_BASE, readHeader } from "./frames.mjs";

const READ_CHUNK_BYTES = 256 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
const ANSWER_FLAG = 1;

/**
 * @typedef {object} Answer
 * @property {number} code
 * @property {string} remark
 * @property {Record<string, string>} extFields
 * @property {Buffer} body
 */

/**
 * @typedef {object} Waiter
 * @property {(answer: Answer) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {NodeJS.Timeout} timer
 */

export class Connection {
  constructor() {
    /** @type {import("node:net").Socket | undefined} */
    this.socket = undefined;
    /** @type {Map<number, Waiter>} */
    this.waiters = new Map();
    this.nextOpaque = 1;
    /** @type {Error | undefined} */
    this.failure = undefined;
    this.closing = false;
    this.scan = new AnswerScan();
    this.reader = new FrameReader((buffer, start, end) => this.#onFrame(buffer, start, end));
    /** @type {(scan: AnswerScan, buffer: Buffer, start: number, end: number) => void} */
    this.onHotAnswer = () => {};
    /** Called once per chunk read, after all its frames: the place to write the next requests. */
    this.onChunkDone = () => {};
    /** @type {(error: Error) => void} */
    this.onFailure = () => {};
  }

  /**
   * @param {string} address host:port
   * @returns {Promise<Connection>}
   */
  static open(address) {
    const { host, port } = parseAddress(address);
    const connection = new Connection();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => connection.#fail(new Error("connecting timed out")), CONNECT_TIMEOUT_MS);
      connection.onFailure = (error) => {
        clearTimeout(timer);
        reject(new Error(`${address}: ${error.message}`));
      };
      const socket = connect({
        host,
        port,
        noDelay: true,
        onread: {
          buffer: Buffer.allocUnsafe(READ_CHUNK_BYTES),
          callback: (bytes, buffer) => connection.#onChunk(/** @type {Buffer} */ (buffer), bytes),
        },
      });
      connection.socket = socket;
      socket.once("connect", () => {
        clearTimeout(timer);
        connection.onFailure = () => {};
        resolve(connection);
      });
      socket.on("error", (error) => connection.#fail(error));
      socket.on("close", () => connection.#fail(new Error("the server closed the connection")));
    });
  }

  /**
   * @param {number} code
   * @param {Record<string, string>} extFields
   * @param {Uint8Array} [body]
   * @param {number} [timeoutMs]
   * @returns {Promise<Answer>}
   */
  request(code, extFields, body, timeoutMs = REQUEST_TIMEOUT_MS) {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const opaque = this.nextOpaque;
    this.nextOpaque = (this.nextOpaque % (OPAQUE_BASE - 1)) + 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiters.delete(opaque);
        reject(new Error(`request ${code} was not answered in ${timeoutMs} ms`));
      }, timeoutMs);
      this.waiters.set(opaque, { resolve, reject, timer });
      this.socket?.write(encodeRequest(code, extFields, opaque, body));
    });
  }

  /**
   * @param {number} code
   * @param {Record<string, string>} extFields
   * @param {Uint8Array} [body]
   * @returns {Promise<Answer>} only a successful one
   */
  async requestOk(code, extFields, body) {
    const answer = await this.request(code, extFields, body);
    if (answer.code !== 0) throw new Error(`request ${code} was answered with ${answer.code}: ${answer.remark}`);
    return answer;
  }

  close() {
    this.closing = true;
    this.#fail(new Error("closed"));
    this.socket?.destroy();
  }

  /**
   * @param {Buffer} buffer
   * @param {number} bytes
   * @returns {boolean}
   */
  #onChunk(buffer, bytes) {
    try {
      this.reader.push(buffer, bytes);
      this.onChunkDone();
    } catch (error) {
      this.#fail(/** @type {Error} */ (error));
      this.socket?.destroy();
    }
    return true;
  }

  /**
   * @param {Buffer} buffer
   * @param {number} start
   * @param {number} end
   */
  #onFrame(buffer, start, end) {
    const scan = this.scan;
    scan.read(buffer, start);
    if (scan.opaque >= OPAQUE_BASE) {
      this.onHotAnswer(scan, buffer, start, end);
      return;
    }
    const header = readHeader(buffer, start);
    if ((header.flag & ANSWER_FLAG) === 0) return; // the broker asks or notifies us: not what is measured
    const waiter = this.waiters.get(header.opaque);
    if (waiter === undefined) return;
    this.waiters.delete(header.opaque);
    clearTimeout(waiter.timer);
    waiter.resolve({
      code: header.code,
      remark: header.remark ?? "",
      extFields: header.extFields ?? {},
      body: Buffer.from(buffer.subarray(scan.bodyAt, end)),
    });
  }

  /** @param {Error} error */
  #fail(error) {
    if (this.failure !== undefined) return;
    this.failure = error;
    for (const waiter of this.waiters.values()) {
      clearTimeout(waiter.timer);
      waiter.reject(error);
    }
    this.waiters.clear();
    if (!this.closing) this.onFailure(error);
  }
}

/**
 * @param {string} address
 * @returns {{host: string, port: number}}
 */
function parseAddress(address) {
  const colon = address.lastIndexOf(":");
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`not host:port: ${address}`);
  return { host: address.slice(0, colon), port };
}
