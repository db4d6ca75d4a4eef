/** A message as people and programs are shown it: the body unpacked, text where it is some. */

import { decompressBody } from "../../record/compression.js";
import type { MessageExt } from "../../record/decode.js";
import { PropertyName } from "../../record/property-names.js";
import { isCompressed } from "../../record/sys-flag.js";
import { formatTime, printable } from "../table.js";
import type { Shown } from "./remote-verb.js";

const BODY_BYTES_MAX = 64 * 1024 * 1024;
const SHOWN_CHARS = 60;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface ShownMessage {
  readonly topic: string;
  /** The producer's id, or that of its place where there is none. */
  readonly msgId: string;
  readonly offsetMsgId: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly keys?: string;
  readonly tags?: string;
  readonly bornTime: string;
  readonly storeTime: string;
  readonly bornHost: string;
  readonly storeHost: string;
  readonly reconsumeTimes: number;
  readonly properties: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly bodyBase64?: string;
}

export async function shownMessage(message: MessageExt): Promise<ShownMessage> {
  const { properties } = message;
  const body = await bodyOf(message);
  const text = textOf(body);
  const keys = properties.get(PropertyName.KEYS);
  const tags = properties.get(PropertyName.TAGS);
  return {
    topic: message.topic,
    msgId: properties.get(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX) ?? message.msgId,
    offsetMsgId: message.msgId,
    queueId: message.queueId,
    queueOffset: message.queueOffset,
    ...(keys === undefined ? {} : { keys }),
    ...(tags === undefined ? {} : { tags }),
    bornTime: isoTime(message.bornTimestamp),
    storeTime: isoTime(message.storeTimestamp),
    bornHost: message.bornHost,
    storeHost: message.storeHost,
    reconsumeTimes: message.reconsumeTimes,
    properties: Object.fromEntries(properties),
    ...(text === undefined ? { bodyBase64: body.toString("base64") } : { body: text }),
  };
}

/** As it was before its producer packed it. */
export function bodyOf({ body, sysFlag }: MessageExt): Promise<Buffer> {
  return isCompressed(sysFlag) ? decompressBody(body, sysFlag, BODY_BYTES_MAX) : Promise.resolve(body);
}

function textOf(body: Buffer): string | undefined {
  try {
    return decoder.decode(body);
  } catch {
    return undefined;
  }
}

export function isoTime(timestampMs: number): string {
  return timestampMs >= 0 && timestampMs < 8.64e15 ? new Date(timestampMs).toISOString() : String(timestampMs);
}

/** The body in one line: what it is, if it is no text. */
export function bodyLine({ body, bodyBase64 }: ShownMessage): string {
  return printable(body ?? `${Buffer.from(bodyBase64 ?? "", "base64").length} bytes, no text`);
}

function shortened(text: string): string {
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS - 1)}…` : text;
}

export const MESSAGE_COLUMNS: readonly Shown<ShownMessage>[] = [
  { head: "stored", cell: ({ storeTime }) => formatTime(Date.parse(storeTime)) },
  { head: "queue", align: "right", cell: ({ queueId }) => queueId },
  { head: "offset", align: "right", cell: ({ queueOffset }) => queueOffset },
  { head: "id", cell: ({ msgId }) => msgId },
  { head: "tags", cell: ({ tags }) => tags ?? "" },
  { head: "keys", cell: ({ keys }) => shortened(keys ?? "") },
  { head: "body", cell: (message) => shortened(bodyLine(message)) },
];
