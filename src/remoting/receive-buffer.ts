/**
 * One receive buffer for all plain connections of a server. Node gives each read a new 64 KiB buffer, and under load the
 * collector then does little else than free them. A socket that a client has dialled may name its own buffer (the
 * `onread` option); one that a server has accepted may not, though the handle below is the same: so the option is set
 * from outside, where the running Node has the parts it consists of, and nowhere else.
 *
 * What is received lies in the buffer until the callback returns; who wants it longer copies it.
 */
import type { Socket } from "node:net";

const RECEIVE_BYTES = 256 * 1024;

interface ReadHandle {
  useUserBuffer?: (bytes: Uint8Array) => void;
}

type SymbolMap = Record<symbol, unknown>;

/** The parts of `onread` in a socket of this Node, by the names its source gives them. */
interface OnReadSymbols {
  readonly buffer: symbol;
  readonly callback: symbol;
}

function onReadSymbols(socket: Socket): OnReadSymbols | undefined {
  let buffer: symbol | undefined;
  let callback: symbol | undefined;
  for (const symbol of Object.getOwnPropertySymbols(socket)) {
    if (symbol.description === "kBuffer") buffer = symbol;
    if (symbol.description === "kBufferCb") callback = symbol;
  }
  const parts = socket as unknown as SymbolMap;
  if (buffer === undefined || callback === undefined) return undefined;
  return parts[buffer] === null && parts[callback] === null ? { buffer, callback } : undefined;
}

export class ReceiveBuffer {
  readonly #bytes = Buffer.allocUnsafeSlow(RECEIVE_BYTES);

  /** Has `received` called with a view on the shared buffer from the next read on; false where that cannot be had. */
  attach(socket: Socket, received: (chunk: Buffer) => void): boolean {
    const handle = (socket as unknown as { _handle?: ReadHandle | null })._handle;
    const symbols = onReadSymbols(socket);
    if (symbols === undefined || typeof handle?.useUserBuffer !== "function") return false;
    const parts = socket as unknown as SymbolMap;
    parts[symbols.buffer] = this.#bytes;
    parts[symbols.callback] = (byteCount: number) => received(this.#bytes.subarray(0, byteCount));
    handle.useUserBuffer(this.#bytes);
    return true;
  }
}
