/**
 * Message trace: what was sent and consumed, by whom and how fast, as messages of RMQ_SYS_TRACE_TOPIC that Apache's tools
 * read (client/trace/TraceDataEncoder.java).
 */
import type { ReceivedMessage } from "./received-message.js";

export const TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC";
const FIELD_SEPARATOR = "\u0002";
const CONTENT_SEPARATOR = "\u0001";

/** MessageType.java's ordinals. */
export const TraceMessageType = { NORMAL: 0, TRANSACTION: 1, TRANSACTION_COMMIT: 2, DELAY: 3, ORDER: 4 } as const;

export interface Traced {
  readonly text: string;
  /** By which the trace of a message is found. */
  readonly keys: readonly string[];
}

export interface PublishedTrace {
  readonly timestamp: number;
  readonly regionId: string;
  readonly group: string;
  readonly topic: string;
  readonly messageId: string;
  readonly tags: string;
  readonly keys: string;
  readonly storeHost: string;
  readonly bodyLength: number;
  readonly costMs: number;
  readonly messageType: number;
  readonly offsetMessageId: string;
  readonly success: boolean;
}

export function publishedTrace(trace: PublishedTrace): Traced {
  const { timestamp, regionId, group, topic, messageId, tags, keys, storeHost, bodyLength } = trace;
  const { costMs, messageType, offsetMessageId, success } = trace;
  const of = [topic, messageId, orNull(tags), orNull(keys), storeHost, bodyLength];
  const start = ["Pub", timestamp, regionId, group, ...of];
  return traced([...start, Math.round(costMs), messageType, offsetMessageId, success], messageId, keys);
}

export function consumeBeginTrace(
  message: ReceivedMessage,
  group: string,
  requestId: string,
  timestamp: number,
): Traced {
  const regionId = message.properties.get("MSG_REGION") ?? "DefaultRegion";
  const keys = message.keys.join(" ");
  const attempt = [requestId, message.messageId, message.reconsumeTimes, orNull(keys)];
  const parts = ["SubBefore", timestamp, regionId, group, ...attempt];
  return traced(parts, message.messageId, keys);
}

export interface ConsumedTrace {
  readonly group: string;
  readonly requestId: string;
  readonly timestamp: number;
  readonly costMs: number;
  readonly success: boolean;
  readonly returnType: number;
}

/** ConsumeReturnType.java's ordinals. */
export const ConsumeReturnType = { SUCCESS: 0, TIME_OUT: 1, EXCEPTION: 2, FAILED: 4 } as const;

export function consumeEndTrace(message: ReceivedMessage, trace: ConsumedTrace): Traced {
  const { requestId, costMs, success, timestamp, group, returnType } = trace;
  const keys = message.keys.join(" ");
  const parts = [
    "SubAfter",
    requestId,
    message.messageId,
    Math.round(costMs),
    success,
    orNull(keys),
    returnType,
    timestamp,
    group,
  ];
  return traced(parts, message.messageId, keys);
}

export interface EndTransactionTrace {
  readonly timestamp: number;
  readonly regionId: string;
  readonly group: string;
  readonly topic: string;
  readonly messageId: string;
  readonly tags: string;
  readonly keys: string;
  readonly storeHost: string;
  readonly transactionId: string;
  /** LocalTransactionState.java's name. */
  readonly state: "COMMIT_MESSAGE" | "ROLLBACK_MESSAGE" | "UNKNOW";
  readonly fromTransactionCheck: boolean;
}

export function endTransactionTrace(trace: EndTransactionTrace): Traced {
  const { timestamp, regionId, group, topic, messageId, tags, keys, storeHost } = trace;
  const { transactionId, state, fromTransactionCheck } = trace;
  const of = [topic, messageId, orNull(tags), orNull(keys), storeHost];
  const end = [TraceMessageType.TRANSACTION_COMMIT, transactionId, state, fromTransactionCheck];
  return traced(["EndTransaction", timestamp, regionId, group, ...of, ...end], messageId, keys);
}

/** As Java prints what is not there; and Java's split loses an empty text at the end, which its tools stumble over. */
function orNull(text: string): string {
  return text === "" ? "null" : text;
}

function traced(parts: readonly (string | number | boolean)[], messageId: string, keys: string): Traced {
  return {
    text: parts.join(CONTENT_SEPARATOR) + FIELD_SEPARATOR,
    keys: [messageId, ...keys.split(" ").filter((key) => key !== "")],
  };
}
