/**
 * Named places at which a test makes a process die or fail, to see what the next start makes of it. Nothing happens
 * unless the environment names one of them when the process starts:
 *
 *   COMETMQ_FAILPOINT=segment-delete-after            SIGKILL when this place is first passed
 *   COMETMQ_FAILPOINT=segment-delete-after:3          SIGKILL the third time; each thread counts for itself
 *   COMETMQ_FAILPOINT=segment-delete-after:3=throw    throws a COMETMQ_IO there, the third time and no other
 */
import { assert } from "./assert.js";
import { CometError } from "./errors.js";

export const FAILPOINTS = [
  /** Retention has chosen the log's oldest segment. */
  "segment-delete-before",
  /** Its file is gone, and nobody has been told. */
  "segment-delete-after",
  /** Files of a queue that pointed into it are gone, other queues still have theirs. */
  "queue-files-delete-after",
  /** The active segment is closed by its blank, the next one is not in use. */
  "segment-roll",
  /** A half message is in the log, its producer does not know. */
  "transaction-half-after",
  /** A commit was read, the message is not where it belongs. */
  "transaction-commit-before",
  /** The message is where it belongs, nothing says that its transaction has ended. */
  "transaction-commit-after",
  /** An op record says so. */
  "transaction-op-after",
  /** A half message is put back, its producer was not asked, and no offset has moved. */
  "transaction-check-after",
  /** The log was read; torn bytes behind its end are still there. */
  "recovery-truncate-before",
  /** The log is cut, the queues are not. */
  "recovery-truncate-after",
] as const;
export type FailpointName = (typeof FAILPOINTS)[number];

interface Armed {
  readonly name: string;
  readonly throws: boolean;
  passesLeft: number;
}

const armed = parse(process.env.COMETMQ_FAILPOINT ?? "");

function parse(text: string): Armed | undefined {
  if (text === "") return undefined;
  const [, name = "", count = "1", , action] = /^([a-z-]+)(?::(\d+))?(=(kill|throw))?$/.exec(text) ?? [];
  assert((FAILPOINTS as readonly string[]).includes(name), "COMETMQ_FAILPOINT names a failpoint");
  return { name, throws: action === "throw", passesLeft: Number(count) };
}

/** Costs one comparison while no failpoint is set. */
export function failpoint(name: FailpointName): void {
  if (armed !== undefined && armed.name === name && --armed.passesLeft === 0) strike(armed);
}

function strike(point: Armed): void {
  if (point.throws) throw new CometError("COMETMQ_IO", `The failpoint ${point.name} was passed.`);
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way: not one more step until it is here.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
