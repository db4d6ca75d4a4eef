/** What every frame of a client has to be by itself, whatever came before it (RFC 9113, section 6). */
import { ErrorCode, Flag, FrameType } from "./frames.js";

export type FrameProblem = readonly [ErrorCode, string];

const NO_STREAM: FrameProblem = [ErrorCode.PROTOCOL_ERROR, "a frame of a stream names none that clients open"];
const A_STREAM: FrameProblem = [ErrorCode.PROTOCOL_ERROR, "a frame of the connection names a stream"];
const LENGTH: FrameProblem = [ErrorCode.FRAME_SIZE_ERROR, "a frame has not the length of its type"];
const PUSH: FrameProblem = [ErrorCode.PROTOCOL_ERROR, "clients push nothing"];

export function frameProblem(type: number, flags: number, streamId: number, length: number): FrameProblem | undefined {
  switch (type) {
    case FrameType.DATA:
    case FrameType.HEADERS:
      return (streamId & 1) === 0 ? NO_STREAM : undefined;
    case FrameType.WINDOW_UPDATE:
      return length === 4 ? undefined : LENGTH;
    case FrameType.RST_STREAM:
      return streamId === 0 ? NO_STREAM : length === 4 ? undefined : LENGTH;
    case FrameType.PRIORITY:
      return streamId === 0 ? NO_STREAM : length === 5 ? undefined : LENGTH;
    case FrameType.SETTINGS:
      if (streamId !== 0) return A_STREAM;
      return ((flags & Flag.ACK) === 0 ? length % 6 : length) === 0 ? undefined : LENGTH;
    case FrameType.PING:
      return streamId !== 0 ? A_STREAM : length === 8 ? undefined : LENGTH;
    case FrameType.GOAWAY:
      return streamId !== 0 ? A_STREAM : length >= 8 ? undefined : LENGTH;
    case FrameType.PUSH_PROMISE:
      return PUSH;
    default:
      return undefined;
  }
}
