/** A server's connection over a real socket, and a peer that sends whatever frames a test makes. */
import { connect, createServer, type Socket } from "node:net";
import { type Clock, systemClock } from "#src/base/clock.js";
import { Connection } from "#src/http2/connection.js";
import { FrameType, Flag } from "#src/http2/frames.js";
import { hpackEncode } from "#src/http2/hpack.js";
import type { Stream } from "#src/http2/stream.js";
import { BufferPool } from "#src/remoting/buffer-pool.js";
import type { OutputBudget } from "#src/remoting/output-budget.js";
import { ReceiveBuffer } from "#src/remoting/receive-buffer.js";
import { Turns } from "#src/remoting/turns.js";

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const REQUEST = hpackEncode([
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/x"],
]);
const RESPONSE = hpackEncode([[":status", "200"]]);
export const TRAILERS = hpackEncode([["grpc-status", "0"]]);

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

export function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function settings(...entries: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.concat(entries.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), number(value)])));
  return frame(FrameType.SETTINGS, 0, 0, payload);
}

/** A request's headers; a whole request unless told otherwise. */
export function request(streamId: number, flags: number = Flag.END_HEADERS | Flag.END_STREAM): Buffer {
  return frame(FrameType.HEADERS, flags, streamId, REQUEST);
}

const closers: (() => void)[] = [];

export function closeAll(): void {
  for (const close of closers.splice(0)) close();
}

export interface Served {
  readonly stream: Stream;
  readonly received: Buffer[];
  ended: boolean;
  closed: boolean;
}

export class Server {
  readonly served: Served[] = [];
  readonly faults: string[] = [];
  /** Of the peer that came last, as is the socket. */
  connection: Connection | undefined;
  socket: Socket | undefined;
  gone = 0;
  /** Answers each request with so many bytes when it has ended; undefined leaves that to the test. */
  answerBytes: number | undefined = 5;
  /** Called with each new request. */
  onOpened: () => void = () => {};
  /** Of the connections to come. */
  streamsMax = 10;
  outputBudget: OutputBudget | undefined;
  /** Connections that were cut off for what they did not read. */
  unreadCount = 0;
  port = 0;

  async start(clock: Clock = systemClock, sharesBuffer = true): Promise<this> {
    const pool = new BufferPool();
    const receiveBuffer = sharesBuffer ? new ReceiveBuffer() : undefined;
    const turns = new Turns();
    const server = createServer((socket) => {
      socket.pause();
      closers.push(() => socket.destroy());
      this.socket = socket;
      this.connection = new Connection(socket, {
        clock,
        pool,
        turns,
        receiveBuffer,
        streamsMax: this.streamsMax,
        outputBudget: this.outputBudget,
        onUnread: () => this.unreadCount++,
        onStream: (stream) => this.#opened(stream),
        onFault: (code, reason) => void this.faults.push(`${code} ${reason}`),
        onClosed: () => this.gone++,
      });
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    closers.push(() => server.close());
    this.port = (server.address() as { port: number }).port;
    return this;
  }

  async untilGone(): Promise<void> {
    while (this.gone === 0) await new Promise((resolve) => setImmediate(resolve));
  }

  #opened(stream: Stream): void {
    const served: Served = { stream, received: [], ended: false, closed: false };
    this.served.push(served);
    this.onOpened();
    stream.listener = {
      received: (bytes) => void served.received.push(Buffer.from(bytes)),
      requestEnded: () => {
        served.ended = true;
        if (this.answerBytes !== undefined) answer(stream, this.answerBytes);
      },
      closed: () => {
        served.closed = true;
      },
    };
  }
}

export function answer(stream: Stream, bytes: number): void {
  stream.respond(RESPONSE);
  stream.write(Buffer.alloc(bytes, "x"));
  stream.end(TRAILERS);
}

export class RawPeer {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  closed = false;
  #bytes: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};

  constructor(server: Pick<Server, "port">, first: readonly Buffer[] = [PREFACE, settings()]) {
    this.socket = connect(server.port, "127.0.0.1");
    closers.push(() => this.socket.destroy());
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
    this.socket.on("data", (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      while (this.#bytes.length >= 9 && this.#bytes.length >= 9 + this.#bytes.readUIntBE(0, 3)) {
        const end = 9 + this.#bytes.readUIntBE(0, 3);
        const payload = Buffer.from(this.#bytes.subarray(9, end));
        const streamId = this.#bytes.readUInt32BE(5);
        this.frames.push({ type: this.#bytes[3]!, flags: this.#bytes[4]!, streamId, payload });
        this.#bytes = this.#bytes.subarray(end);
      }
      this.#wake();
    });
    this.send(...first);
  }

  send(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  of(type: number, streamId?: number): Frame[] {
    return this.frames.filter((got) => got.type === type && (streamId === undefined || got.streamId === streamId));
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closed) throw new Error(`closed, with ${this.frames.map(({ type }) => type)}`);
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
  }

  /** What was sent before is handled when this returns. */
  async settled(): Promise<void> {
    const pings = this.of(FrameType.PING).length;
    this.send(frame(FrameType.PING, 0, 0, Buffer.from("settled!")));
    await this.until(() => this.of(FrameType.PING).length > pings);
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
  }

  /** The code of the GOAWAY that ends the connection, which the server has forgotten then. */
  async goAwayCode(server: Server): Promise<number | undefined> {
    await this.untilClosed();
    await server.untilGone();
    return this.of(FrameType.GOAWAY).at(-1)?.payload.readUInt32BE(4);
  }

  resetCode(streamId: number): number | undefined {
    return this.of(FrameType.RST_STREAM, streamId).at(-1)?.payload.readUInt32BE(0);
  }

  dataBytes(streamId: number): number {
    return this.of(FrameType.DATA, streamId).reduce((sum, { payload }) => sum + payload.length, 0);
  }
}
