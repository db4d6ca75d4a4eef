/**
 * What work without a request does where the store can not be read: no handle is left, or the disk errs. Nobody is there
 * to be answered, and a throw would end the process: it is said, and tried again.
 */
import { CometError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";

export const READ_RETRY_MS = 5000;

/** Throws what is no error of the store's. */
export function noteReadFailure(error: unknown, log: Logger, whose: string): void {
  if (!(error instanceof CometError)) throw error;
  log.error({ err: error }, `${whose} can not be read now, will try again`);
}
