/**
 * What a client's calls reject with, besides the reason of an aborted signal. Every error is a CometError, so `code` and
 * `retryable` are there; whatever has to do with servers is a ClientError and has Apache's code too, from the wire or from
 * its own client.
 */
import { CometError, type ErrorCode } from "../base/errors.js";
import { ResponseCode, responseCodeName } from "../remoting/codes.js";
import type { RemoteAnswer } from "../remoting/types.js";

/** What Apache's client says where no server has answered (client/common/ClientErrorCode.java). */
export const ClientErrorCode = {
  CONNECT_BROKER_EXCEPTION: 10001,
  ACCESS_BROKER_TIMEOUT: 10002,
  BROKER_NOT_EXIST_EXCEPTION: 10003,
  NO_NAME_SERVER_EXCEPTION: 10004,
  NOT_FOUND_TOPIC_EXCEPTION: 10005,
  REQUEST_TIMEOUT_EXCEPTION: 10006,
  CREATE_REPLY_MESSAGE_EXCEPTION: 10007,
} as const;

/** What went wrong between a client and its servers. Instances are of the classes below. */
export class ClientError extends CometError {
  /** Apache's, of `ResponseCode` or `ClientErrorCode`; undefined where it has none. */
  readonly responseCode: number | undefined;

  /** @internal */
  constructor(code: ErrorCode, message: string, responseCode: number | undefined, options?: { cause?: unknown }) {
    super(code, message, options);
    this.responseCode = responseCode;
  }
}

/** A server answered with another code than SUCCESS. */
export class ResponseError extends ClientError {
  /** Apache's, as in `ResponseCode`. */
  declare readonly responseCode: number;
  /** Its name: `TOPIC_NOT_EXIST`. */
  readonly responseName: string;
  /** What the server says about it. */
  readonly remark: string;
  /** Of the server: `127.0.0.1:10911`. */
  readonly address: string;

  /** @internal */
  constructor(address: string, responseCode: number, remark: string, code: ErrorCode = "COMETMQ_REMOTE") {
    const name = responseCodeName(responseCode);
    super(code, `${address} answered ${name}${remark === "" ? "" : `: ${remark.replace(/\.$/, "")}`}.`, responseCode);
    this.responseName = name;
    this.remark = remark;
    this.address = address;
  }
}

/** No connection to a server could be made: nothing was sent. */
export class ConnectError extends ClientError {
  /** Of the server: `127.0.0.1:10911`. */
  readonly address: string;

  /** @internal */
  constructor(address: string, message: string, options?: { cause?: unknown }) {
    super("COMETMQ_CONNECT", message, ClientErrorCode.CONNECT_BROKER_EXCEPTION, options);
    this.address = address;
  }
}

/** A connection ended before the answer came: the server may have done what it was asked, or not. */
export class ConnectionLostError extends ClientError {
  /** Of the server: `127.0.0.1:10911`. */
  readonly address: string;

  /** @internal */
  constructor(address: string, message: string, options?: { cause?: unknown }) {
    super("COMETMQ_REMOTE", message, ClientErrorCode.CONNECT_BROKER_EXCEPTION, options);
    this.address = address;
  }
}

/** No answer in time: the server may have done what it was asked, or not. */
export class TimeoutError extends ClientError {
  /** @internal */
  constructor(
    message: string,
    responseCode: number = ClientErrorCode.ACCESS_BROKER_TIMEOUT,
    options?: { cause?: unknown },
  ) {
    super("COMETMQ_TIMEOUT", message, responseCode, options);
  }
}

/** Nobody replied to a request in time. */
export class RequestTimeoutError extends TimeoutError {
  /** Property CORRELATION_ID of the request. */
  readonly correlationId: string;

  /** @internal */
  constructor(correlationId: string, timeoutMs: number) {
    const message = `No reply to request ${correlationId} within ${timeoutMs} ms.`;
    super(message, ClientErrorCode.REQUEST_TIMEOUT_EXCEPTION);
    this.correlationId = correlationId;
  }
}

/** No name server knows a queue of the topic that could be used. */
export class NoRouteError extends ClientError {
  /** As the brokers know it, namespace included; a consumer's several with commas between them. */
  readonly topic: string;

  /** @internal */
  constructor(topic: string, why: string) {
    super("COMETMQ_NO_ROUTE", `No route to topic ${topic}: ${why}.`, ClientErrorCode.NOT_FOUND_TOPIC_EXCEPTION);
    this.topic = topic;
  }
}

/** No name server answers. */
export class NoNameServerError extends ClientError {
  /** @internal */
  constructor(addresses: readonly string[], cause: unknown) {
    const why = summaryOf(cause).replace(/\.$/, "");
    const message = `No name server of ${addresses.join(", ")} answered: ${why}.`;
    super("COMETMQ_NO_NAMESRV", message, ClientErrorCode.NO_NAME_SERVER_EXCEPTION, { cause });
  }
}

/** No route names a master of the broker. */
export class BrokerNotFoundError extends ClientError {
  /** As routes name it. */
  readonly brokerName: string;

  /** @internal */
  constructor(brokerName: string) {
    const message = `No name server knows a master of broker ${brokerName}.`;
    super("COMETMQ_NO_ROUTE", message, ClientErrorCode.BROKER_NOT_EXIST_EXCEPTION);
    this.brokerName = brokerName;
  }
}

/** A message was refused before anything was sent. */
export class MessageError extends ClientError {
  /** @internal */
  constructor(message: string, responseCode: number = ResponseCode.MESSAGE_ILLEGAL) {
    super("COMETMQ_BAD_MESSAGE", message, responseCode);
  }
}

/** As much is on its way as the producer's options allow; nothing was sent. */
export class TooManySendsError extends ClientError {
  /** @internal */
  constructor(message: string) {
    super("COMETMQ_BUSY", message, undefined);
  }
}

/** All attempts to send failed. `cause` is what the last one met, `attempts` what each of them did. */
export class SendError extends ClientError {
  /** In their order: the broker that was asked, and what came of it. */
  readonly attempts: readonly { readonly brokerName: string; readonly error: unknown }[];

  /** @internal */
  constructor(topic: string, attempts: readonly { readonly brokerName: string; readonly error: unknown }[]) {
    const cause = attempts.at(-1)?.error;
    const code = cause instanceof CometError ? cause.code : "COMETMQ_REMOTE";
    const responseCode = cause instanceof ClientError ? cause.responseCode : undefined;
    super(code, `${topic}: not sent after ${attempts.length} attempt(s): ${summaryOf(cause)}`, responseCode, { cause });
    this.attempts = attempts;
  }
}

/** The producer, consumer or admin was closed before or during the call. */
export class ClientClosedError extends ClientError {
  /** @internal */
  constructor(what: string) {
    super("COMETMQ_CLIENT_CLOSED", `This ${what} is closed.`, undefined);
  }
}

/** An option or argument that cannot be; the message names it. */
export class ConfigError extends ClientError {
  /** @internal */
  constructor(message: string) {
    super("COMETMQ_CONFIG", message, undefined);
  }
}

export function configError(message: string): ConfigError {
  return new ConfigError(message);
}

/** What went wrong, without what to do about it: for a part of another message. */
export function summaryOf(error: unknown): string {
  if (error instanceof CometError) return error.summary;
  return error instanceof Error ? error.message : String(error);
}

/** What a connection rejected with, as a client's error; anything else as it is. */
export function connectionError(address: string, error: unknown): unknown {
  if (!(error instanceof CometError) || error instanceof ClientError) return error;
  const { code, summary, cause } = error;
  if (code === "COMETMQ_CONNECT") return new ConnectError(address, summary, { cause });
  if (code === "COMETMQ_REMOTE") return new ConnectionLostError(address, summary, { cause });
  if (code === "COMETMQ_TIMEOUT") return new TimeoutError(`${address}: ${summary}`);
  return error;
}

/** The answer itself, or the error that its code is. */
export function expectSuccessFrom(address: string, answer: RemoteAnswer): RemoteAnswer {
  if (answer.code === 0) return answer;
  throw new ResponseError(address, answer.code, answer.remark);
}
