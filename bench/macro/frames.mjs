/**
 * Frames of the Remoting protocol as a Java client 5.4.0 writes them, and a scan of the answers that costs less than a
 * broker's own work: no JSON parse and no object per frame while the answers look as expected.
 *
 *   total i32 (bytes that follow)   serialisation u8 (0 JSON), header bytes u24   header   body
 *
 * Apache defines the bytes in remoting/protocol/RemotingCommand.java, the one-letter fields in
 * SendMessageRequestHeaderV2.java and the body of a batch in common/message/MessageDecoder.java#encodeMessage.
 */

export const RequestCode = Object.freeze({
  PULL_MESSAGE: 11,
  UPDATE_AND_CREATE_TOPIC: 17,
  GET_MAX_OFFSET: 30,
  HEART_BEAT: 34,
  END_TRANSACTION: 37,
  GET_ROUTEINFO_BY_TOPIC: 105,
  SEND_MESSAGE_V2: 310,
  SEND_BATCH_MESSAGE: 320,
  POP_MESSAGE: 200_050,
  ACK_MESSAGE: 200_051,
});

export const ResponseCode = Object.freeze({
  SUCCESS: 0,
  PULL_NOT_FOUND: 19,
  PULL_RETRY_IMMEDIATELY: 20,
  PULL_OFFSET_MOVED: 21,
});

/** The version number of a 5.4.0 client (common/MQVersion.java). */
const CLIENT_VERSION = 493;

/** Hot requests carry opaques from here on: always nine digits, so that a template is patched in place. */
export const OPAQUE_BASE = 100_000_000;
export const OPAQUE_SPAN = 800_000_000;

const FRAME_BYTES_MAX = 16 * 1024 * 1024;
const NAME_VALUE = "\u0001";
const PROPERTY = "\u0002";

/**
 * @param {number} code
 * @param {Record<string, string>} extFields
 * @param {number} opaque
 * @param {Uint8Array} [body]
 * @param {number} [flag] 2 expects no answer
 * @returns {Buffer}
 */
export function encodeRequest(code, extFields, opaque, body = new Uint8Array(0), flag = 0) {
  const header = Buffer.from(
    JSON.stringify({
      code,
      extFields,
      flag,
      language: "JAVA",
      opaque,
      serializeTypeCurrentRPC: "JSON",
      version: CLIENT_VERSION,
    }),
  );
  const frame = Buffer.allocUnsafe(8 + header.length + body.length);
  frame.writeUInt32BE(4 + header.length + body.length, 0);
  frame.writeUInt32BE(header.length, 4);
  frame.set(header, 8);
  frame.set(body, 8 + header.length);
  return frame;
}

export const PRODUCER_GROUP = "wire-load-producer";

/** The unmistakable key a template carries where the unique key of each message is patched in. */
const UNIQUE_KEY = "7F0000010001204B4E0E2F2A00000000";
const UNIQUE_KEY_PATCHED_CHARS = 8;

/**
 * @param {string} value
 * @returns {string}
 */
function uniqueKeyProperty(value) {
  return `UNIQ_KEY${NAME_VALUE}${value}${PROPERTY}WAIT${NAME_VALUE}true${PROPERTY}`;
}

const MESSAGE_PROPERTIES = `${uniqueKeyProperty(UNIQUE_KEY)}TAGS${NAME_VALUE}TagA${PROPERTY}`;

/**
 * The body every message carries: the same letters as the store benchmark's.
 * @param {number} bytes
 * @returns {Buffer}
 */
export function messageBody(bytes) {
  const body = Buffer.allocUnsafe(bytes);
  for (let k = 0; k < bytes; k++) body[k] = 97 + ((k * 7 + Math.floor(k / 26)) % 26);
  return body;
}

/**
 * @param {Uint8Array} body
 * @param {number} messageCount
 * @returns {Buffer}
 */
function batchBody(body, messageCount) {
  const properties = Buffer.from(MESSAGE_PROPERTIES);
  const messageBytes = 20 + body.length + 2 + properties.length;
  const batch = Buffer.alloc(messageBytes * messageCount);
  for (let i = 0; i < messageCount; i++) {
    const at = i * messageBytes;
    batch.writeInt32BE(messageBytes, at);
    batch.writeInt32BE(body.length, at + 16);
    batch.set(body, at + 20);
    batch.writeInt16BE(properties.length, at + 20 + body.length);
    batch.set(properties, at + 22 + body.length);
  }
  return batch;
}

/**
 * A send request which is copied once per place in a window and then only patched: opaque, queue and unique keys.
 *
 * @typedef {object} SendTemplate
 * @property {Buffer} frame
 * @property {number} opaqueAt
 * @property {number} queueAt one digit: eight queues
 * @property {number[]} uniqueKeysAt where the last eight hex digits of each unique key stand
 * @property {number} bodyAt
 * @property {number} messageCount
 */

/**
 * @param {object} options
 * @param {string} options.topic
 * @param {string} options.brokerName
 * @param {number} options.bodyBytes
 * @param {number} options.messageCount 1 sends plain messages (310), more sends batches (320)
 * @param {Record<string, string>} [options.properties] of a plain message, besides its tag and unique key
 * @param {number} [options.sysFlag] 4 makes it a half message
 * @returns {SendTemplate}
 */
export function sendTemplate({ topic, brokerName, bodyBytes, messageCount, properties = {}, sysFlag = 0 }) {
  const isBatch = messageCount > 1;
  const body = isBatch ? batchBody(messageBody(bodyBytes), messageCount) : messageBody(bodyBytes);
  let given = MESSAGE_PROPERTIES;
  for (const [name, value] of Object.entries(properties)) given += name + NAME_VALUE + value + PROPERTY;
  const extFields = {
    a: PRODUCER_GROUP,
    b: topic,
    c: "TBW102",
    d: "4",
    e: "0",
    f: String(sysFlag),
    g: String(Date.now()),
    h: "0",
    i: isBatch ? uniqueKeyProperty(UNIQUE_KEY) : given,
    j: "0",
    k: "false",
    m: String(isBatch),
    n: brokerName,
  };
  const code = isBatch ? RequestCode.SEND_BATCH_MESSAGE : RequestCode.SEND_MESSAGE_V2;
  const frame = encodeRequest(code, extFields, OPAQUE_BASE, body);
  const uniqueKeysAt = [];
  for (let at = frame.indexOf(UNIQUE_KEY); at >= 0; at = frame.indexOf(UNIQUE_KEY, at + 1)) {
    uniqueKeysAt.push(at + UNIQUE_KEY.length - UNIQUE_KEY_PATCHED_CHARS);
  }
  return {
    frame,
    opaqueAt: frame.indexOf(`"opaque":${OPAQUE_BASE}`) + 9,
    queueAt: frame.indexOf('"e":"0"') + 5,
    uniqueKeysAt,
    bodyAt: frame.length - body.length,
    messageCount,
  };
}

/**
 * @param {Buffer} target
 * @param {number} at
 * @param {number} value of nine digits
 */
export function writeNineDigits(target, at, value) {
  let rest = value;
  for (let i = at + 8; i >= at; i--) {
    const tenth = Math.floor(rest / 10);
    target[i] = 48 + rest - tenth * 10;
    rest = tenth;
  }
}

const HEX_DIGITS = Buffer.from("0123456789ABCDEF");

/**
 * @param {Buffer} target
 * @param {number} at
 * @param {number} value a u32
 */
export function writeEightHexDigits(target, at, value) {
  let rest = value;
  for (let i = at + 7; i >= at; i--) {
    target[i] = /** @type {number} */ (HEX_DIGITS[rest & 15]);
    rest >>>= 4;
  }
}

/**
 * Cuts a byte stream into frames. A frame is handed on as a range of a buffer that is only valid during the call.
 * Throws where the stream cannot be frames.
 */
export class FrameReader {
  /** @param {(buffer: Buffer, start: number, end: number) => void} onFrame */
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.held = Buffer.allocUnsafe(256 * 1024);
    this.heldBytes = 0;
  }

  /**
   * @param {Buffer} chunk
   * @param {number} bytes
   */
  push(chunk, bytes) {
    if (this.heldBytes === 0) {
      const done = this.#cut(chunk, bytes);
      this.#hold(chunk, done, bytes);
      return;
    }
    this.#hold(chunk, 0, bytes);
    const done = this.#cut(this.held, this.heldBytes);
    this.held.copyWithin(0, done, this.heldBytes);
    this.heldBytes -= done;
  }

  /**
   * @param {Buffer} buffer
   * @param {number} bytes
   * @returns {number} where the first incomplete frame starts
   */
  #cut(buffer, bytes) {
    let start = 0;
    while (bytes - start >= 8) {
      const frameBytes = 4 + buffer.readUInt32BE(start);
      const headerBytes = buffer.readUIntBE(start + 5, 3);
      if (frameBytes > FRAME_BYTES_MAX || headerBytes + 8 > frameBytes) {
        throw new Error(`not a frame: ${frameBytes} bytes with a header of ${headerBytes}`);
      }
      if (bytes - start < frameBytes) break;
      this.onFrame(buffer, start, start + frameBytes);
      start += frameBytes;
    }
    return start;
  }

  /**
   * @param {Buffer} chunk
   * @param {number} from
   * @param {number} to
   */
  #hold(chunk, from, to) {
    const needed = this.heldBytes + to - from;
    if (needed > this.held.length) {
      const larger = Buffer.allocUnsafe(needed * 2);
      larger.set(this.held.subarray(0, this.heldBytes));
      this.held = larger;
    }
    chunk.copy(this.held, this.heldBytes, from, to);
    this.heldBytes = needed;
  }
}

const OPAQUE_NAME = Buffer.from('"opaque":');
const CODE_NAME = Buffer.from('{"code":');

/**
 * Reads code and opaque of an answer. Both are looked for where the last answer had them, then by search, and the
 * header is parsed in full only if neither finds them.
 */
export class AnswerScan {
  constructor() {
    this.code = -1;
    this.opaque = -1;
    this.bodyAt = 0;
    this.opaqueFromEnd = 0;
  }

  /**
   * @param {Buffer} buffer
   * @param {number} start
   */
  read(buffer, start) {
    const headerAt = start + 8;
    this.bodyAt = headerAt + buffer.readUIntBE(start + 5, 3);
    if (buffer[start + 4] !== 0) throw new Error(`answer in serialisation ${buffer[start + 4]}, asked for JSON`);
    this.code = startsWith(buffer, headerAt, CODE_NAME)
      ? digitsAt(buffer, headerAt + CODE_NAME.length, this.bodyAt)
      : -1;
    const expectedAt = this.bodyAt - this.opaqueFromEnd;
    this.opaque = -1;
    if (expectedAt > headerAt && startsWith(buffer, expectedAt, OPAQUE_NAME)) {
      this.opaque = digitsAt(buffer, expectedAt + OPAQUE_NAME.length, this.bodyAt);
    } else {
      const found = buffer.indexOf(OPAQUE_NAME, headerAt);
      if (found > 0 && found < this.bodyAt) {
        this.opaqueFromEnd = this.bodyAt - found;
        this.opaque = digitsAt(buffer, found + OPAQUE_NAME.length, this.bodyAt);
      }
    }
    if (this.code < 0 || this.opaque < 0) {
      const header = readHeader(buffer, start);
      this.code = header.code;
      this.opaque = header.opaque;
    }
  }
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {Buffer} name
 */
function startsWith(buffer, at, name) {
  for (let i = 0; i < name.length; i++) if (buffer[at + i] !== name[i]) return false;
  return true;
}

/**
 * @param {Buffer} buffer
 * @param {number} from
 * @param {number} end
 * @returns {number} -1 if there are no digits, as with a negative number or a space
 */
function digitsAt(buffer, from, end) {
  let at = from;
  let value = 0;
  for (; at < end; at++) {
    const digit = /** @type {number} */ (buffer[at]) - 48;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return at === from ? -1 : value;
}

/**
 * @typedef {object} Header
 * @property {number} code
 * @property {number} opaque
 * @property {number} flag
 * @property {string} [remark]
 * @property {Record<string, string>} [extFields]
 */

/**
 * @param {Buffer} buffer
 * @param {number} start
 * @returns {Header}
 */
export function readHeader(buffer, start) {
  const headerBytes = buffer.readUIntBE(start + 5, 3);
  return JSON.parse(buffer.toString("utf8", start + 8, start + 8 + headerBytes));
}
