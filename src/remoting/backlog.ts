/**
 * How long the requests of one connection have waited, in this process and in the kernel. At some moments it is noted up
 * to which byte of the stream everything had arrived; whoever comes to a byte later knows that it has waited at least
 * since the first moment by which it was there. So an age is never told too high, and nothing is noted for a connection
 * that is served as fast as it sends.
 */

/** Notes are worth no more than this: a moment so soon after the last one adds nothing. */
const NOTE_MS = 10;
const NOTES_MAX = 64;

export class Backlog {
  /** Of the notes: where the stream had come to, and when. Both only grow. */
  #positions: number[] = [];
  #times: number[] = [];
  #notedMs = Number.NEGATIVE_INFINITY;
  #notedFrom = 0;
  #notedFrames = 0;
  #queuedCount = 0;

  /** Nothing is known to have waited. */
  get isEmpty(): boolean {
    return this.#positions.length === 0;
  }

  /** Requests that waited at the last note, as far as it is known. */
  get queuedCount(): number {
    return this.#queuedCount;
  }

  /** Whether a note would be worth its while: asking the kernel costs something. */
  isDue(nowMs: number): boolean {
    return nowMs - this.#notedMs >= NOTE_MS;
  }

  /** At `nowMs` everything below `arrived` is here; `frameCount` frames have been handled, which end at `handled`. */
  note(handled: number, arrived: number, frameCount: number, nowMs: number): void {
    const frames = frameCount - this.#notedFrames;
    const bytes = handled - this.#notedFrom;
    // By the size of what came last: what waits has not been looked at.
    this.#queuedCount = bytes > 0 ? Math.floor(((arrived - handled) * frames) / bytes) : 0;
    this.#notedFrames = frameCount;
    this.#notedFrom = handled;
    this.#notedMs = nowMs;
    this.#forget(handled);
    if (arrived <= (this.#positions.at(-1) ?? handled)) return;
    if (this.#positions.length >= NOTES_MAX) this.#thin();
    this.#positions.push(arrived);
    this.#times.push(nowMs);
  }

  /** For how long the byte below `position` has been here, at least; 0 when that is not known. */
  ageMs(position: number, nowMs: number): number {
    this.#forget(position - 1);
    return this.#times.length === 0 ? 0 : Math.max(0, nowMs - this.#times[0]!);
  }

  clear(): void {
    this.#positions = [];
    this.#times = [];
    this.#queuedCount = 0;
  }

  /** Drops notes of bytes that have all been handled. */
  #forget(handled: number): void {
    let count = 0;
    while (count < this.#positions.length && this.#positions[count]! <= handled) count++;
    if (count === 0) return;
    this.#positions.splice(0, count);
    this.#times.splice(0, count);
    if (this.#positions.length === 0) this.#queuedCount = 0;
  }

  /** Every other note goes: bytes below it then count as younger than they are. */
  #thin(): void {
    const isKept = (_: number, i: number) => i % 2 === 1;
    this.#positions = this.#positions.filter(isKept);
    this.#times = this.#times.filter(isKept);
  }
}
