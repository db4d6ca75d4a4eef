/** A message of a retry topic as a pop hands it out: under the topic it came from, with its handle as a property. */
import { MAGIC_V1, PROPERTIES_BYTES_MAX, TOPIC_BYTES_MAX_V1, TOTAL_SIZE_POSITION } from "../../../record/layout.js";
import { decodeProperties, encodeProperties } from "../../../record/properties.js";
import { PropertyName } from "../../../record/property-names.js";
import { RecordVerdict, RecordView } from "../../../record/record-view.js";

const view = new RecordView();

/** The record itself where it leaves no room for the property: clients find its handle by its retry topic then. */
export function asPopped(record: Buffer, topic: Buffer, extraInfo: string): Buffer {
  const bytes = new DataView(record.buffer, record.byteOffset, record.length);
  if (view.read(bytes, 0, record.length) !== RecordVerdict.RECORD) return record;
  const { propertiesStart, propertiesLength, magic } = view;
  const properties = decodeProperties(record, propertiesStart, propertiesStart + propertiesLength);
  properties.set(PropertyName.POP_CK, extraInfo);
  // Of the whole record as it was.
  properties.delete(PropertyName.CRC32);
  const encoded = encodeProperties(properties);
  if (encoded.length > PROPERTIES_BYTES_MAX) return record;
  if (magic === MAGIC_V1 && topic.length > TOPIC_BYTES_MAX_V1) return record;
  const bodyEnd = view.bodyStart + view.bodyLength;
  const lengthBytes = magic === MAGIC_V1 ? 1 : 2;
  const popped = Buffer.allocUnsafe(bodyEnd + lengthBytes + topic.length + 2 + encoded.length);
  record.copy(popped, 0, 0, bodyEnd);
  popped.writeInt32BE(popped.length, TOTAL_SIZE_POSITION);
  let at = popped.writeUIntBE(topic.length, bodyEnd, lengthBytes);
  at += topic.copy(popped, at);
  at = popped.writeInt16BE(encoded.length, at);
  encoded.copy(popped, at);
  return popped;
}
