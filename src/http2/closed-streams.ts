/** Streams that were closed lately, and by whom: what still comes for them is late, or is a fault. */

const REMEMBERED = 512;

export class ClosedStreams {
  /** Twice the id, and one more where this end has reset it. */
  #marks: Uint32Array | undefined;

  add(id: number, resetHere: boolean): void {
    this.#marks ??= new Uint32Array(REMEMBERED);
    this.#marks[(id >>> 1) % REMEMBERED] = 2 * id + (resetHere ? 1 : 0);
  }

  has(id: number): boolean {
    const mark = this.#markAt(id);
    return mark === 2 * id || mark === 2 * id + 1;
  }

  wasResetHere(id: number): boolean {
    return this.#markAt(id) === 2 * id + 1;
  }

  #markAt(id: number): number {
    return this.#marks?.[(id >>> 1) % REMEMBERED] ?? 0;
  }
}
