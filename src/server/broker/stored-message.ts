/**
 * A record of the log as queries serve it: whole, where it says it is, and looked into for topic and keys. What an index
 * or a client points at may be anything.
 */
import { parseProperties } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import { RecordVerdict, RecordView } from "../../record/record-view.js";
import type { IndexKind } from "./store-port.js";

const view = new RecordView();

function readWhole(record: Buffer): boolean {
  const bytes = new DataView(record.buffer, record.byteOffset, record.length);
  return view.read(bytes, 0, record.length) === RecordVerdict.RECORD && view.totalSize === record.length;
}

/** Whether `record` is one whole record that was written at `phyOffset`. */
export function isRecordAt(record: Buffer, phyOffset: number): boolean {
  return readWhole(record) && view.phyOffset === phyOffset;
}

/** The topic of `record`, which is whole. */
export function topicOf(record: Buffer): string {
  return readWhole(record) ? record.toString("utf8", view.topicStart, view.topicStart + view.topicLength) : "";
}

/** Where `record`, which is whole, was written. */
export function phyOffsetOf(record: Buffer): number {
  return readWhole(record) ? view.phyOffset : -1;
}

/** Whether the message is of `topic` and has `key`: hashes of the index say this of others, too. */
export function hasKey(record: Buffer, topic: string, key: string, kind: IndexKind): boolean {
  if (!readWhole(record)) return false;
  if (record.toString("utf8", view.topicStart, view.topicStart + view.topicLength) !== topic) return false;
  const { propertiesStart, propertiesLength } = view;
  const properties = parseProperties(record.toString("utf8", propertiesStart, propertiesStart + propertiesLength));
  const isUnique = properties.get(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX) === key;
  if (kind === "U") return isUnique;
  if (kind === "T") return properties.get(PropertyName.TAGS) === key;
  // Old tools look for unique keys as if they were any keys, and the index has both alike.
  return isUnique || (properties.get(PropertyName.KEYS) ?? "").split(" ").includes(key);
}
