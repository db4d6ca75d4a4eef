/** What stands before each message on a stream of gRPC: `compressed u8 · length u32`. */

export const PREFIX_BYTES = 5;

/** Of a message that is not compressed. */
export function writePrefix(bytes: Buffer, at: number, messageBytes: number): void {
  bytes[at] = 0;
  bytes.writeUInt32BE(messageBytes, at + 1);
}

/** Of the message whose prefix lies at `at`. */
export function messageBytesAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at + 1);
}
