/** What a call hears that comes too late. */
import { CometError } from "../base/errors.js";

export function storeClosed(): CometError {
  return new CometError("COMETMQ_STORE_CLOSED", "The store was closed.");
}
