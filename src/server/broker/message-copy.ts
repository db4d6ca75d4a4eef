/** The message that a processor fills anew for each put, and how it is filled from a record of the log. */
import type { RecordView } from "../../record/record-view.js";
import type { MessageInput, PutResult } from "../../store/types.js";

const EMPTY = Buffer.alloc(0);
/** Hosts met last, as copies of their own: few clients make most of what a turn copies. */
const HOSTS_KEPT = 16;
const hosts: Buffer[] = new Array<Buffer>(HOSTS_KEPT).fill(EMPTY);

export function emptyMessage(): MessageInput {
  return {
    queue: { topic: "", topicBytes: EMPTY, queueId: 0, slot: 0 },
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 0,
    bornHost: EMPTY,
    storeHost: EMPTY,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: EMPTY,
    bodyStart: 0,
    bodyLength: 0,
    bodyCrc: -1,
    properties: EMPTY,
    propertiesStart: 0,
    propertiesLength: 0,
  };
}

export function emptyPutResult(): PutResult {
  return { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
}

/** Everything of the message but where it goes; `fields` are of the record that `bytes` are. */
export function copyMessage(bytes: Buffer, fields: RecordView, message: MessageInput): void {
  const { bornHostStart, bornHostLength, storeHostStart, storeHostLength } = fields;
  message.flag = fields.flag;
  message.sysFlag = fields.sysFlag;
  message.bornTimestamp = fields.bornTimestamp;
  message.bornHost = hostAt(bytes, bornHostStart, bornHostLength);
  message.storeHost = hostAt(bytes, storeHostStart, storeHostLength);
  message.reconsumeTimes = fields.reconsumeTimes;
  message.preparedTransactionOffset = 0;
  message.body = bytes;
  message.bodyStart = fields.bodyStart;
  message.bodyLength = fields.bodyLength;
  message.bodyCrc = -1;
  message.properties = bytes;
  message.propertiesStart = fields.propertiesStart;
  message.propertiesLength = fields.propertiesLength;
}

/** The host in `bytes[start, start + length)`: the one kept of it, or a copy that is kept from now on. */
function hostAt(bytes: Buffer, start: number, length: number): Buffer {
  const end = start + length;
  const index = (bytes[end - 1]! ^ bytes[start + 3]!) & (HOSTS_KEPT - 1);
  const kept = hosts[index]!;
  if (kept.length === length && isAt(bytes, start, kept)) return kept;
  const host = Buffer.from(bytes.subarray(start, end));
  hosts[index] = host;
  return host;
}

function isAt(bytes: Buffer, start: number, host: Buffer): boolean {
  for (let i = 0; i < host.length; i++) if (bytes[start + i] !== host[i]) return false;
  return true;
}

/** Lets go of the bytes that the message was filled from: a view on the log keeps its segment's map. */
export function forgetBytes(message: MessageInput): void {
  message.bornHost = EMPTY;
  message.storeHost = EMPTY;
  message.body = EMPTY;
  message.properties = EMPTY;
}
