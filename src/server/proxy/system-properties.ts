/** The properties that are the system's: no user may set them, and none is shown as a user's (MessageConst.java). */
import { PropertyName } from "../../record/property-names.js";

/** Names that Apache's set of reserved ones does not have. */
const NOT_RESERVED: ReadonlySet<string> = new Set<string>([
  PropertyName.INNER_NUM,
  PropertyName.CHECK_IMMUNITY_TIME_IN_SECONDS,
  PropertyName.TRANSACTION_ID,
  PropertyName.TRANSACTION_CHECK_TIMES,
  PropertyName.SHARDING_KEY,
  PropertyName.FORWARD_QUEUE_ID,
  PropertyName.REDIRECT,
  PropertyName.INNER_MULTI_DISPATCH,
  PropertyName.TRACE_CONTEXT,
]);

const RESERVED: ReadonlySet<string> = new Set<string>([
  ...Object.values(PropertyName).filter((name) => !NOT_RESERVED.has(name)),
  "CORRECTION_FLAG",
  "MQ2_FLAG",
]);

export function isSystemProperty(name: string): boolean {
  return RESERVED.has(name);
}
