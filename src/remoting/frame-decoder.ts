/**
 * Cuts the byte stream of one connection into frames. The bounds are Apache's (remoting/netty/NettyDecoder.java over
 * Netty's LengthFieldBasedFrameDecoder): whoever breaks them is cut off, for nothing after the break can be trusted.
 *
 *   length i32 of all that follows   serialise type u8   header length u24   header   body
 *
 * A frame that lies wholly in a received chunk is given out where it lies. Only a frame that a chunk's end cuts is
 * copied, into a buffer that grows with what has really arrived, never with what a length word promises.
 */
import { assert } from "../base/assert.js";
import { ASSEMBLY_BYTES_KEPT, AssemblyBudget, type AssemblyHolder } from "./assembly-budget.js";
import { beginsAsProxyHeader } from "./proxy-header.js";

/** Apache's: a whole frame, its length word included. */
export const FRAME_BYTES_MAX = 16777216;

/** Longer headers are refused: 32 KiB of properties, escaped, take less than a quarter of it. */
export const HEADER_BYTES_MAX = 1048576;

const LENGTH_BYTES = 4;
const PREFIX_BYTES = 8;
const ASSEMBLY_BYTES_MIN = 1024;
const NO_BYTES = Buffer.alloc(0);

export const FrameVerdict = {
  /** The chunk is used up. */
  MORE: 0,
  /** A frame lies in `bytes`. */
  FRAME: 1,
  /** A length word or header length out of bounds: the connection is to be closed. */
  BAD_LENGTH: 2,
  /** Too many bytes of cut frames are held over all connections: this one is to be closed. */
  NO_ROOM: 3,
  /** The first bytes of the connection are an HTTP/1 request. */
  HTTP1: 4,
  /** … the preface of HTTP/2, so most likely gRPC. */
  HTTP2: 5,
  /** … a TLS handshake. */
  TLS: 6,
  /** Not the decoder's: a header that cannot be read, which Apache also answers by closing. */
  BAD_HEADER: 7,
  /** Not the decoder's: no TLS where nothing else is let in. */
  PLAIN: 8,
  /** … the header of a proxy that speaks for somebody. */
  PROXY: 9,
} as const;
export type FrameVerdict = (typeof FrameVerdict)[keyof typeof FrameVerdict];

export interface FrameDecoderOptions {
  readonly frameBytesMax?: number;
  readonly headerBytesMax?: number;
  /** Shared by all decoders of an end. */
  readonly budget?: AssemblyBudget;
  /** Called when others needed the room that a cut frame held: the connection is to be closed. */
  readonly onGivenUp?: () => void;
}

export class FrameDecoder implements AssemblyHolder {
  /** The frame that `next` found; valid until it is called again. */
  bytes: Buffer = NO_BYTES;
  headerStart = 0;
  headerEnd = 0;
  bodyEnd = 0;
  /** As sent: 0 JSON, 1 ROCKETMQ, else unknown to Apache. */
  serializeType = 0;
  readonly #frameBytesMax: number;
  readonly #headerBytesMax: number;
  readonly #budget: AssemblyBudget;
  readonly #onGivenUp: (() => void) | undefined;
  #chunk: Buffer = NO_BYTES;
  #position = 0;
  /** The first bytes of a frame whose rest has not arrived. */
  #assembly: Buffer = NO_BYTES;
  #assembledBytes = 0;
  #atStart = true;
  /** MORE until the connection is given up. */
  #final: FrameVerdict = FrameVerdict.MORE;

  constructor(options: FrameDecoderOptions = {}) {
    this.#frameBytesMax = options.frameBytesMax ?? FRAME_BYTES_MAX;
    this.#headerBytesMax = options.headerBytesMax ?? HEADER_BYTES_MAX;
    this.#budget = options.budget ?? new AssemblyBudget();
    this.#onGivenUp = options.onGivenUp;
  }

  /** Takes the next received chunk; the one before must be used up. */
  push(chunk: Buffer): void {
    assert(this.#position === this.#chunk.length, "the last chunk is used up");
    this.#chunk = chunk;
    this.#position = 0;
  }

  /** A frame has been given out. */
  get hasBegun(): boolean {
    return !this.#atStart;
  }

  /** Copies what is left of the chunk, which its owner wants back. */
  keep(): void {
    this.#chunk = Buffer.from(this.#chunk.subarray(this.#position));
    this.#position = 0;
  }

  /** Frames are left in the chunk, or a piece of one that has not been looked at. */
  get hasBytes(): boolean {
    return this.#position < this.#chunk.length;
  }

  /** Of the chunk, those not given out: what a cut frame has in it is gone from there. */
  get remainingBytes(): number {
    return this.#chunk.length - this.#position;
  }

  /** Finds the next frame. A verdict other than MORE and FRAME is final. */
  next(): FrameVerdict {
    if (this.#final !== FrameVerdict.MORE) return this.#final;
    if (this.#assembledBytes > 0) return this.#assemble();
    const chunk = this.#chunk;
    const start = this.#position;
    const available = chunk.length - start;
    if (available >= LENGTH_BYTES) {
      if (!this.#isSound(chunk, start, available)) return this.#final;
      const frameBytes = LENGTH_BYTES + uint32(chunk, start);
      if (available >= frameBytes) {
        this.#position = start + frameBytes;
        this.#giveOut(chunk, start, frameBytes);
        return FrameVerdict.FRAME;
      }
    }
    if (available > 0) this.#fill(available, available);
    if (!this.hasBytes) {
      this.#chunk = NO_BYTES;
      this.#position = 0;
    }
    return this.#final;
  }

  /** All that was received, of a connection whose first bytes are no frame's; after it this decoder is done. */
  takeBack(): Buffer {
    assert(this.#atStart, "no frame was given out");
    const assembled = this.#assembly.subarray(0, this.#assembledBytes);
    const bytes = Buffer.concat([assembled, this.#chunk.subarray(this.#position)]);
    this.release();
    return bytes;
  }

  /** Gives back what it holds; for a connection that is gone. */
  release(): void {
    this.#final = FrameVerdict.BAD_LENGTH;
    this.#chunk = NO_BYTES;
    this.#position = 0;
    this.#assembledBytes = 0;
    this.bytes = NO_BYTES;
    this.#resize(0);
  }

  giveUp(): void {
    this.release();
    this.#onGivenUp?.();
  }

  /** Goes on with a cut frame: its length word, then its prefix, then the rest. */
  #assemble(): FrameVerdict {
    if (!this.#fill(LENGTH_BYTES, PREFIX_BYTES)) return this.#final;
    if (!this.#isSound(this.#assembly, 0, LENGTH_BYTES)) return this.#final;
    const frameBytes = LENGTH_BYTES + uint32(this.#assembly, 0);
    if (!this.#fill(PREFIX_BYTES, frameBytes)) return this.#final;
    if (!this.#isSound(this.#assembly, 0, PREFIX_BYTES)) return this.#final;
    if (!this.#fill(frameBytes, frameBytes)) return this.#final;
    this.#assembledBytes = 0;
    this.#giveOut(this.#assembly, 0, frameBytes);
    if (this.#assembly.length > ASSEMBLY_BYTES_KEPT) this.#resize(0);
    return FrameVerdict.FRAME;
  }

  /** Moves bytes of the chunk to the assembly until it has `goalBytes`; false when the chunk or the budget has no more. */
  #fill(goalBytes: number, frameBytes: number): boolean {
    const start = this.#position;
    const from = this.#assembledBytes;
    const to = Math.min(goalBytes, from + this.#chunk.length - start);
    if (to > from) {
      const capacity = this.#assembly.length;
      if (to > capacity) this.#resize(Math.max(ASSEMBLY_BYTES_MIN, to, Math.min(2 * capacity, frameBytes)));
      if (this.#final !== FrameVerdict.MORE) return false;
      this.#position = start + to - from;
      this.#chunk.copy(this.#assembly, from, start, this.#position);
      this.#assembledBytes = to;
    }
    return to >= goalBytes;
  }

  /** Changes the capacity of the assembly; what is in it stays. */
  #resize(capacityBytes: number): void {
    if (!this.#budget.resize(this, this.#assembly.length, capacityBytes)) {
      this.#final = FrameVerdict.NO_ROOM;
      return;
    }
    const assembly = capacityBytes === 0 ? NO_BYTES : Buffer.allocUnsafeSlow(capacityBytes);
    this.#assembly.copy(assembly, 0, 0, this.#assembledBytes);
    this.#assembly = assembly;
  }

  /** Whether the frame's prefix, as far as it is there, keeps the bounds; else the final verdict is set. */
  #isSound(bytes: Buffer, start: number, available: number): boolean {
    const lengthBytes = uint32(bytes, start);
    if (lengthBytes < 4 || lengthBytes + LENGTH_BYTES > this.#frameBytesMax) {
      this.#final = this.#atStart ? strangerAt(bytes, start) : FrameVerdict.BAD_LENGTH;
      return false;
    }
    if (available < PREFIX_BYTES) return true;
    const headerBytes = uint32(bytes, start + 4) & 0xffffff;
    if (headerBytes > lengthBytes - 4 || headerBytes > this.#headerBytesMax) {
      this.#final = FrameVerdict.BAD_LENGTH;
      return false;
    }
    return true;
  }

  #giveOut(bytes: Buffer, start: number, frameBytes: number): void {
    this.#atStart = false;
    this.bytes = bytes;
    this.serializeType = bytes[start + 4]!;
    this.headerStart = start + PREFIX_BYTES;
    this.headerEnd = this.headerStart + (uint32(bytes, start + 4) & 0xffffff);
    this.bodyEnd = start + frameBytes;
  }
}

/** First words of HTTP/1 requests. */
const HTTP1_WORDS: ReadonlySet<number> = new Set(
  ["GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC", "CONN", "TRAC"].map((word) => uint32(Buffer.from(word), 0)),
);
const HTTP2_WORD = uint32(Buffer.from("PRI "), 0);
/** The first byte of a TLS connection. */
export const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 3;

/** Whose protocol begins with these bytes. They are no length word within bounds, so a frame is never mistaken. */
export function strangerAt(bytes: Buffer, start: number): FrameVerdict {
  const word = uint32(bytes, start);
  if (HTTP1_WORDS.has(word)) return FrameVerdict.HTTP1;
  if (word === HTTP2_WORD) return FrameVerdict.HTTP2;
  if (bytes[start] === TLS_HANDSHAKE && bytes[start + 1] === TLS_MAJOR) return FrameVerdict.TLS;
  if (beginsAsProxyHeader(bytes, start)) return FrameVerdict.PROXY;
  return FrameVerdict.BAD_LENGTH;
}

function uint32(bytes: Buffer, position: number): number {
  return (
    ((bytes[position]! << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!) >>> 0
  );
}
