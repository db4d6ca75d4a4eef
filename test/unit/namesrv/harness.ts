/** Requests to name server handlers without sockets: real frames in, real frames out, the connection is a stand-in. */
import type { Clock, Timer } from "#src/base/clock.js";
import { silentLogger } from "#src/base/log.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";
import { type Connection, type Fields, type RemoteAnswer, SerializeType } from "#src/remoting/types.js";
import { KvConfig } from "#src/server/namesrv/kv-config.js";
import { NamesrvConfig, type NamesrvSettings } from "#src/server/namesrv/namesrv-config.js";
import { namesrvProcessors } from "#src/server/namesrv/namesrv.js";
import { type AddressFor, type RouteLimits, RouteTable } from "#src/server/namesrv/route-table.js";
import type { NameServerState } from "#src/server/namesrv/state.js";

export class FakeClock implements Clock {
  ms = 1_000_000;
  readonly #tasks: { atMs: number; task: () => void }[] = [];

  nowMs(): number {
    return 1_700_000_000_000 + this.ms;
  }

  monotonicMs(): number {
    return this.ms;
  }

  schedule(delayMs: number, task: () => void): Timer {
    const entry = { atMs: this.ms + delayMs, task };
    this.#tasks.push(entry);
    return { cancel: () => void this.#tasks.splice(this.#tasks.indexOf(entry), 1) };
  }

  advance(ms: number): void {
    this.ms += ms;
    for (const entry of this.#tasks.filter((task) => task.atMs <= this.ms)) {
      this.#tasks.splice(this.#tasks.indexOf(entry), 1);
      entry.task();
    }
  }
}

let connections = 0;

export class FakeConnection implements Connection {
  readonly id = ++connections;
  readonly remoteAddress = `127.0.0.1:${50_000 + connections}`;
  readonly remoteHost = Buffer.from([127, 0, 0, 1, 0, 0, 0, 1]);
  readonly localHost: string;
  readonly localAddress: string;
  readonly writer = new FrameWriter();
  closed = false;
  readonly #callbacks: (() => void)[] = [];

  constructor(localHost = "127.0.0.1") {
    this.localHost = localHost;
    this.localAddress = `${localHost}:9876`;
  }

  flush(): void {}

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const callback of this.#callbacks) callback();
  }

  onClose(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  pushOneway(): void {
    throw new Error("a name server pushes nothing");
  }

  call(): Promise<RemoteAnswer> {
    throw new Error("a name server asks nothing");
  }
}

export interface Answered {
  readonly opaque: number;
  readonly code: number;
  readonly remark: string;
  readonly fields: Record<string, string>;
  readonly body: Buffer;
}

export function decodeFrame(frame: Buffer): { header: HeaderView; body: Buffer } {
  const decoder = new FrameDecoder();
  decoder.push(frame);
  if (decoder.next() !== FrameVerdict.FRAME) throw new Error("not one whole frame");
  const header = new HeaderView();
  if (!header.parse(decoder.bytes, decoder.headerStart, decoder.headerEnd, decoder.serializeType)) {
    throw new Error("a malformed header");
  }
  return { header, body: decoder.bytes.subarray(decoder.headerEnd, decoder.bodyEnd) };
}

export interface BenchOptions {
  readonly settings?: Partial<NamesrvSettings>;
  readonly limits?: RouteLimits;
  readonly addressFor?: AddressFor;
  readonly kvConfig?: KvConfig;
}

/** A name server's handlers on a bench. */
export class Bench {
  readonly clock = new FakeClock();
  readonly state: NameServerState;
  readonly #processors;

  constructor(options: BenchOptions = {}) {
    const config = new NamesrvConfig(options.settings);
    const { clock } = this;
    const { limits, addressFor } = options;
    this.state = {
      routeTable: new RouteTable({ clock, config, limits, addressFor }),
      kvConfig: options.kvConfig ?? KvConfig.inMemory(),
      config,
      clock,
      log: silentLogger,
      startedMs: clock.monotonicMs(),
    };
    this.#processors = namesrvProcessors(this.state);
  }

  get table(): RouteTable {
    return this.state.routeTable;
  }

  codes(): number[] {
    return [...this.#processors.keys()];
  }

  /** Sends a whole frame, length word included. */
  send(frame: Buffer, connection = new FakeConnection()): Answered {
    const { header, body } = decodeFrame(frame);
    const request = { header, body, bytes: body, bodyStart: 0, bodyEnd: body.length };
    const { writer } = connection;
    const mark = writer.length;
    this.#processors.get(header.code)!(request, connection);
    const answer = decodeFrame(Buffer.from(writer.buffer.subarray(mark, writer.length)));
    writer.reset(mark);
    const fields = Object.fromEntries(answer.header.fields());
    const { opaque, code, remark } = answer.header;
    return { opaque, code, remark, fields, body: answer.body };
  }

  ask(code: number, fields: Fields = {}, options: AskOptions = {}): Answered {
    return this.send(requestFrame(code, fields, options), options.connection);
  }
}

export interface AskOptions {
  readonly body?: Buffer | string;
  readonly connection?: FakeConnection;
  readonly serializeType?: SerializeType;
  readonly version?: number;
}

export function requestFrame(code: number, fields: Fields, options: AskOptions = {}): Buffer {
  const writer = new FrameWriter(options.version === undefined ? {} : { version: options.version });
  writer.beginRequest(7, options.serializeType ?? SerializeType.JSON, code, false);
  writer.fields(fields);
  writer.endHeader();
  if (options.body !== undefined) writer.bodyBytes(Buffer.from(options.body));
  writer.end();
  return Buffer.from(writer.buffer.subarray(0, writer.length));
}
