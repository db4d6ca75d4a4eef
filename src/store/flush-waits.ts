/** Who waits for the log to be on the disk: those whom one sync serves share a promise. */
import { CometError } from "../base/errors.js";
import type { CommitLog } from "../commitlog/commit-log.js";
import type { Flusher } from "../commitlog/flusher.js";
import { PositionWaiters } from "./position-waiters.js";

export class FlushWaits {
  readonly #log: CommitLog;
  readonly #flusher: Flusher;
  readonly #waiters = new PositionWaiters();
  #failure: CometError | undefined;
  /** Somebody waits for the disk: one sync at the turn's end serves all who asked in it. */
  isWanted = false;

  constructor(log: CommitLog, flusher: Flusher) {
    this.#log = log;
    this.#flusher = flusher;
  }

  wait(position: number): Promise<void> {
    const { flushedPosition, startedTo } = this.#flusher;
    if (position <= flushedPosition) return Promise.resolve();
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { appendPosition } = this.#log;
    if (!(position <= appendPosition)) {
      const problem = `The position is ${position}, and the log ends at ${appendPosition}.`;
      return Promise.reject(new CometError("COMETMQ_CONFIG", problem));
    }
    this.isWanted = true;
    return this.#waiters.waitWithOthers(position, startedTo);
  }

  /** The log is on the disk up to `position`. */
  reached(position: number): void {
    this.#waiters.settle(position);
  }

  /** It will get no further. */
  fail(error: CometError): void {
    this.#failure ??= error;
    this.#waiters.fail(error);
  }
}
