import { PREFIX_BYTES, writePrefix } from "#src/grpc/message-frame.js";

/** A message with its prefix, as it goes over a stream. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(PREFIX_BYTES + message.length);
  writePrefix(frame, 0, message.length);
  frame.set(message, PREFIX_BYTES);
  return frame;
}
