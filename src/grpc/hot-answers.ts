/**
 * The answers that a server under load writes all the time, encoded by hand: of SendMessage, AckMessage and
 * ReceiveMessage. The bytes are those of the codec that protobufjs compiles (proto.ts), which takes several times as long,
 * and stands in for what is not written here: fields that no server sets, numbers below zero.
 */
import type { BackwardWriter } from "./backward-writer.js";
import type {
  AckMessageResponse,
  Message,
  ReceiveMessageResponse,
  Resource,
  SendMessageResponse,
  Status,
  SystemProperties,
  Timestamp,
} from "./messages.js";

export type Write<T> = (writer: BackwardWriter, answer: T) => void;

function writeStatus(writer: BackwardWriter, id: number, { code, message }: Status): void {
  const before = writer.byteCount;
  writer.string(2, message);
  writer.integer(1, code);
  writer.message(id, before);
}

function writeTime(writer: BackwardWriter, id: number, { seconds, nanos }: Timestamp): void {
  const before = writer.byteCount;
  writer.integer(2, nanos);
  writer.integer(1, seconds);
  writer.message(id, before);
}

function writeResource(writer: BackwardWriter, id: number, { resourceNamespace, name }: Resource): void {
  const before = writer.byteCount;
  writer.string(2, name);
  writer.string(1, resourceNamespace);
  writer.message(id, before);
}

const writeAckAnswer: Write<AckMessageResponse> = (writer, { status, entries = [] }) => {
  for (let i = entries.length - 1; i >= 0; i--) {
    const entry = entries[i]!;
    const before = writer.byteCount;
    writeStatus(writer, 3, entry.status);
    writer.string(2, entry.receiptHandle);
    writer.string(1, entry.messageId);
    writer.message(2, before);
  }
  writeStatus(writer, 1, status);
};

const writeSendAnswer: Write<SendMessageResponse> = (writer, { status, entries = [] }) => {
  for (let i = entries.length - 1; i >= 0; i--) {
    const entry = entries[i]!;
    const before = writer.byteCount;
    writer.string(5, entry.recallHandle);
    writer.integer(4, entry.offset);
    writer.string(3, entry.transactionId);
    writer.string(2, entry.messageId);
    writeStatus(writer, 1, entry.status);
    writer.message(2, before);
  }
  writeStatus(writer, 1, status);
};

const writeReceiveAnswer: Write<ReceiveMessageResponse> = (writer, { status, message, deliveryTimestamp }) => {
  if (deliveryTimestamp != null) writeTime(writer, 3, deliveryTimestamp);
  if (message != null) writeMessage(writer, 2, message);
  if (status != null) writeStatus(writer, 1, status);
};

function writeMessage(writer: BackwardWriter, id: number, message: Message): void {
  const { topic, userProperties, systemProperties, body } = message;
  const before = writer.byteCount;
  writer.bytesField(4, body);
  if (systemProperties != null) writeSystemProperties(writer, 3, systemProperties);
  const names = Object.keys(userProperties);
  for (let i = names.length - 1; i >= 0; i--) {
    const name = names[i]!;
    const entryBefore = writer.byteCount;
    writer.optionalString(2, userProperties[name]);
    writer.optionalString(1, name);
    writer.message(2, entryBefore);
  }
  if (topic != null) writeResource(writer, 1, topic);
  writer.message(id, before);
}

function writeSystemProperties(writer: BackwardWriter, id: number, properties: SystemProperties): void {
  const { bodyDigest, bornTimestamp, storeTimestamp, deliveryTimestamp, deadLetterQueue } = properties;
  const before = writer.byteCount;
  writer.optionalInteger(22, properties.priority);
  writer.optionalString(21, properties.liteTopic);
  if (deadLetterQueue != null) writeDeadLetterQueue(writer, 20, deadLetterQueue);
  if (properties.orphanedTransactionRecoveryDuration != null) {
    writeTime(writer, 19, properties.orphanedTransactionRecoveryDuration);
  }
  writer.optionalString(18, properties.traceContext);
  writer.optionalString(17, properties.messageGroup);
  writer.optionalInteger(16, properties.deliveryAttempt);
  writer.optionalInteger(14, properties.queueOffset);
  writer.integer(13, properties.queueId);
  writer.optionalString(12, properties.receiptHandle);
  if (deliveryTimestamp != null) writeTime(writer, 11, deliveryTimestamp);
  writer.string(10, properties.storeHost);
  if (storeTimestamp != null) writeTime(writer, 9, storeTimestamp);
  writer.string(8, properties.bornHost);
  if (bornTimestamp != null) writeTime(writer, 7, bornTimestamp);
  writer.integer(6, properties.messageType);
  writer.integer(5, properties.bodyEncoding);
  if (bodyDigest != null) {
    const digestBefore = writer.byteCount;
    writer.string(2, bodyDigest.checksum);
    writer.integer(1, bodyDigest.type);
    writer.message(4, digestBefore);
  }
  writer.string(3, properties.messageId);
  const { keys = [] } = properties;
  for (let i = keys.length - 1; i >= 0; i--) writer.optionalString(2, keys[i]);
  writer.optionalString(1, properties.tag);
  writer.message(id, before);
}

function writeDeadLetterQueue(
  writer: BackwardWriter,
  id: number,
  { topic, messageId }: { readonly topic: string; readonly messageId: string },
): void {
  const before = writer.byteCount;
  writer.string(2, messageId);
  writer.string(1, topic);
  writer.message(id, before);
}

/** By the name of the message. */
export const HOT_ANSWERS: ReadonlyMap<string, Write<never>> = new Map<string, Write<never>>([
  ["AckMessageResponse", writeAckAnswer],
  ["SendMessageResponse", writeSendAnswer],
  ["ReceiveMessageResponse", writeReceiveAnswer],
]);
