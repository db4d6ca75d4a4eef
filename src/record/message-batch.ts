/**
 * The body of a batch as clients send it (common/message/MessageDecoder.encodeMessage): messages one after the other,
 *
 *   total size 4 · magic 4 (0) · body CRC 4 (0) · flag 4 · body length 4, body · properties length 2, properties
 *
 * without topic, queue or hosts, which the request's header has for all of them. The broker makes a record of each; a
 * batch for a BatchCQ topic stays one record with this as its body. As with Apache, total size, magic and CRC are not
 * judged: the lengths say where the parts are.
 */
import { CometError } from "../base/errors.js";
import { PROPERTIES_BYTES_MAX } from "./layout.js";
import { encodeProperties } from "./properties.js";

const FLAG_POSITION = 12;
const BODY_LENGTH_POSITION = 16;
const BODY_POSITION = 20;
/** A message with neither body nor properties. */
const MESSAGE_BYTES_MIN = BODY_POSITION + 2;

export interface BatchMessage {
  readonly flag?: number;
  readonly body: Uint8Array;
  readonly properties?: Iterable<readonly [string, string]>;
}

export function encodeMessageBatch(messages: Iterable<BatchMessage>): Buffer {
  const parts: Buffer[] = [];
  for (const { flag = 0, body, properties = [] } of messages) {
    const propertiesBytes = encodeProperties(properties);
    if (propertiesBytes.length > PROPERTIES_BYTES_MAX) {
      throw new CometError("COMETMQ_BAD_MESSAGE", `Properties of ${propertiesBytes.length} bytes are too long.`);
    }
    const part = Buffer.alloc(MESSAGE_BYTES_MIN + body.length + propertiesBytes.length);
    part.writeInt32BE(part.length, 0);
    part.writeInt32BE(flag, FLAG_POSITION);
    part.writeInt32BE(body.length, BODY_LENGTH_POSITION);
    part.set(body, BODY_POSITION);
    part.writeInt16BE(propertiesBytes.length, BODY_POSITION + body.length);
    part.set(propertiesBytes, BODY_POSITION + body.length + 2);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/**
 * Walks the messages of a batch body without allocating. `next` until it answers false; then `malformed` tells whether
 * the body ended in the middle of a message. Ranges are positions in the bytes.
 */
export class MessageBatchCursor {
  flag = 0;
  bodyStart = 0;
  bodyLength = 0;
  propertiesStart = 0;
  propertiesLength = 0;
  malformed = false;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;
  #end = 0;

  /** Begins with the batch body `view[start, end)`. */
  reset(view: DataView, start: number, end: number): void {
    this.#view = view;
    this.#at = start;
    this.#end = Math.min(end, view.byteLength);
    this.malformed = false;
  }

  next(): boolean {
    const at = this.#at;
    if (at >= this.#end || this.malformed) return false;
    let room = this.#end - at - MESSAGE_BYTES_MIN;
    if (room < 0) return this.#fail();
    const bodyLength = this.#view.getInt32(at + BODY_LENGTH_POSITION);
    if (bodyLength < 0 || bodyLength > room) return this.#fail();
    room -= bodyLength;
    const propertiesLengthAt = at + BODY_POSITION + bodyLength;
    const propertiesLength = this.#view.getInt16(propertiesLengthAt);
    if (propertiesLength < 0 || propertiesLength > room) return this.#fail();
    this.flag = this.#view.getInt32(at + FLAG_POSITION);
    this.bodyStart = at + BODY_POSITION;
    this.bodyLength = bodyLength;
    this.propertiesStart = propertiesLengthAt + 2;
    this.propertiesLength = propertiesLength;
    this.#at = this.propertiesStart + propertiesLength;
    return true;
  }

  #fail(): boolean {
    this.malformed = true;
    return false;
  }
}

const counter = new MessageBatchCursor();

/** Messages in the batch body `view[start, end)`, or -1 when it is malformed. */
export function countMessages(view: DataView, start: number, end: number): number {
  counter.reset(view, start, end);
  let count = 0;
  while (counter.next()) count++;
  return counter.malformed ? -1 : count;
}
