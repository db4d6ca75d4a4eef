/**
 * What a client's calls reject with, besides the reason of an aborted signal. Every error is a CometError, so `code` and
 * `retryable` are there; those that came over the wire have Apache's response code as well.
 */
import { CometError, type ErrorCode } from "../base/errors.js";
import { responseCodeName } from "../remoting/codes.js";
import type { RemoteAnswer } from "../remoting/types.js";

/** A server answered with another code than SUCCESS. */
export class ResponseError extends CometError {
  /** Apache's, as in `ResponseCode`. */
  readonly responseCode: number;
  /** Its name: `TOPIC_NOT_EXIST`. */
  readonly responseName: string;
  /** What the server says about it. */
  readonly remark: string;
  /** Of the server: `127.0.0.1:10911`. */
  readonly address: string;

  /** @internal */
  constructor(address: string, responseCode: number, remark: string, code: ErrorCode = "COMETMQ_REMOTE") {
    const name = responseCodeName(responseCode);
    super(code, `${address} answered ${name}${remark === "" ? "" : `: ${remark}`}.`);
    this.responseCode = responseCode;
    this.responseName = name;
    this.remark = remark;
    this.address = address;
  }
}

/** No name server knows a queue of the topic that could be used. */
export class NoRouteError extends CometError {
  readonly topic: string;

  /** @internal */
  constructor(topic: string, why: string, options?: { cause?: unknown }) {
    super("COMETMQ_NO_ROUTE", `No route to topic ${topic}: ${why}.`, options);
    this.topic = topic;
  }
}

/** A message was refused before anything was sent. */
export class MessageError extends CometError {
  /** @internal */
  constructor(message: string) {
    super("COMETMQ_BAD_MESSAGE", message);
  }
}

/** All attempts to send failed. `cause` is what the last one met, `attempts` what each of them did. */
export class SendError extends CometError {
  readonly attempts: readonly { readonly brokerName: string; readonly error: unknown }[];
  /** Of the last attempt, where a broker answered it. */
  readonly responseCode: number | undefined;

  /** @internal */
  constructor(topic: string, attempts: readonly { readonly brokerName: string; readonly error: unknown }[]) {
    const cause = attempts.at(-1)?.error;
    const code = cause instanceof CometError ? cause.code : "COMETMQ_REMOTE";
    const text = cause instanceof Error ? cause.message : String(cause);
    super(code, `${topic}: not sent after ${attempts.length} attempt(s): ${text}`, { cause });
    this.attempts = attempts;
    this.responseCode = cause instanceof ResponseError ? cause.responseCode : undefined;
  }
}

/** Nobody replied to a request in time. */
export class RequestTimeoutError extends CometError {
  readonly correlationId: string;

  /** @internal */
  constructor(correlationId: string, timeoutMs: number) {
    super("COMETMQ_TIMEOUT", `No reply to request ${correlationId} within ${timeoutMs} ms.`);
    this.correlationId = correlationId;
  }
}

/** The producer, consumer or admin was closed before or during the call. */
export class ClientClosedError extends CometError {
  /** @internal */
  constructor(what: string) {
    super("COMETMQ_CLIENT_CLOSED", `This ${what} is closed.`);
  }
}

export function configError(message: string): CometError {
  return new CometError("COMETMQ_CONFIG", message);
}

/** The answer itself, or the error that its code is. */
export function expectSuccessFrom(address: string, answer: RemoteAnswer): RemoteAnswer {
  if (answer.code === 0) return answer;
  throw new ResponseError(address, answer.code, answer.remark);
}
