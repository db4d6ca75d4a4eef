/**
 * Send requests (SEND_MESSAGE_V2) as a Java client writes them, made once for each queue; what differs from message to
 * message has a fixed width and is changed in place. Requests that are signed are made anew each time.
 */
import { systemClock } from "../../base/clock.js";
import { FrameWriter } from "../../remoting/frame-writer.js";
import { RequestCode } from "../../remoting/codes.js";
import { type Connection, type Fields, SerializeType } from "../../remoting/types.js";
import { formatProperties } from "../../record/properties.js";
import { uniqueKey } from "../remote/unique-key.js";
import { OPAQUE_BASE } from "./load-connection.js";
import { stamp, unstampedBody } from "./stamp.js";

const PRODUCER_GROUP = "cometmq-bench-producer";
const BORN_DIGITS = 13;
const OPAQUE_DIGITS = 9;
/** Of the 32 of a unique key: those of the host and process, which stay. */
const KEY_PREFIX_CHARS = 20;
const HEX_DIGITS = Buffer.from("0123456789ABCDEF");
const PREFIX_BYTES = 8;

export interface SendOptions {
  readonly topic: string;
  readonly brokerName: string;
  readonly bodyBytes: number;
  readonly run: number;
  readonly signer: ((fields: Fields, body?: Uint8Array) => Fields) | undefined;
}

interface Template {
  /** Prefix and header. */
  readonly head: Buffer;
  readonly opaqueAt: number;
  readonly bornAt: number;
  readonly keyAt: number;
}

export class SendTemplates {
  readonly #options: SendOptions;
  readonly #body: Buffer;
  readonly #byQueue = new Map<number, Template>();
  readonly #key = uniqueKey();
  readonly #monthMs: number;

  constructor(options: SendOptions) {
    this.#options = options;
    this.#body = unstampedBody(options.bodyBytes);
    const now = new Date(systemClock.nowMs());
    this.#monthMs = new Date(now.getFullYear(), now.getMonth(), 1).getTime();
  }

  /** Writes one request; it goes out with the connection's next flush. */
  write(connection: Connection, opaque: number, queueId: number, number: number, dueUs: number, nowMs: number): void {
    const { bodyBytes, run, signer } = this.#options;
    if (signer !== undefined) {
      this.#writeSigned(connection, opaque, queueId, number, dueUs, nowMs);
      return;
    }
    const { head, opaqueAt, bornAt, keyAt } = this.#templateOf(queueId);
    const { writer } = connection;
    const at = writer.append(head);
    const bodyAt = writer.append(this.#body);
    const { buffer } = writer;
    writeDigits(buffer, at + opaqueAt, OPAQUE_DIGITS, opaque);
    writeDigits(buffer, at + bornAt, BORN_DIGITS, nowMs);
    writeHex(buffer, at + keyAt, 8, nowMs - this.#monthMs);
    writeHex(buffer, at + keyAt + 8, 4, number & 0xffff);
    stamp(buffer, bodyAt, bodyBytes, run, number, dueUs);
  }

  #writeSigned(
    { writer }: Connection,
    opaque: number,
    queueId: number,
    number: number,
    dueUs: number,
    nowMs: number,
  ): void {
    const { bodyBytes, run, signer } = this.#options;
    const body = this.#body;
    stamp(body, 0, bodyBytes, run, number, dueUs);
    const tail = Buffer.alloc(12);
    writeHex(tail, 0, 8, nowMs - this.#monthMs);
    writeHex(tail, 8, 4, number & 0xffff);
    const key = this.#key.slice(0, KEY_PREFIX_CHARS) + tail.toString("latin1");
    const fields = this.#fields(queueId, nowMs, key);
    writer.request(opaque, SerializeType.JSON, RequestCode.SEND_MESSAGE_V2, false, signer!(fields, body), body);
  }

  #templateOf(queueId: number): Template {
    const known = this.#byQueue.get(queueId);
    if (known !== undefined) return known;
    const writer = new FrameWriter();
    const bornMs = 10 ** (BORN_DIGITS - 1);
    const fields = this.#fields(queueId, bornMs, this.#key);
    writer.request(OPAQUE_BASE, SerializeType.JSON, RequestCode.SEND_MESSAGE_V2, false, fields, this.#body);
    const headBytes = PREFIX_BYTES + (writer.buffer.readUInt32BE(4) & 0xffffff);
    const head = Buffer.from(writer.buffer.subarray(0, headBytes));
    const template = {
      head,
      opaqueAt: head.lastIndexOf(`"opaque":${OPAQUE_BASE}`) + '"opaque":'.length,
      bornAt: head.indexOf(`"g":"${bornMs}"`) + '"g":"'.length,
      keyAt: head.indexOf(this.#key) + KEY_PREFIX_CHARS,
    };
    this.#byQueue.set(queueId, template);
    return template;
  }

  #fields(queueId: number, bornMs: number, key: string): Fields {
    const { topic, brokerName } = this.#options;
    return {
      a: PRODUCER_GROUP,
      b: topic,
      c: "TBW102",
      d: 4,
      e: queueId,
      f: 0,
      g: bornMs,
      h: 0,
      i: formatProperties([
        ["UNIQ_KEY", key],
        ["WAIT", "true"],
      ]),
      j: 0,
      k: false,
      m: false,
      n: brokerName,
    };
  }
}

function writeDigits(target: Buffer, at: number, digits: number, value: number): void {
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10);
    target[i] = 48 + rest - tenth * 10;
    rest = tenth;
  }
}

function writeHex(target: Buffer, at: number, digits: number, value: number): void {
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    target[i] = HEX_DIGITS[rest & 15]!;
    rest = Math.floor(rest / 16);
  }
}
