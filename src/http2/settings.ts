/** What the peer has set (RFC 9113, section 6.5.2), as far as it matters to who answers. */
import { ErrorCode, FRAME_BYTES_MAX, INITIAL_WINDOW_BYTES, Setting, WINDOW_BYTES_MAX } from "./frames.js";

const SETTING_BYTES = 6;
const FRAME_BYTES_LIMIT = 16_777_215;

export class PeerSettings {
  initialWindowBytes = INITIAL_WINDOW_BYTES;
  /** Its decoder's table is smaller than before, which the next block has to acknowledge. */
  tableWasCut = false;
  #tableBytes = 4096;

  /** The error that a setting is, if any. */
  take(bytes: Buffer, start: number, end: number): ErrorCode | undefined {
    for (let at = start; at < end; at += SETTING_BYTES) {
      const value = bytes.readUInt32BE(at + 2);
      switch (bytes.readUInt16BE(at)) {
        case Setting.HEADER_TABLE_SIZE:
          if (value < this.#tableBytes) this.tableWasCut = true;
          this.#tableBytes = value;
          break;
        case Setting.ENABLE_PUSH:
          if (value > 1) return ErrorCode.PROTOCOL_ERROR;
          break;
        case Setting.INITIAL_WINDOW_SIZE:
          if (value > WINDOW_BYTES_MAX) return ErrorCode.FLOW_CONTROL_ERROR;
          this.initialWindowBytes = value;
          break;
        case Setting.MAX_FRAME_SIZE:
          if (value < FRAME_BYTES_MAX || value > FRAME_BYTES_LIMIT) return ErrorCode.PROTOCOL_ERROR;
          break;
        default:
      }
    }
    return undefined;
  }
}

export function settingsPayload(settings: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(SETTING_BYTES * settings.length);
  for (const [i, [setting, value]] of settings.entries()) {
    payload.writeUInt16BE(setting, SETTING_BYTES * i);
    payload.writeUInt32BE(value, SETTING_BYTES * i + 2);
  }
  return payload;
}
