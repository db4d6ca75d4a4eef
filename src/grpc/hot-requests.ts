/**
 * The requests that a server under load reads all the time, decoded by hand: of SendMessage and AckMessage, as clients
 * send them. Undefined stands for one with anything else in it, which protobufjs then reads (proto.ts).
 */
import type {
  AckMessageEntry,
  AckMessageRequest,
  Message,
  Resource,
  SendMessageRequest,
  SystemProperties,
  Timestamp,
} from "./messages.js";
import type { ProtoCursor } from "./proto-cursor.js";

export type Read<T> = (cursor: ProtoCursor, end: number) => T;

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** What stands before a field of the kind. */
function integerTag(id: number): number {
  return (id << 3) | VARINT;
}

function tag(id: number): number {
  return (id << 3) | LENGTH_DELIMITED;
}

function readResource(cursor: ProtoCursor, outerEnd: number): Resource {
  const end = cursor.endOf(outerEnd);
  let resourceNamespace = "";
  let name = "";
  while (cursor.at < end) {
    const field = cursor.varint(end);
    if (field === tag(1)) resourceNamespace = cursor.name(end);
    else if (field === tag(2)) name = cursor.name(end);
    else cursor.fail();
  }
  return { resourceNamespace, name };
}

function readTime(cursor: ProtoCursor, outerEnd: number): Timestamp {
  const end = cursor.endOf(outerEnd);
  let seconds = 0;
  let nanos = 0;
  while (cursor.at < end) {
    const field = cursor.varint(end);
    if (field === integerTag(1)) seconds = cursor.varint(end);
    else if (field === integerTag(2)) nanos = cursor.int32(end);
    else cursor.fail();
  }
  return { seconds, nanos };
}

function readAckEntry(cursor: ProtoCursor, outerEnd: number): AckMessageEntry {
  const end = cursor.endOf(outerEnd);
  let messageId = "";
  let receiptHandle = "";
  while (cursor.at < end) {
    const field = cursor.varint(end);
    if (field === tag(1)) messageId = cursor.text(end);
    else if (field === tag(2)) receiptHandle = cursor.text(end);
    else cursor.fail();
  }
  return { messageId, receiptHandle };
}

const readAckRequest: Read<AckMessageRequest> = (cursor, end) => {
  let group: Resource | null = null;
  let topic: Resource | null = null;
  const entries: AckMessageEntry[] = [];
  while (cursor.at < end) {
    const field = cursor.varint(end);
    // A message that comes twice is merged of both, which nobody does.
    if (field === tag(1) && group === null) group = readResource(cursor, end);
    else if (field === tag(2) && topic === null) topic = readResource(cursor, end);
    else if (field === tag(3)) entries.push(readAckEntry(cursor, end));
    else cursor.fail();
  }
  return { group, topic, entries };
};

const readSendRequest: Read<SendMessageRequest> = (cursor, end) => {
  const messages: Message[] = [];
  while (cursor.at < end) {
    if (cursor.varint(end) === tag(1)) messages.push(readMessage(cursor, end));
    else cursor.fail();
  }
  return { messages };
};

const NO_BODY = Buffer.alloc(0);

function readMessage(cursor: ProtoCursor, outerEnd: number): Message {
  const end = cursor.endOf(outerEnd);
  let topic: Resource | null = null;
  const userProperties: Record<string, string> = {};
  let systemProperties: SystemProperties | null = null;
  let body: Buffer = NO_BODY;
  while (cursor.at < end) {
    const field = cursor.varint(end);
    if (field === tag(1) && topic === null) topic = readResource(cursor, end);
    else if (field === tag(2)) readProperty(cursor, end, userProperties);
    else if (field === tag(3) && systemProperties === null) systemProperties = readSystemProperties(cursor, end);
    else if (field === tag(4)) body = cursor.bytesOf(end);
    else cursor.fail();
  }
  return { topic, userProperties, systemProperties, body };
}

function readProperty(cursor: ProtoCursor, outerEnd: number, properties: Record<string, string>): void {
  const end = cursor.endOf(outerEnd);
  let name = "";
  let value = "";
  while (cursor.at < end) {
    const field = cursor.varint(end);
    if (field === tag(1)) name = cursor.name(end);
    else if (field === tag(2)) value = cursor.text(end);
    else cursor.fail();
  }
  if (name === "__proto__") cursor.fail();
  else properties[name] = value;
}

/** Digests are not looked at, and are left to those who read everything. */
function readSystemProperties(cursor: ProtoCursor, outerEnd: number): SystemProperties {
  const end = cursor.endOf(outerEnd);
  let messageTag: string | null = null;
  const keys: string[] = [];
  let messageId = "";
  let bodyEncoding = 0;
  let messageType = 0;
  let bornTimestamp: Timestamp | null = null;
  let bornHost = "";
  let deliveryTimestamp: Timestamp | null = null;
  let queueId = 0;
  let messageGroup: string | null = null;
  let traceContext: string | null = null;
  while (cursor.at < end) {
    const field = cursor.varint(end);
    if (field === tag(1)) messageTag = cursor.name(end);
    else if (field === tag(2)) keys.push(cursor.text(end));
    else if (field === tag(3)) messageId = cursor.text(end);
    else if (field === integerTag(5)) bodyEncoding = cursor.int32(end);
    else if (field === integerTag(6)) messageType = cursor.int32(end);
    else if (field === tag(7) && bornTimestamp === null) bornTimestamp = readTime(cursor, end);
    else if (field === tag(8)) bornHost = cursor.name(end);
    else if (field === tag(11) && deliveryTimestamp === null) deliveryTimestamp = readTime(cursor, end);
    else if (field === integerTag(13)) queueId = cursor.int32(end);
    else if (field === tag(17)) messageGroup = cursor.name(end);
    else if (field === tag(18)) traceContext = cursor.text(end);
    else cursor.fail();
  }
  return {
    tag: messageTag,
    keys,
    messageId,
    bodyDigest: null,
    bodyEncoding,
    messageType,
    bornTimestamp,
    bornHost,
    storeTimestamp: null,
    storeHost: "",
    deliveryTimestamp,
    receiptHandle: null,
    queueId,
    queueOffset: null,
    deliveryAttempt: null,
    messageGroup,
    traceContext,
    orphanedTransactionRecoveryDuration: null,
    deadLetterQueue: null,
    liteTopic: null,
    priority: null,
  };
}

/** By the name of the message. */
export const HOT_REQUESTS: ReadonlyMap<string, Read<object>> = new Map<string, Read<object>>([
  ["AckMessageRequest", readAckRequest],
  ["SendMessageRequest", readSendRequest],
]);
