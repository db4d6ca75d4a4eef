/** Ext field names as the bytes that stand for them in either serialisation, made once for each name. */
import { CometError } from "../base/errors.js";

export interface EncodedName {
  /** `,"name":"`, ready for the value's text. */
  readonly json: Buffer;
  /** `,"extFields":{"name":"`. */
  readonly jsonFirst: Buffer;
  /** Length i16 and the name. */
  readonly binary: Buffer;
  /** What the name takes at most in either, with a quote or a length for the value. */
  readonly bytesMax: number;
}

/** Fields that many responses have alike, encoded once: see FrameWriter.preparedFields. */
export interface PreparedFields {
  /** `,"a":"x","b":"y"`, as `EncodedName.json` would begin it. */
  readonly json: Buffer;
  readonly jsonFirst: Buffer;
  readonly binary: Buffer;
}

export function prepareFields(fields: Iterable<readonly [string, string]>): PreparedFields {
  const quoted: string[] = [];
  const pieces: Buffer[] = [];
  for (const [name, value] of fields) {
    quoted.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
    const length = Buffer.alloc(4);
    length.writeInt32BE(Buffer.byteLength(value));
    pieces.push(encodedName(name).binary, length, Buffer.from(value));
  }
  const text = quoted.join(",");
  return {
    json: Buffer.from(`,${text}`),
    jsonFirst: Buffer.from(`,"extFields":{${text}`),
    binary: Buffer.concat(pieces),
  };
}

const NAME_BYTES_MAX = 32767;
/** Names come from code, but for those of a peer that are passed on: of them no more than this stay, and no long ones. */
const NAMES_KEPT_MAX = 2048;
const NAME_KEPT_BYTES_MAX = 64;

const names = new Map<string, EncodedName>();

export function encodedName(name: string): EncodedName {
  return names.get(name) ?? encode(name);
}

function encode(name: string): EncodedName {
  const text = Buffer.from(name);
  if (text.length > NAME_BYTES_MAX) {
    throw new CometError(
      "COMETMQ_BAD_REQUEST",
      `A field's name has ${text.length} bytes, of ${NAME_BYTES_MAX} at most.`,
    );
  }
  const quoted = JSON.stringify(name);
  const binary = Buffer.alloc(2 + text.length);
  binary.writeInt16BE(text.length, 0);
  text.copy(binary, 2);
  const jsonFirst = Buffer.from(`,"extFields":{${quoted}:"`);
  const encoded = { json: Buffer.from(`,${quoted}:"`), jsonFirst, binary, bytesMax: jsonFirst.length + 8 };
  if (names.size < NAMES_KEPT_MAX && text.length <= NAME_KEPT_BYTES_MAX) names.set(name, encoded);
  return encoded;
}
