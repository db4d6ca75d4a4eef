/**
 * What a program that embeds a broker does before and after requests: let them in, count them, time them. The hooks stand
 * around the processors, so they see every way a request comes (Remoting, gRPC). A broker without hooks has none of this
 * on its way, and one with hooks pays only for those that it gives.
 *
 * Hooks are called on the event loop, and requests wait for them: what takes long belongs elsewhere. Whatever bytes they
 * are shown are good until they return.
 */
import type { Clock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { decodeRecords, type MessageExt } from "../../record/decode.js";
import { parseProperties } from "../../record/properties.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { HeaderView } from "../../remoting/header-view.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import type { BrokerContext } from "./context.js";
import { LETTERS, LONG_NAMES } from "./send-fields.js";

/** Why a request is refused: told to the client with NO_PERMISSION. */
export type Refusal = string;

/** A request, whoever it is from. */
export interface RequestSeen {
  /** A RequestCode: 10 and 310 send, 11 pulls, 200050 pops, and so on. */
  readonly code: number;
  /** `address:port` of the client. */
  readonly client: string;
  /** The ext fields as they came, `AccessKey` and `Signature` of Apache's ACL among them. */
  readonly fields: ReadonlyMap<string, string>;
}

/** A send, one message or a batch. */
export interface SendSeen extends RequestSeen {
  readonly topic: string;
  readonly producerGroup: string;
  /** As asked: -1 leaves the choice to the broker. */
  readonly queueId: number;
  /** Of the message; of a batch there are none here. */
  readonly properties: ReadonlyMap<string, string>;
  readonly isBatch: boolean;
  /** As sent, which may be compressed or a batch. */
  readonly body: Buffer;
}

/** How a send was answered. */
export interface SendDone {
  /** A ResponseCode: 0 when the message was taken. */
  readonly code: number;
  readonly remark: string;
  /** Several between commas for a batch; empty when it was not taken. */
  readonly msgId: string;
  readonly queueId: number;
  readonly queueOffset: number;
  /** From the request's arrival to its answer, the wait for the disk included. */
  readonly elapsedMs: number;
}

/** A pull or a pop. */
export interface ConsumeSeen extends RequestSeen {
  readonly topic: string;
  readonly consumerGroup: string;
  /** -1 for a pop from all queues. */
  readonly queueId: number;
}

/** How a pull or a pop was answered. */
export interface ConsumeDone {
  /** 0 when there are messages. */
  readonly code: number;
  readonly remark: string;
  /** Of the messages together, as they go out. */
  readonly bodyBytes: number;
  /** Decoded at the first look. */
  readonly messages: readonly MessageExt[];
  /** A long poll's wait included. */
  readonly elapsedMs: number;
}

/** Hooks that return a Refusal refuse the request; one that throws refuses it too, with SYSTEM_ERROR. */
export interface BrokerHooks {
  /** Before every request, of administrators too, and before the hooks below. */
  readonly onRequest?: (request: RequestSeen) => Refusal | undefined;
  /** Before a message is stored. */
  readonly onSend?: (send: SendSeen) => Refusal | undefined;
  /** When a send is answered, refused ones too. */
  readonly onSent?: (send: SendSeen, done: SendDone) => void;
  /** Before a pull or a pop. */
  readonly onConsume?: (consume: ConsumeSeen) => Refusal | undefined;
  /** When a pull or a pop is answered, also with nothing. */
  readonly onConsumed?: (consume: ConsumeSeen, done: ConsumeDone) => void;
}

const SEND_CODES: readonly number[] = [
  RequestCode.SEND_MESSAGE,
  RequestCode.SEND_MESSAGE_V2,
  RequestCode.SEND_BATCH_MESSAGE,
];
const CONSUME_CODES: readonly number[] = [
  RequestCode.PULL_MESSAGE,
  RequestCode.LITE_PULL_MESSAGE,
  RequestCode.POP_MESSAGE,
];

const HOOKS: Readonly<Record<keyof BrokerHooks, true>> = {
  onRequest: true,
  onSend: true,
  onSent: true,
  onConsume: true,
  onConsumed: true,
};

/** Puts the hooks in front of `processors`, in place. */
export function hookProcessors(processors: Map<number, Processor>, hooks: BrokerHooks, context: BrokerContext): void {
  checkHooks(hooks);
  for (const [code, processor] of processors) {
    let hooked = processor;
    if (SEND_CODES.includes(code)) hooked = hookSend(hooked, hooks, context);
    if (CONSUME_CODES.includes(code)) hooked = hookConsume(hooked, hooks, context);
    if (hooks.onRequest !== undefined) hooked = before(hooked, seenOf, hooks.onRequest);
    if (hooked !== processor) processors.set(code, hooked);
  }
}

/** A hook that nobody calls would let everything in. What is not named as one may be the hooks' own. */
function checkHooks(hooks: BrokerHooks): void {
  for (const name of Object.keys(hooks)) {
    if (/^on[A-Z]/.test(name) && !Object.hasOwn(HOOKS, name))
      throw new CometError("COMETMQ_CONFIG", `hooks.${name} is no hook: ${Object.keys(HOOKS).join(", ")}.`);
  }
  for (const name of Object.keys(HOOKS) as (keyof BrokerHooks)[]) {
    if (hooks[name] !== undefined && typeof hooks[name] !== "function")
      throw new CometError("COMETMQ_CONFIG", `hooks.${name} is no function.`);
  }
}

function before<Seen extends RequestSeen>(
  processor: Processor,
  read: (request: Request, connection: Connection) => Seen,
  hook: (seen: Seen) => Refusal | undefined,
): Processor {
  return (request, connection) => {
    const refusal = hook(read(request, connection));
    if (refusal === undefined) processor(request, connection);
    else refuse(request, connection, refusal);
  };
}

function refuse({ header }: Request, { writer }: Connection, refusal: Refusal): void {
  writer.response(header.opaque, header.serializeType, ResponseCode.NO_PERMISSION, String(refusal).slice(0, 512));
}

function hookSend(processor: Processor, { onSend, onSent }: BrokerHooks, { clock, log }: BrokerContext): Processor {
  const inner = onSend === undefined ? processor : before(processor, sendOf, onSend);
  if (onSent === undefined) return inner;
  return watched(inner, clock, (request, connection) => {
    const { body, ...send } = sendOf(request, connection);
    // The frame may be gone when the answer goes out.
    const kept = { ...send, body: Buffer.from(body) };
    return (answer, _body, elapsedMs) => {
      const queueId = answer.integer("queueId") ?? -1;
      const queueOffset = answer.integer("queueOffset") ?? -1;
      const msgId = answer.text("msgId") ?? "";
      const done = { code: answer.code, remark: answer.remark, msgId, queueId, queueOffset, elapsedMs };
      quietly(log, "onSent", () => onSent(kept, done));
    };
  });
}

function hookConsume(
  processor: Processor,
  { onConsume, onConsumed }: BrokerHooks,
  { clock, log }: BrokerContext,
): Processor {
  const inner = onConsume === undefined ? processor : before(processor, consumeOf, onConsume);
  if (onConsumed === undefined) return inner;
  return watched(inner, clock, (request, connection) => {
    const consume = consumeOf(request, connection);
    return (answer, body, elapsedMs) => {
      const done = new Consumed(answer.code, answer.remark, body, elapsedMs);
      quietly(log, "onConsumed", () => onConsumed(consume, done));
    };
  });
}

class Consumed implements ConsumeDone {
  readonly code: number;
  readonly remark: string;
  readonly bodyBytes: number;
  readonly elapsedMs: number;
  readonly #body: Buffer;
  #messages: MessageExt[] | undefined;

  constructor(code: number, remark: string, body: Buffer, elapsedMs: number) {
    this.code = code;
    this.remark = remark;
    this.bodyBytes = body.length;
    this.elapsedMs = elapsedMs;
    this.#body = body;
  }

  get messages(): readonly MessageExt[] {
    this.#messages ??= decodeRecords(this.#body);
    return this.#messages;
  }
}

type AnswerSeen = (answer: HeaderView, body: Buffer, elapsedMs: number) => void;

/** `begin` looks at the request and returns what looks at its answer, whenever that goes out. */
function watched(
  processor: Processor,
  clock: Clock,
  begin: (request: Request, connection: Connection) => AnswerSeen,
): Processor {
  const answer = new HeaderView();
  return (request, connection) => {
    const see = begin(request, connection);
    const beginMs = clock.monotonicMs();
    connection.writer.watch(request.header.opaque, (bytes, headerStart, headerEnd, bodyEnd, serializeType) => {
      if (!answer.parse(bytes, headerStart, headerEnd, serializeType)) return;
      see(answer, bytes.subarray(headerEnd, bodyEnd), clock.monotonicMs() - beginMs);
    });
    processor(request, connection);
  };
}

/** The answer goes out whatever the hook does. */
function quietly(log: BrokerContext["log"], name: string, hook: () => void): void {
  try {
    hook();
  } catch (err) {
    log.error({ err }, `the hook ${name} failed`);
  }
}

function seenOf({ header }: Request, connection: Connection): RequestSeen {
  return { code: header.code, client: connection.remoteAddress, fields: header.fields() };
}

function sendOf(request: Request, connection: Connection): SendSeen {
  const { header } = request;
  const names = header.code === RequestCode.SEND_MESSAGE ? LONG_NAMES : LETTERS;
  const isBatch = header.code === RequestCode.SEND_BATCH_MESSAGE || header.boolean(names.batch) === true;
  return {
    ...seenOf(request, connection),
    topic: header.text(names.topic) ?? "",
    producerGroup: header.text(names.producerGroup) ?? "",
    queueId: header.integer(names.queueId) ?? -1,
    properties: parseProperties(header.text(names.properties) ?? ""),
    isBatch,
    body: request.body,
  };
}

function consumeOf(request: Request, connection: Connection): ConsumeSeen {
  const { header } = request;
  return {
    ...seenOf(request, connection),
    topic: header.text("topic") ?? "",
    consumerGroup: header.text("consumerGroup") ?? "",
    queueId: header.integer("queueId") ?? -1,
  };
}
