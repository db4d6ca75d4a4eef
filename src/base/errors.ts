/**
 * Every error a user of CometMQ can meet, as data: the code is stable, `remedy` says what to do, `retryable` whether the
 * same call may succeed later without anybody doing anything. Expected outcomes of the data path (put, get) are status
 * values, not errors.
 */
export const ERRORS = {
  COMETMQ_STORE_LOCKED: {
    retryable: false,
    remedy: "Stop the process that holds the directory, or choose another one.",
  },
  COMETMQ_NOT_A_STORE: {
    retryable: false,
    remedy: "Point at a store directory, or at an empty or missing one to create a store.",
  },
  COMETMQ_STORE_LAYOUT: { retryable: false, remedy: "Open the store with the sizes it was written with." },
  COMETMQ_STORE_CORRUPT: { retryable: false, remedy: "Look at the named file; nothing was changed." },
  COMETMQ_STORE_READ_ONLY: { retryable: false, remedy: "A write or sync failed earlier; mend the disk and restart." },
  COMETMQ_STORE_CLOSED: { retryable: false, remedy: "The store was closed; open it again." },
  COMETMQ_DISK_FULL: { retryable: true, remedy: "Free space on the device, or shorten the retention." },
  COMETMQ_HANDLES: { retryable: true, remedy: "Allow the process more open files (ulimit -n), or have fewer clients." },
  COMETMQ_IO: { retryable: false, remedy: "See the cause: the operating system refused the operation." },
  COMETMQ_THREAD: { retryable: false, remedy: "Start the process again; the store recovers when it is opened." },
  COMETMQ_BACKEND: { retryable: false, remedy: "Choose another storage backend, or install the optional package." },
  COMETMQ_CONFIG: { retryable: false, remedy: "Correct the named option." },
  COMETMQ_BAD_FRAME: { retryable: false, remedy: "The peer does not speak the Remoting protocol on this port." },
  COMETMQ_BAD_REQUEST: { retryable: false, remedy: "Correct the named field of the request." },
  COMETMQ_BAD_MESSAGE: { retryable: false, remedy: "Correct the message, or look for what damaged it." },
  COMETMQ_BAD_EXPRESSION: { retryable: false, remedy: "Correct the filter expression." },
  COMETMQ_CODEC_MISSING: {
    retryable: false,
    remedy: "Install the named package, or run on a Node that has the codec.",
  },
  COMETMQ_LISTEN: { retryable: false, remedy: "Choose another port or host, or stop what uses it." },
  COMETMQ_REMOTE: { retryable: true, remedy: "See the remark of the remote side." },
  COMETMQ_NOT_FOUND: { retryable: false, remedy: "Check the name, or create what it names." },
  COMETMQ_TIMEOUT: { retryable: true, remedy: "The remote side did not answer in time." },
  COMETMQ_CONNECT: { retryable: true, remedy: "Check the address, and that the server runs." },
  COMETMQ_NO_ROUTE: { retryable: true, remedy: "Create the topic, or check that its brokers run and are registered." },
  COMETMQ_BUSY: { retryable: true, remedy: "Wait for what is on its way, or raise the limit." },
  COMETMQ_NO_NAMESRV: { retryable: true, remedy: "Check namesrvAddr, and that a name server runs there." },
  COMETMQ_CLIENT_CLOSED: { retryable: false, remedy: "The client was closed; start another one." },
} as const;

/** What an error is, for programs: [all of them](../reference/errors.md). */
export type ErrorCode = keyof typeof ERRORS;

/** The one error class of CometMQ: switch on `code`, never on the message. */
export class CometError extends Error {
  override readonly name = "CometError";
  readonly code: ErrorCode;
  readonly retryable: boolean;

  /** @internal */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(`${message} ${ERRORS[code].remedy}`, options);
    this.code = code;
    this.retryable = ERRORS[code].retryable;
  }

  /** The message without the remedy. */
  get summary(): string {
    return this.message.slice(0, -ERRORS[this.code].remedy.length - 1);
  }
}

/** The `code` of a Node system error (`ENOSPC`, `EIO`, …), or the empty string. */
export function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}
