/**
 * How much a producer has on its way at once (backPressureForAsyncSendNum and backPressureForAsyncSendSize of
 * client/producer/DefaultMQProducer.java): further sends wait for their turn, so memory stays bounded however fast the
 * application is.
 */
import { TooManySendsError } from "./errors.js";

interface Waiter {
  readonly bytes: number;
  readonly enter: () => void;
}

export class SendRoom {
  readonly #countMax: number;
  readonly #bytesMax: number;
  readonly #waiting = new Set<Waiter>();
  #count = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  /** Enters at once where there is room. Who entered has to leave. */
  tryEnter(bytes: number): boolean {
    if (this.#waiting.size > 0 || !this.#fits(bytes)) return false;
    this.#enter(bytes);
    return true;
  }

  /** For who does not wait. */
  refusal(): TooManySendsError {
    const limits = `of at most ${this.#countMax} sends and ${this.#bytesMax} bytes`;
    return new TooManySendsError(`${this.#count} sends with ${this.#bytes} bytes are on their way, ${limits}.`);
  }

  /** In the order of the calls; `entered` resolves inside. `giveUp` is for who waits no longer: it leaves if need be. */
  enter(bytes: number): { readonly entered: Promise<void>; giveUp(): void } {
    let inside = false;
    let waiter: Waiter | undefined;
    const entered = new Promise<void>((resolve) => {
      waiter = {
        bytes,
        enter: () => {
          inside = true;
          resolve();
        },
      };
      this.#waiting.add(waiter);
    });
    const giveUp = () => {
      this.#waiting.delete(waiter!);
      if (inside) this.leave(bytes);
      else this.#admit();
    };
    return { entered, giveUp };
  }

  leave(bytes: number): void {
    this.#count--;
    this.#bytes -= bytes;
    this.#admit();
  }

  #admit(): void {
    for (const waiter of this.#waiting) {
      if (!this.#fits(waiter.bytes)) return;
      this.#waiting.delete(waiter);
      this.#enter(waiter.bytes);
      waiter.enter();
    }
  }

  /** What is larger than all the room goes alone. */
  #fits(bytes: number): boolean {
    return this.#count === 0 || (this.#count < this.#countMax && this.#bytes + bytes <= this.#bytesMax);
  }

  #enter(bytes: number): void {
    this.#count++;
    this.#bytes += bytes;
  }
}
