/** An orderly end by Ctrl-C of a verb that changes something: the first signal asks for it, the second ends at once. */
import { ExitCode } from "./store-run.js";

export class Interrupt {
  readonly #stop = new AbortController();
  readonly #before: () => void;
  /** A read that nothing takes back: of a pipe whose other end is silent. */
  #isReadLeft = false;

  /** `before` is called at each signal, to clear what is drawn. */
  constructor(before: () => void = () => {}) {
    this.#before = before;
    process.on("SIGINT", this.#end);
    process.on("SIGTERM", this.#end);
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get isAsked(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Signals do again what they did before. */
  forget(): void {
    process.off("SIGINT", this.#end);
    process.off("SIGTERM", this.#end);
  }

  /** What comes until the signal. A source that waits is left waiting. */
  async *until<T>(source: AsyncGenerator<T>): AsyncGenerator<T> {
    const { signal } = this;
    let wake: (() => void) | undefined;
    signal.addEventListener("abort", () => wake?.(), { once: true });
    while (!signal.aborted) {
      const next = await new Promise<IteratorResult<T> | undefined>((resolve, reject) => {
        wake = () => resolve(undefined);
        source.next().then(resolve, reject);
      });
      this.#isReadLeft = next === undefined;
      if (next === undefined || next.done === true) break;
      yield next.value;
    }
    // Who reads stdin would keep the process alive.
    if (signal.aborted) process.stdin.destroy();
  }

  readonly #end = (signal: NodeJS.Signals): void => {
    this.#before();
    if (this.#stop.signal.aborted) {
      // An exit would wait for it.
      if (this.#isReadLeft) {
        this.forget();
        process.kill(process.pid, signal);
      } else process.exit(ExitCode.INTERRUPTED);
    }
    this.#stop.abort();
  };
}
