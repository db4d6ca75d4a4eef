/**
 * Notices a thread that never ends its turn: one that spins, or waits for what does not come. It counts its turns in shared
 * memory, also while it has nothing to do; whoever shares its process looks once a second. A process that is stopped as a
 * whole, or whose machine sleeps, looks seldom, and so does not judge.
 */
import type { Clock, Timer } from "../base/clock.js";

const LOOK_MS = 1000;
/** A disk may hold up a write for long, and comes back. */
const LOOKS_MAX = 60;
const LOOKS_BEFORE_WORD = 10;
/** A thread with nothing to do ends a turn at least this often, well before it is spoken of. */
export const REST_MAX_MS = (LOOKS_BEFORE_WORD * LOOK_MS) / 2;

export interface StallEvents {
  /** It has not ended its turn for so long; said once until it does. */
  readonly onSlow: (seconds: number) => void;
  /** It will not any more. Nothing is looked at after that. */
  readonly onStalled: (seconds: number) => void;
}

export class StallWatch {
  readonly #clock: Clock;
  readonly #turns: () => number;
  readonly #events: StallEvents;
  #timer: Timer | undefined;
  #seen: number;
  #looks = 0;

  /** `turns` changes with each turn that the thread ends. */
  constructor(clock: Clock, turns: () => number, events: StallEvents) {
    this.#clock = clock;
    this.#turns = turns;
    this.#events = events;
    this.#seen = turns();
    this.#schedule();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(): void {
    this.#timer = this.#clock.schedule(LOOK_MS, () => this.#look());
  }

  #look(): void {
    const turns = this.#turns();
    this.#looks = turns === this.#seen ? this.#looks + 1 : 0;
    this.#seen = turns;
    const seconds = (this.#looks * LOOK_MS) / 1000;
    if (this.#looks >= LOOKS_MAX) {
      this.#timer = undefined;
      this.#events.onStalled(seconds);
      return;
    }
    if (this.#looks === LOOKS_BEFORE_WORD) this.#events.onSlow(seconds);
    this.#schedule();
  }
}
