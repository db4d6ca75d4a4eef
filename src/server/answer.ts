/** How handlers answer: they return what is to be sent, and `processorOf` sends it. */
import { CometError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { requestCodeName, ResponseCode } from "../remoting/codes.js";
import { type FastjsonInput, toFastjson } from "../remoting/fastjson.js";
import type { HeaderView } from "../remoting/header-view.js";
import type { Connection, Fields, Processor, Request } from "../remoting/types.js";

/** A remark quotes what the client sent; this much of it is enough. */
const QUOTED_CHARS_MAX = 255;

export interface Answer {
  readonly code: number;
  readonly remark?: string | undefined;
  readonly fields?: Fields | undefined;
  readonly body?: Buffer | undefined;
}

export type Handler = (request: Request, connection: Connection) => Answer;

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

/** Answers with SYSTEM_ERROR where the handler throws COMETMQ_BAD_REQUEST. */
export function processorOf(handler: Handler, logger: Logger): Processor {
  return (request, connection) => {
    const { code, remark, fields, body } = answerOf(handler, request, connection, logger);
    const { opaque, serializeType } = request.header;
    connection.writer.response(opaque, serializeType, code, remark, fields, body);
  };
}

function answerOf(handler: Handler, request: Request, connection: Connection, logger: Logger): Answer {
  try {
    return handler(request, connection);
  } catch (error) {
    if (!(error instanceof CometError) || error.code !== "COMETMQ_BAD_REQUEST") throw error;
    const remark = quoted(error.message);
    const code = requestCodeName(request.header.code);
    logger.warn({ code, client: connection.remoteAddress, remark }, "a request is refused");
    return failure(ResponseCode.SYSTEM_ERROR, remark);
  }
}

export function requiredText(header: HeaderView, name: string): string {
  const text = header.text(name);
  if (text === undefined) throw new CometError("COMETMQ_BAD_REQUEST", `The field ${name} is missing.`);
  return text;
}

export function requiredInteger(header: HeaderView, name: string): number {
  const value = optionalInteger(header, name);
  if (value === undefined) throw new CometError("COMETMQ_BAD_REQUEST", `The field ${name} is missing.`);
  return value;
}

export function optionalInteger(header: HeaderView, name: string): number | undefined {
  const value = header.integer(name);
  if (Number.isNaN(value)) throw new CometError("COMETMQ_BAD_REQUEST", `The field ${name} is not an integer.`);
  return value;
}
