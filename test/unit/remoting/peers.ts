/** What the tests of both ends share: a logger that keeps its lines, a bare socket, and a clock that is moved by hand. */
import { connect, type Socket } from "node:net";
import type { Clock, Timer } from "#src/base/clock.js";
import type { Logger } from "#src/base/log.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";

export class LineLog implements Logger {
  readonly lines: string[] = [];
  #add = (level: string) => (_fields: object, message: string) => {
    this.lines.push(`${level} ${message}`);
  };
  debug = this.#add("debug");
  info = this.#add("info");
  warn = this.#add("warn");
  error = this.#add("error");

  count(part: string): number {
    return this.lines.filter((line) => line.includes(part)).length;
  }
}

export class HandClock implements Clock {
  now = 0;
  #tasks: { at: number; task: () => void }[] = [];

  nowMs(): number {
    return this.now;
  }

  monotonicMs(): number {
    return this.now;
  }

  schedule(delayMs: number, task: () => void): Timer {
    const entry = { at: this.now + delayMs, task };
    this.#tasks.push(entry);
    return {
      cancel: () => {
        this.#tasks = this.#tasks.filter((other) => other !== entry);
      },
    };
  }

  get scheduledCount(): number {
    return this.#tasks.length;
  }

  /** Runs what is due, in order. */
  advance(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const next = this.#tasks.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#tasks = this.#tasks.filter((other) => other !== next);
      this.now = next.at;
      next.task();
    }
    this.now = until;
  }
}

export interface ReceivedFrame {
  readonly opaque: number;
  readonly code: number;
  readonly flag: number;
  readonly remark: string;
  readonly fields: Record<string, string>;
  readonly body: string;
}

/** A peer without any cleverness: sends bytes, collects bytes. */
export class BareSocket {
  readonly socket: Socket;
  readonly frames: ReceivedFrame[] = [];
  bytes: Buffer = Buffer.alloc(0);
  ended = false;
  readonly closed: Promise<void>;
  readonly #decoder = new FrameDecoder();
  readonly #header = new HeaderView();

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {});
    socket.on("end", () => {
      this.ended = true;
    });
  }

  static async open(port: number): Promise<BareSocket> {
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new BareSocket(socket);
  }

  /** Collects frames from here on; without it nothing is read. */
  readFrames(): this {
    this.socket.on("data", (chunk: Buffer) => {
      this.#decoder.push(chunk);
      while (this.#decoder.next() === FrameVerdict.FRAME) {
        const { bytes, headerStart, headerEnd, bodyEnd, serializeType } = this.#decoder;
        if (!this.#header.parse(bytes, headerStart, headerEnd, serializeType)) throw new Error("malformed header");
        const { opaque, code, flag, remark } = this.#header;
        const fields = Object.fromEntries(this.#header.fields());
        this.frames.push({ opaque, code, flag, remark, fields, body: bytes.toString("latin1", headerEnd, bodyEnd) });
      }
    });
    return this;
  }

  readBytes(): this {
    this.socket.on("data", (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
    });
    return this;
  }
}

export interface RequestSample {
  readonly opaque?: number;
  readonly code: number;
  readonly type?: 0 | 1;
  readonly oneway?: boolean;
  readonly fields?: Record<string, string>;
  readonly body?: string | Uint8Array;
}

export function requestBytes(...requests: RequestSample[]): Buffer {
  const writer = new FrameWriter();
  for (const { opaque = 0, code, type = 0, oneway = false, fields = {}, body } of requests) {
    writer.request(opaque, type, code, oneway, fields, typeof body === "string" ? Buffer.from(body) : body);
  }
  return Buffer.from(writer.buffer.subarray(0, writer.length));
}

/** Waits until `condition` holds; fails after ten seconds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`still waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
