/**
 * Records as plain objects, for tools, tests and clients (common/message/MessageExt). Allocates freely: what runs for
 * every message of a store reads with `record-view.ts`.
 */
import { CometError } from "../base/errors.js";
import { hostText } from "./host.js";
import { createMessageId } from "./message-id.js";
import { decodeProperties } from "./properties.js";
import { RecordVerdict, RecordView } from "./record-view.js";

/** A record of the log as an object. Times are milliseconds since 1970. */
export interface MessageExt {
  readonly topic: string;
  readonly queueId: number;
  /** An int32 that is the application's own. */
  readonly flag: number;
  /** Bits of Apache's MessageSysFlag: compression, transaction state, kinds of hosts. */
  readonly sysFlag: number;
  /** Its place in the queue, from 0. */
  readonly queueOffset: number;
  /** Where the record says that it lies in the commit log. */
  readonly phyOffset: number;
  /** Bytes of the record. */
  readonly storeSize: number;
  /** MAGIC_V1 or MAGIC_V2. */
  readonly magic: number;
  readonly bodyCrc: number;
  readonly bornTimestamp: number;
  /** `address:port`, as are all hosts. */
  readonly bornHost: string;
  readonly storeTimestamp: number;
  readonly storeHost: string;
  /** How often it was delivered before, as retry topics count. */
  readonly reconsumeTimes: number;
  readonly preparedTransactionOffset: number;
  /** As stored, compressed or not: a view on the bytes decoded. */
  readonly body: Buffer;
  readonly properties: Map<string, string>;
  /** The offset message id. */
  readonly msgId: string;
}

/** Decodes the record at `position`; COMETMQ_BAD_MESSAGE when there is no whole one. CRCs are not checked. */
export function decodeRecord(bytes: Buffer, position = 0): MessageExt {
  const record = new RecordView();
  const verdict = record.read(viewOf(bytes), position, bytes.length);
  if (verdict !== RecordVerdict.RECORD) {
    throw new CometError("COMETMQ_BAD_MESSAGE", `There is no whole record at position ${position}.`);
  }
  return messageOf(record, bytes);
}

/** Decodes records that follow one another, as in the body of a pull response, up to the first that is none. */
export function decodeRecords(bytes: Buffer): MessageExt[] {
  const view = viewOf(bytes);
  const record = new RecordView();
  const messages: MessageExt[] = [];
  for (let position = 0; position < bytes.length; position += record.totalSize) {
    if (record.read(view, position, bytes.length) !== RecordVerdict.RECORD) break;
    messages.push(messageOf(record, bytes));
  }
  return messages;
}

/** The object for the record that `record` has just read from `bytes`. */
export function messageOf(record: RecordView, bytes: Buffer): MessageExt {
  const { bodyStart, topicStart, propertiesStart, storeHostStart, storeHostLength } = record;
  return {
    topic: bytes.toString("utf8", topicStart, topicStart + record.topicLength),
    queueId: record.queueId,
    flag: record.flag,
    sysFlag: record.sysFlag,
    queueOffset: record.queueOffset,
    phyOffset: record.phyOffset,
    storeSize: record.totalSize,
    magic: record.magic,
    bodyCrc: record.bodyCrc,
    bornTimestamp: record.bornTimestamp,
    bornHost: hostText(bytes, record.bornHostStart, record.bornHostLength),
    storeTimestamp: record.storeTimestamp,
    storeHost: hostText(bytes, storeHostStart, storeHostLength),
    reconsumeTimes: record.reconsumeTimes,
    preparedTransactionOffset: record.preparedTransactionOffset,
    body: bytes.subarray(bodyStart, bodyStart + record.bodyLength),
    properties: decodeProperties(bytes, propertiesStart, propertiesStart + record.propertiesLength),
    msgId: createMessageId(bytes.subarray(storeHostStart, storeHostStart + storeHostLength), record.phyOffset),
  };
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
