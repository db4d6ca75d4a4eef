/**
 * Records of an answer of the broker's, as `decodeRecords` has them, but for what hardly any call asks for: that is made
 * of the bytes when somebody does. Good as long as the bytes are.
 */
import type { MessageExt } from "../../record/decode.js";
import { hostText } from "../../record/host.js";
import { createMessageId } from "../../record/message-id.js";
import { decodeProperties } from "../../record/properties.js";
import { RecordVerdict, RecordView } from "../../record/record-view.js";

/** What messages of the API are made of. */
export type ProxyRecord = Omit<
  MessageExt,
  "flag" | "storeSize" | "magic" | "bodyCrc" | "preparedTransactionOffset" | "properties"
> & { readonly properties: ReadonlyMap<string, string> };

class LazyRecord implements ProxyRecord {
  readonly topic: string;
  readonly queueId: number;
  readonly sysFlag: number;
  readonly queueOffset: number;
  readonly phyOffset: number;
  readonly bornTimestamp: number;
  readonly storeTimestamp: number;
  readonly storeHost: string;
  readonly reconsumeTimes: number;
  readonly body: Buffer;
  readonly properties: ReadonlyMap<string, string>;
  readonly #bytes: Buffer;
  readonly #bornHostStart: number;
  readonly #bornHostLength: number;
  readonly #storeHostStart: number;
  readonly #storeHostLength: number;

  constructor(view: RecordView, bytes: Buffer, topic: string, storeHost: string) {
    this.topic = topic;
    this.queueId = view.queueId;
    this.sysFlag = view.sysFlag;
    this.queueOffset = view.queueOffset;
    this.phyOffset = view.phyOffset;
    this.bornTimestamp = view.bornTimestamp;
    this.storeTimestamp = view.storeTimestamp;
    this.storeHost = storeHost;
    this.reconsumeTimes = view.reconsumeTimes;
    this.body = bytes.subarray(view.bodyStart, view.bodyStart + view.bodyLength);
    this.properties = decodeProperties(bytes, view.propertiesStart, view.propertiesStart + view.propertiesLength);
    this.#bytes = bytes;
    this.#bornHostStart = view.bornHostStart;
    this.#bornHostLength = view.bornHostLength;
    this.#storeHostStart = view.storeHostStart;
    this.#storeHostLength = view.storeHostLength;
  }

  get bornHost(): string {
    return hostText(this.#bytes, this.#bornHostStart, this.#bornHostLength);
  }

  get msgId(): string {
    const host = this.#bytes.subarray(this.#storeHostStart, this.#storeHostStart + this.#storeHostLength);
    return createMessageId(host, this.phyOffset);
  }
}

/** Records that follow one another, up to the first that is none. */
export function lazyRecords(bytes: Buffer): ProxyRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const record = new RecordView();
  const records: ProxyRecord[] = [];
  let topic = "";
  let topicStart = 0;
  let topicEnd = 0;
  let storeHost = "";
  let hostStart = 0;
  let hostEnd = 0;
  for (let position = 0; position < bytes.length; position += record.totalSize) {
    if (record.read(view, position, bytes.length) !== RecordVerdict.RECORD) break;
    const { topicLength, storeHostStart, storeHostLength } = record;
    // Those of the record before, mostly.
    if (!isSame(bytes, topicStart, topicEnd, record.topicStart, topicLength)) {
      topicStart = record.topicStart;
      topicEnd = topicStart + topicLength;
      topic = bytes.toString("utf8", topicStart, topicEnd);
    }
    if (!isSame(bytes, hostStart, hostEnd, storeHostStart, storeHostLength)) {
      hostStart = storeHostStart;
      hostEnd = hostStart + storeHostLength;
      storeHost = hostText(bytes, storeHostStart, storeHostLength);
    }
    records.push(new LazyRecord(record, bytes, topic, storeHost));
  }
  return records;
}

function isSame(bytes: Buffer, start: number, end: number, otherStart: number, otherLength: number): boolean {
  if (end - start !== otherLength) return false;
  for (let i = 0; i < otherLength; i++) if (bytes[start + i] !== bytes[otherStart + i]) return false;
  return true;
}
