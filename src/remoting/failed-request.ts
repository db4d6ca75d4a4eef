/** Requests whose handling throws: they are answered all the same, and leave no frame half written. */
import type { Logger } from "../base/log.js";
import { requestCodeName, ResponseCode } from "./codes.js";
import type { Connection, SerializeType } from "./types.js";

/** What answering a request takes of it. */
export interface RequestKey {
  readonly code: number;
  readonly opaque: number;
  readonly serializeType: SerializeType;
}

/** Answers with SYSTEM_ERROR, unless it threw when it had answered already. */
export function answerFailed(
  { writer, remoteAddress }: Pick<Connection, "writer" | "remoteAddress">,
  { code, opaque, serializeType }: RequestKey,
  error: unknown,
  log: Logger,
): void {
  writer.abandon();
  const name = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  if (writer.lastOpaque !== opaque) writer.response(opaque, serializeType, ResponseCode.SYSTEM_ERROR, name);
  log.error({ err: error, remote: remoteAddress, code }, `${requestCodeName(code)} failed`);
}

/** What `attempt` says; a request that has waited is outside every processor, whose throws its connection answers. */
export function attempted(connection: Connection, key: RequestKey, log: Logger, attempt: () => boolean): boolean {
  try {
    return attempt();
  } catch (error) {
    answerFailed(connection, key, error, log);
    return true;
  }
}
