/**
 * A connection without a socket: a peer in the same process, which hands its requests to the processors as they are and
 * gets their answers as objects. What a broker knows of its client (addresses, identity, end) is that of whoever the
 * peer speaks for; pushes and calls of the broker's go to the peer (proxy/service/channel/SimpleChannel.java and
 * message/LocalMessageService.java have the same part).
 *
 * Answers are written with a FrameWriter like all others, and read back from its buffer when the processor returns or
 * flushes: so nothing in the broker knows the difference.
 */
import { assert } from "../base/assert.js";
import type { Clock, Timer } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { addressText, hostBytes, hostText } from "./address.js";
import { BufferPool } from "./buffer-pool.js";
import { requestCodeName, ResponseCode } from "./codes.js";
import { nextConnectionId } from "./connection-id.js";
import { answerFailed } from "./failed-request.js";
import { FrameWriter } from "./frame-writer.js";
import { HeaderView } from "./header-view.js";
import { LanguageCode } from "./language-code.js";
import { LocalHeader } from "./local-header.js";
import { CURRENT_VERSION } from "./mq-version.js";
import {
  type Connection,
  type Fields,
  type Processor,
  type RemoteAnswer,
  type Request,
  SerializeType,
} from "./types.js";

const NO_BYTES = Buffer.alloc(0);
const PREFIX_BYTES = 8;
/** Of a frame in the binary serialisation without remark, fields and body; and where the opaque stands in one. */
const BARE_ANSWER_BYTES = 29;
const OPAQUE_AT = PREFIX_BYTES + 5;
const NO_FIELDS: Record<string, string> = Object.freeze(Object.create(null));
const BARE_SUCCESS: RemoteAnswer = { code: ResponseCode.SUCCESS, remark: "", fields: NO_FIELDS, body: NO_BYTES };

/** What all local connections to one set of processors have in common. */
export class LocalPeering {
  readonly processors: ReadonlyMap<number, Processor>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pool = new BufferPool();
  /** Requests are handled one at a time, so one of each does for all. */
  readonly request = new LocalRequest();
  readonly answer = new HeaderView();

  constructor(processors: ReadonlyMap<number, Processor>, clock: Clock, log: Logger) {
    this.processors = processors;
    this.clock = clock;
    this.log = log;
  }
}

/** Whom the peer speaks for. */
export interface LocalOrigin {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Numeric LanguageCode. */
  readonly language?: number;
}

/** What the broker asks of this client. */
export interface LocalClient {
  pushed(code: number, fields: Fields, body: Uint8Array | undefined): void;
  called(code: number, fields: Fields, body: Uint8Array | undefined, timeoutMs: number): Promise<RemoteAnswer>;
}

interface Waiting {
  readonly resolve: (answer: RemoteAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer | undefined;
}

class LocalRequest implements Request {
  readonly header = new LocalHeader();
  bytes: Buffer = NO_BYTES;
  bodyStart = 0;
  bodyEnd = 0;

  get body(): Buffer {
    return this.bytes.subarray(this.bodyStart, this.bodyEnd);
  }

  /** Answers are in the binary serialisation, whose codes have 16 bits: enough for every response code. */
  set(code: number, opaque: number, oneway: boolean, language: number, fields: Fields, body: Buffer | undefined): void {
    const { header } = this;
    this.bytes = body ?? NO_BYTES;
    this.bodyStart = 0;
    this.bodyEnd = this.bytes.length;
    header.setFields(fields);
    header.code = code;
    header.opaque = opaque;
    header.flag = oneway ? 2 : 0;
    header.version = CURRENT_VERSION;
    header.language = language;
    header.serializeType = SerializeType.ROCKETMQ;
  }
}

export class LocalConnection implements Connection {
  readonly id = nextConnectionId();
  readonly remoteAddress: string;
  readonly remoteHost: Buffer;
  readonly localAddress: string;
  readonly localHost: string;
  readonly writer: FrameWriter;
  readonly #peering: LocalPeering;
  readonly #client: LocalClient | undefined;
  readonly #language: number;
  readonly #waiting = new Map<number, Waiting>();
  #closeCallbacks: (() => void)[] = [];
  #closed = false;
  #inProcessor = false;
  #flushScheduled = false;
  #lastOpaque = 0;
  /** The answer that came while its processor was still running. */
  #direct: RemoteAnswer | undefined;
  /** Its body is not copied, and the writer's buffer stays for as long. */
  #lends = false;

  /** With another connection in place of an origin, for the same peer; the broker asks its client nothing. */
  constructor(peering: LocalPeering, origin: LocalOrigin | LocalConnection, client?: LocalClient) {
    this.#peering = peering;
    this.#client = client;
    const isPeer = origin instanceof LocalConnection;
    this.#language = isPeer ? origin.#language : (origin.language ?? LanguageCode.OTHER);
    this.remoteAddress = isPeer ? origin.remoteAddress : addressText(origin.remoteAddress, origin.remotePort);
    this.remoteHost = isPeer ? origin.remoteHost : hostBytes(origin.remoteAddress, origin.remotePort);
    this.localAddress = isPeer ? origin.localAddress : addressText(origin.localAddress, origin.localPort);
    this.localHost = isPeer ? origin.localHost : hostText(origin.localAddress);
    this.writer = new FrameWriter({ pool: peering.pool });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Has the request handled. Rejects with COMETMQ_TIMEOUT, or with COMETMQ_REMOTE when this is closed before. */
  async request(code: number, fields: Fields, body: Buffer | undefined, timeoutMs: number): Promise<RemoteAnswer> {
    return this.ask(code, fields, body, timeoutMs);
  }

  /** The same, without a promise for what is answered at once. */
  ask(code: number, fields: Fields, body: Buffer | undefined, timeoutMs: number): RemoteAnswer | Promise<RemoteAnswer> {
    if (this.#closed) return Promise.reject(this.#lost());
    const opaque = ++this.#lastOpaque;
    const direct = this.#process(code, opaque, false, fields, body);
    if (direct !== undefined) return direct;
    return new Promise((resolve, reject) => {
      const timer = this.#peering.clock.schedule(timeoutMs, () => {
        this.#waiting.delete(opaque);
        reject(new CometError("COMETMQ_TIMEOUT", `${requestCodeName(code)} took more than ${timeoutMs} ms.`));
      });
      this.#waiting.set(opaque, { resolve, reject, timer });
    });
  }

  /** As `ask`, but the body of what is answered at once is good only until this is closed; one request at most. */
  askOnce(code: number, fields: Fields, timeoutMs: number): RemoteAnswer | Promise<RemoteAnswer> {
    assert(this.#lastOpaque === 0, "the connection was asked nothing before");
    this.#lends = true;
    const answer = this.ask(code, fields, undefined, timeoutMs);
    if (answer instanceof Promise) this.#lends = false;
    return answer;
  }

  /** The same for a request that need not be answered: undefined where it is not answered at once. */
  tell(code: number, fields: Fields): RemoteAnswer | undefined {
    return this.#closed ? undefined : this.#process(code, ++this.#lastOpaque, false, fields, undefined);
  }

  flush(): void {
    if (this.#inProcessor || this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(this.#flushNow);
  }

  /** What is answered already reaches who waits for it. */
  close(): void {
    if (this.#closed) return;
    this.writer.abandon();
    if (!this.#inProcessor && !this.#lends) this.#read(0);
    this.#closed = true;
    this.writer.reset(0);
    this.#release();
    for (const { reject, timer } of this.#waiting.values()) {
      timer?.cancel();
      reject(this.#lost());
    }
    this.#waiting.clear();
    const callbacks = this.#closeCallbacks;
    this.#closeCallbacks = [];
    for (const callback of callbacks) {
      try {
        callback();
      } catch (err) {
        this.#peering.log.error({ err, remote: this.remoteAddress }, "a close callback failed");
      }
    }
  }

  onClose(callback: () => void): void {
    if (this.#closed) callback();
    else this.#closeCallbacks.push(callback);
  }

  pushOneway(code: number, fields: Fields, body?: Uint8Array): void {
    if (!this.#closed) this.#client?.pushed(code, fields, body);
  }

  call(code: number, fields: Fields, body: Uint8Array | undefined, timeoutMs: number): Promise<RemoteAnswer> {
    if (this.#closed) return Promise.reject(this.#lost());
    if (this.#client !== undefined) return this.#client.called(code, fields, body, timeoutMs);
    return Promise.reject(new CometError("COMETMQ_REMOTE", `${this.remoteAddress} takes no requests.`));
  }

  #process(
    code: number,
    opaque: number,
    oneway: boolean,
    fields: Fields,
    body: Buffer | undefined,
  ): RemoteAnswer | undefined {
    const { request, processors } = this.#peering;
    const { writer } = this;
    request.set(code, opaque, oneway, this.#language, fields, body);
    writer.forgetLast();
    this.#inProcessor = true;
    this.#direct = undefined;
    try {
      const processor = processors.get(code);
      if (processor === undefined) this.#notSupported(code, opaque);
      else processor(request, this);
    } catch (error) {
      answerFailed(this, { code, opaque, serializeType: SerializeType.ROCKETMQ }, error, this.#peering.log);
    }
    this.#inProcessor = false;
    this.#read(opaque);
    const direct = this.#direct;
    this.#direct = undefined;
    return direct;
  }

  #notSupported(code: number, opaque: number): void {
    const remark = ` request type ${code} not supported`;
    this.writer.response(opaque, SerializeType.ROCKETMQ, ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark);
  }

  readonly #flushNow = (): void => {
    this.#flushScheduled = false;
    if (!this.#closed) this.#read(0);
  };

  /** Gives the written answers to those who wait; that to `directOpaque` is kept for the caller. */
  #read(directOpaque: number): void {
    const { writer } = this;
    const { length } = writer;
    if (length === 0) return;
    const bytes = writer.buffer;
    for (let start = 0; start < length; ) {
      const end = start + 4 + bytes.readInt32BE(start);
      const headerEnd = start + PREFIX_BYTES + (bytes.readInt32BE(start + 4) & 0xffffff);
      const { answer } = this.#peering;
      if (end - start === BARE_ANSWER_BYTES) {
        this.#settle(
          bytes.readInt32BE(start + OPAQUE_AT),
          directOpaque,
          bareAnswer(bytes.readInt16BE(start + PREFIX_BYTES)),
        );
      } else if (answer.parse(bytes, start + PREFIX_BYTES, headerEnd, bytes[start + 4]!)) {
        this.#settle(answer.opaque, directOpaque, answerOf(answer, bytes, headerEnd, end, this.#lends));
      }
      start = end;
    }
    if (this.#lends && this.#direct !== undefined) return;
    writer.reset(0);
    this.#release();
  }

  #settle(opaque: number, directOpaque: number, answer: RemoteAnswer): void {
    const waiting = this.#waiting.get(opaque);
    if (waiting !== undefined) {
      this.#waiting.delete(opaque);
      waiting.timer?.cancel();
      waiting.resolve(answer);
    } else if (opaque === directOpaque) {
      this.#direct = answer;
    }
  }

  /** An idle connection holds no buffer. */
  #release(): void {
    const { buffer } = this.writer;
    if (buffer.length === 0) return;
    this.writer.detach();
    this.#peering.pool.give(buffer);
  }

  #lost(): CometError {
    return new CometError("COMETMQ_REMOTE", `${this.remoteAddress}: the connection was closed.`);
  }
}

/** One that is a code and nothing else. */
function bareAnswer(code: number): RemoteAnswer {
  return code === ResponseCode.SUCCESS ? BARE_SUCCESS : { code, remark: "", fields: NO_FIELDS, body: NO_BYTES };
}

function answerOf(header: HeaderView, bytes: Buffer, bodyStart: number, bodyEnd: number, lends: boolean): RemoteAnswer {
  const view = bodyStart === bodyEnd ? NO_BYTES : bytes.subarray(bodyStart, bodyEnd);
  const body = lends || bodyStart === bodyEnd ? view : Buffer.from(view);
  return { code: header.code, remark: header.remark, fields: fieldsOf(header), body };
}

/** Taken out of one text, where its characters are bytes. */
function fieldsOf(header: HeaderView): Record<string, string> {
  const fields: Record<string, string> = Object.create(null);
  const { fieldCount, keyStart, keyEnd, valueStart, valueEnd } = header;
  if (fieldCount === 0) return fields;
  const start = keyStart[0]!;
  const text = header.bytes.toString("utf8", start, valueEnd[fieldCount - 1]);
  if (text.length !== valueEnd[fieldCount - 1]! - start) {
    for (let i = 0; i < fieldCount; i++) fields[header.keyText(i)] = header.valueText(i);
    return fields;
  }
  for (let i = 0; i < fieldCount; i++) {
    const value = text.slice(valueStart[i]! - start, valueEnd[i]! - start);
    fields[text.slice(keyStart[i]! - start, keyEnd[i]! - start)] = value;
  }
  return fields;
}
