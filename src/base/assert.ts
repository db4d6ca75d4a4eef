/**
 * A programmer's error, as opposed to an operating one: the process state is not to be trusted any more.
 * It is never caught to continue; request handlers turn it into SYSTEM_ERROR and the log says where it was.
 */
export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}

/** Throws AssertionFailure unless `condition` holds. Stays on in production; keep the message a constant. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** Costly checks run only with COMETMQ_VERIFY=1, which every test run sets. */
export const VERIFY = process.env.COMETMQ_VERIFY === "1";
