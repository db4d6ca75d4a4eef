/**
 * Has what was put written into the log's files, once for all that a turn of the event loop put, and lets dispatch and
 * readers come to it after that.
 */
import type { CommitLog } from "../commitlog/commit-log.js";
import type { SharedProgress } from "../dispatch/shared-progress.js";
import type { DispatchWakes } from "./dispatch-wakes.js";

export class Publisher {
  readonly #log: CommitLog;
  readonly #progress: SharedProgress;
  readonly #wakes: DispatchWakes;
  readonly #confirms: boolean;
  #losesTurn = false;

  /** `confirms`: what is written may be read; else that waits until it is durable. */
  constructor(log: CommitLog, progress: SharedProgress, wakes: DispatchWakes, confirms: boolean) {
    this.#log = log;
    this.#progress = progress;
    this.#wakes = wakes;
    this.#confirms = confirms;
  }

  /** In this turn messages were taken that could not be written. */
  get losesTurn(): boolean {
    return this.#losesTurn;
  }

  /** Throws as the disk does: then what was put since the last call is lost. */
  publish(): void {
    this.#log.publish();
    this.confirm();
  }

  /** What is written may be read. */
  confirm(): void {
    const { publishedPosition } = this.#log;
    if (this.#confirms && publishedPosition !== this.#progress.confirmed) this.#wakes.confirm(publishedPosition);
  }

  /** The log has failed: whoever was told of a PUT_OK in this turn, but has told nobody yet, had better not. */
  failed(): void {
    if (!this.#log.hasLost) return;
    this.#losesTurn = true;
    setImmediate(() => {
      this.#losesTurn = false;
    });
  }
}
