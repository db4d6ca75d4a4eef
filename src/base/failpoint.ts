/**
 * Named places at which a test makes a process die or fail, to see what the next start makes of it. Nothing happens
 * unless the environment names one of them when the process starts:
 *
 *   COMETMQ_FAILPOINT=segment-delete-after            SIGKILL when this place is first passed
 *   COMETMQ_FAILPOINT=segment-delete-after:3          SIGKILL the third time; each thread counts for itself
 *   COMETMQ_FAILPOINT=segment-delete-after:3=throw    throws a COMETMQ_IO there, the third time and no other
 *   COMETMQ_FAILPOINT=dispatch-step:3=crash           throws what nobody expects; in a worker, its thread dies of that
 *   COMETMQ_FAILPOINT=dispatch-step:3=exit            ends the thread, or the process, without a word
 *   COMETMQ_FAILPOINT=dispatch-step:3=spin            goes no further, and keeps its core busy
 *   COMETMQ_FAILPOINT=disk-sync:3=EIO                 throws what the operating system would be the cause of
 *   COMETMQ_FAILPOINT=disk-sync:3+=EIO                and from then on, each time
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
  /** The dispatch thread looks for work. */
  "dispatch-step",
  /** The thread that checks records ahead of recovery takes the next ones. */
  "recovery-check",
  /** The file operations of src/io, on whatever thread: what is about to be asked of the operating system. */
  "disk-open",
  "disk-write",
  "disk-sync",
  "disk-reserve",
  "disk-map",
  "disk-rename",
] as const;
export type FailpointName = (typeof FAILPOINTS)[number];

interface Armed {
  readonly name: string;
  readonly action: string;
  /** Each time from the first strike on. */
  readonly stays: boolean;
  passesLeft: number;
}

const armed = parse(process.env.COMETMQ_FAILPOINT ?? "");

function parse(text: string): Armed | undefined {
  if (text === "") return undefined;
  const parts = /^([a-z-]+)(?::(\d+)(\+)?)?(?:=(kill|throw|crash|exit|spin|E[A-Z]+))?$/.exec(text) ?? [];
  const [, name = "", count = "1", plus, action = "kill"] = parts;
  assert((FAILPOINTS as readonly string[]).includes(name), "COMETMQ_FAILPOINT names a failpoint");
  return { name, action, stays: plus !== undefined, passesLeft: Number(count) };
}

/** Costs one comparison while no failpoint is set. */
export function failpoint(name: FailpointName): void {
  if (armed === undefined || armed.name !== name) return;
  armed.passesLeft--;
  if (armed.passesLeft === 0 || (armed.stays && armed.passesLeft < 0)) strike(armed);
}

function strike({ name, action }: Armed): void {
  const message = `The failpoint ${name} was passed.`;
  switch (action) {
    case "throw":
      throw new CometError("COMETMQ_IO", message);
    case "crash":
      throw new TypeError(message);
    case "exit":
      process.exit();
      return;
    case "spin":
      for (;;);
    case "kill":
      process.kill(process.pid, "SIGKILL");
      // The signal is on its way: not one more step until it is here.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      return;
    default:
      throw Object.assign(new Error(message), { code: action });
  }
}
