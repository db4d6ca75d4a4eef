/** What a producer recalls a message with (common/producer/RecallMessageHandle.java): `v1 topic broker time id`, in Base64. */
import { parseJavaLong } from "./timer-properties.js";

const VERSION = "v1";
const HANDLE_CHARS_MAX = 4096;
/** Java's decoder takes the URL's alphabet, whole, with padding or without. */
const BASE64_URL = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}(?:==)?|[A-Za-z0-9_-]{3}=?)?$/;

export interface RecallHandle {
  readonly topic: string;
  readonly brokerName: string;
  /** TIMER_OUT_MS + 1; -1 for what is no number. */
  readonly timestampMs: number;
  readonly uniqueKey: string;
}

export function formatRecallHandle(topic: string, brokerName: string, outMs: number, uniqueKey: string): string {
  const text = Buffer.from(`${VERSION} ${topic} ${brokerName} ${outMs + 1} ${uniqueKey}`).toString("base64url");
  return text.padEnd(text.length + ((4 - (text.length % 4)) % 4), "=");
}

/** Undefined for what is no handle. */
export function parseRecallHandle(handle: string): RecallHandle | undefined {
  if (handle.length > HANDLE_CHARS_MAX || !BASE64_URL.test(handle)) return undefined;
  const items = Buffer.from(handle, "base64url").toString("utf8").split(" ");
  const [version, topic, brokerName, timestampText, uniqueKey] = items;
  if (version !== VERSION || topic === undefined || brokerName === undefined) return undefined;
  if (timestampText === undefined || uniqueKey === undefined || !isKey(uniqueKey)) return undefined;
  const ms = parseJavaLong(timestampText);
  return { topic, brokerName, timestampMs: Number.isSafeInteger(ms) ? ms : -1, uniqueKey };
}

/** It becomes the value of a property. */
function isKey(text: string): boolean {
  return text !== "" && !/\p{Cc}/u.test(text);
}
