/** What a call is answered with when it is refused, and how the broker's refusals read there (ResponseBuilder.java). */
import { CometError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { Code, codeName } from "../../grpc/enums.js";
import type { Status } from "../../grpc/messages.js";
import { ResponseCode } from "../../remoting/codes.js";
import type { RemoteAnswer } from "../../remoting/types.js";
import { quoted } from "../answer.js";

/** A refusal with a code of the API; becomes the status of the answer. */
export class ProxyError extends Error {
  override readonly name = "ProxyError";
  readonly code: Code;

  constructor(code: Code, message: string) {
    super(message);
    this.code = code;
  }
}

export const OK: Status = { code: Code.OK, message: "OK" };

export function statusOf(code: Code, message: string = codeName(code)): Status {
  return { code, message };
}

const CODES: ReadonlyMap<number, Code> = new Map<number, Code>([
  [ResponseCode.SUCCESS, Code.OK],
  [ResponseCode.SYSTEM_BUSY, Code.TOO_MANY_REQUESTS],
  [ResponseCode.REQUEST_CODE_NOT_SUPPORTED, Code.NOT_IMPLEMENTED],
  [ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, Code.CONSUMER_GROUP_NOT_FOUND],
  [ResponseCode.TOPIC_NOT_EXIST, Code.TOPIC_NOT_FOUND],
]);

/** The status that stands for a response code of the broker's. */
export function brokerStatus(code: number, remark: string): Status {
  return { code: CODES.get(code) ?? Code.INTERNAL_SERVER_ERROR, message: remark === "" ? String(code) : remark };
}

export function brokerError({ code, remark }: RemoteAnswer): ProxyError {
  const status = brokerStatus(code, remark);
  return new ProxyError(status.code, status.message);
}

/** The status of an answer to a call that ended with `error`. */
export function statusOfError(error: unknown, log: Logger): Status {
  if (error instanceof ProxyError) return { code: error.code, message: quoted(error.message) };
  if (error instanceof CometError) {
    const code = error.code === "COMETMQ_TIMEOUT" ? Code.PROXY_TIMEOUT : Code.INTERNAL_SERVER_ERROR;
    return { code, message: quoted(error.message) };
  }
  log.error({ err: error }, "a gRPC call failed");
  return { code: Code.INTERNAL_SERVER_ERROR, message: quoted(String(error)) };
}
