/**
 * What dispatch does about a full disk, or want of file handles: it stops where it is and tries the same again after a
 * while, for nothing of what it writes is lost, the log has it all. Any other failure goes through.
 */
import { CometError } from "../base/errors.js";

const RETRY_MS = 1000;
const PASSING: ReadonlySet<string> = new Set(["COMETMQ_DISK_FULL", "COMETMQ_HANDLES"]);

export function isPassing(error: unknown): error is CometError {
  return error instanceof CometError && PASSING.has(error.code);
}

export interface RoomEvents {
  /** Told once, until there is room again. */
  onPaused: (reason: string) => void;
  onResumed: () => void;
}

export class RoomWait {
  readonly #monotonicMs: () => number;
  readonly #events: RoomEvents;
  #failure: CometError | undefined;
  #retryAtMs = 0;

  constructor(monotonicMs: () => number, events: RoomEvents) {
    this.#monotonicMs = monotonicMs;
    this.#events = events;
  }

  /** Why there is a wait; undefined when there is none. */
  get failure(): CometError | undefined {
    return this.#failure;
  }

  /** Time until the next attempt is due; 0 when there is no wait. */
  get delayMs(): number {
    return this.#failure === undefined ? 0 : Math.max(0, this.#retryAtMs - this.#monotonicMs());
  }

  /** What `task` returns, or false when it found a disk full or no handle left. */
  attempt(task: () => boolean): boolean {
    let result: boolean;
    try {
      result = task();
    } catch (error) {
      if (!isPassing(error)) throw error;
      const isFirst = this.#failure === undefined;
      this.#failure = error;
      this.#retryAtMs = this.#monotonicMs() + RETRY_MS;
      if (isFirst) this.#events.onPaused(error.message);
      return false;
    }
    if (this.#failure === undefined) return result;
    this.#failure = undefined;
    this.#events.onResumed();
    return result;
  }
}
