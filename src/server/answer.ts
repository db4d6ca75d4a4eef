/** How handlers answer: they return what is to be sent, and `processorOf` sends it. */
import { CometError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { requestCodeName, ResponseCode } from "../remoting/codes.js";
import { attempted } from "../remoting/failed-request.js";
import { type FastjsonInput, toFastjson } from "../remoting/fastjson.js";
import type { HeaderView } from "../remoting/header-view.js";
import type { Connection, Fields, Processor, Request } from "../remoting/types.js";

/** A remark quotes what the client sent; this much of it is enough. */
const QUOTED_CHARS_MAX = 255;
/** Of one kind, that wait for the disk: each holds a few hundred bytes. */
const IN_FLIGHT_MAX = 4096;

export interface Answer {
  readonly code: number;
  readonly remark?: string | undefined;
  readonly fields?: Fields | undefined;
  readonly body?: Buffer | undefined;
}

/** What a handler needs of the request it takes before it first waits: the request is gone after that. */
export type Handler = (request: Request, connection: Connection) => Answer | Promise<Answer>;

export const SUCCESS: Answer = { code: ResponseCode.SUCCESS };

export function failure(code: number, remark: string): Answer {
  return { code, remark };
}

export function jsonAnswer(body: FastjsonInput): Answer {
  return { code: ResponseCode.SUCCESS, body: Buffer.from(toFastjson(body)) };
}

export function quoted(text: string): string {
  return text.length <= QUOTED_CHARS_MAX ? text : `${text.slice(0, QUOTED_CHARS_MAX)}…`;
}

/**
 * Answers with SYSTEM_ERROR where the handler throws COMETMQ_BAD_REQUEST. At most `inFlightMax` requests that take time
 * are worked on at once, further ones are refused.
 */
export function processorOf(handler: Handler, logger: Logger, inFlightMax: number = IN_FLIGHT_MAX): Processor {
  let inFlight = 0;
  const finish = async (late: Promise<Answer>, request: Request, connection: Connection): Promise<void> => {
    const { code: requestCode, isOneway, opaque, serializeType } = request.header;
    inFlight++;
    const { code, remark, fields, body } = await lateAnswerOf(late, requestCode, connection, logger);
    inFlight--;
    if (connection.closed || isOneway) return;
    attempted(connection, { code: requestCode, opaque, serializeType }, logger, () => {
      connection.writer.response(opaque, serializeType, code, remark, fields, body);
      return true;
    });
    connection.flush();
  };
  return (request, connection) => {
    const { opaque, serializeType } = request.header;
    const answer = inFlight < inFlightMax ? answerOf(handler, request, connection, logger) : busy(inFlightMax);
    if (answer instanceof Promise) void finish(answer, request, connection);
    else {
      const { code, remark, fields, body } = answer;
      connection.writer.response(opaque, serializeType, code, remark, fields, body);
    }
  };
}

function busy(inFlightMax: number): Answer {
  return failure(ResponseCode.SYSTEM_BUSY, `${inFlightMax} such requests are being worked on already.`);
}

async function lateAnswerOf(
  late: Promise<Answer>,
  requestCode: number,
  connection: Connection,
  logger: Logger,
): Promise<Answer> {
  try {
    return await late;
  } catch (error) {
    if (isBadRequest(error)) return refusalOf(error, requestCode, connection, logger);
    logger.error({ err: error, code: requestCode }, `${requestCodeName(requestCode)} failed`);
    return failure(ResponseCode.SYSTEM_ERROR, quoted(String(error)));
  }
}

/** What `handler` answers; SYSTEM_ERROR where it throws COMETMQ_BAD_REQUEST. */
export function answerOf<Result>(
  handler: (request: Request, connection: Connection) => Result,
  request: Request,
  connection: Connection,
  logger: Logger,
): Result | Answer {
  try {
    return handler(request, connection);
  } catch (error) {
    if (!isBadRequest(error)) throw error;
    return refusalOf(error, request.header.code, connection, logger);
  }
}

function isBadRequest(error: unknown): error is CometError {
  return error instanceof CometError && error.code === "COMETMQ_BAD_REQUEST";
}

function refusalOf(error: CometError, requestCode: number, connection: Connection, logger: Logger): Answer {
  const remark = quoted(error.message);
  logger.warn({ code: requestCodeName(requestCode), client: connection.remoteAddress, remark }, "a request is refused");
  return failure(ResponseCode.SYSTEM_ERROR, remark);
}

/** For requests of which Apache has another code than SYSTEM_ERROR for a field that is not there. */
export function missing(code: number, name: string): Answer {
  return failure(code, `The field ${name} is missing.`);
}

export function requiredText(header: HeaderView, name: string): string {
  const text = header.text(name);
  if (text === undefined) throw new CometError("COMETMQ_BAD_REQUEST", `The field ${name} is missing.`);
  return text;
}

/** Of the range of Java's long, as near as a number comes to it. */
export function requiredInteger(header: HeaderView, name: string): number {
  return required(name, optionalInteger(header, name));
}

export function optionalInteger(header: HeaderView, name: string): number | undefined {
  const value = header.integer(name);
  if (Number.isNaN(value)) throw new CometError("COMETMQ_BAD_REQUEST", `The field ${name} is not an integer.`);
  return value;
}

/** Of the range of Java's int. */
export function requiredInt(header: HeaderView, name: string): number {
  return required(name, optionalInt(header, name));
}

export function optionalInt(header: HeaderView, name: string): number | undefined {
  const value = optionalInteger(header, name);
  if (value === undefined || value === (value | 0)) return value;
  throw new CometError("COMETMQ_BAD_REQUEST", `The field ${name} is not an integer of 32 bits.`);
}

function required(name: string, value: number | undefined): number {
  if (value === undefined) throw new CometError("COMETMQ_BAD_REQUEST", `The field ${name} is missing.`);
  return value;
}
