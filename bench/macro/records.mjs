/**
 * The records in the body of a pull answer: as they lie in the commit log (common/message/MessageDecoder.java).
 *
 *   0 size i32, magic i32, body crc i32, queue i32, flag i32   20 queue offset i64, physical offset i64
 *   36 sysFlag i32, born time i64, born host, store time i64, store host   then reconsume times i32, prepared i64,
 *   body i32 + bytes, topic u8 + bytes, properties i16 + bytes
 */

const MAGIC_V1 = 0xdaa320a7;
const BORN_HOST_IS_IPV6 = 0x10;
const STORE_HOST_IS_IPV6 = 0x20;

/** Bytes before the length of the body, with both hosts IPv4. */
const BEFORE_BODY_BYTES = 84;

/**
 * Calls back with every record between `from` and `to`, and throws where they are not whole records.
 *
 * @param {Buffer} buffer
 * @param {number} from
 * @param {number} to
 * @param {(queueOffset: number, bodyAt: number, bodyBytes: number, queueId: number) => void} onRecord
 * @returns {number} how many there were
 */
export function walkRecords(buffer, from, to, onRecord) {
  let at = from;
  let count = 0;
  while (at < to) {
    if (to - at < BEFORE_BODY_BYTES + 4) throw new Error("a pulled record is cut short");
    const recordBytes = buffer.readUInt32BE(at);
    if (buffer.readUInt32BE(at + 4) !== MAGIC_V1) throw new Error("a pulled record has an unknown magic");
    const sysFlag = buffer.readUInt32BE(at + 36);
    const wideHosts = (sysFlag & BORN_HOST_IS_IPV6 ? 12 : 0) + (sysFlag & STORE_HOST_IS_IPV6 ? 12 : 0);
    const bodyLengthAt = at + BEFORE_BODY_BYTES + wideHosts;
    if (at + recordBytes > to || bodyLengthAt + 4 > at + recordBytes) throw new Error("a pulled record is cut short");
    const bodyBytes = buffer.readUInt32BE(bodyLengthAt);
    if (bodyLengthAt + 4 + bodyBytes > at + recordBytes) throw new Error("a pulled record's body is cut short");
    onRecord(Number(buffer.readBigInt64BE(at + 20)), bodyLengthAt + 4, bodyBytes, buffer.readUInt32BE(at + 12));
    at += recordBytes;
    count++;
  }
  return count;
}
