/**
 * Shares the event loop among the connections of one end. A peer with hundreds of requests in flight fills a whole
 * receive buffer at once, and the next by the time it is answered: without a bound everybody else would wait for all of
 * them. So a connection that has had its share waits here, unread, while the others are read and handled.
 *
 * Work is counted in frames, long ones as several. In one turn of the event loop those who wait get `TURN_WORK` together.
 */

const TURN_WORK = 512;
const SHARE_WORK_MIN = 32;
const WORK_UNIT_BYTES_LOG2 = 12;

/** What a frame of that length counts. */
export function workOf(frameBytes: number): number {
  return 1 + (frameBytes >>> WORK_UNIT_BYTES_LOG2);
}

function shareOf(connectionCount: number): number {
  return Math.max(SHARE_WORK_MIN, Math.floor(TURN_WORK / connectionCount));
}

export class Turns {
  #share = TURN_WORK;
  #waiting: (() => void)[] = [];

  /** Work that a connection may have done before it waits. */
  get share(): number {
    return this.#share;
  }

  /** Has `goOn` called once, when it is this connection's turn. */
  wait(goOn: () => void): void {
    if (this.#waiting.push(goOn) === 1) setImmediate(this.#turn);
    this.#share = Math.min(this.#share, shareOf(this.#waiting.length + 1));
  }

  readonly #turn = (): void => {
    const waiting = this.#waiting;
    this.#share = shareOf(waiting.length);
    const count = Math.min(waiting.length, Math.floor(TURN_WORK / this.#share));
    this.#waiting = waiting.slice(count);
    if (this.#waiting.length > 0) setImmediate(this.#turn);
    let begun = 0;
    try {
      while (begun < count) waiting[begun++]!();
    } finally {
      if (begun < count) this.#waitAgain(waiting.slice(begun, count));
      if (this.#waiting.length === 0) this.#share = TURN_WORK;
    }
  };

  /** One that threw costs the others of its turn no more than another turn of the event loop. */
  #waitAgain(waiting: (() => void)[]): void {
    if (this.#waiting.length === 0) setImmediate(this.#turn);
    this.#waiting = [...waiting, ...this.#waiting];
  }
}
