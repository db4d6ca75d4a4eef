/**
 * A run that is interrupted still asks its servers what became of its messages. One that answers nothing, not even whether
 * it is there, is not waited for: who has pressed Ctrl-C wants the terminal back.
 */
import { setTimeout as wait } from "node:timers/promises";
import { CometError } from "../../base/errors.js";

const ANSWER_MS_MAX = 500;
const AGAIN_MS = 100;

export class SilenceGuard {
  readonly #ping: () => Promise<unknown>;
  readonly #silent = new AbortController();
  #isStopped = false;

  /** From `asked` on a server has half a second to answer `ping`; an error is an answer. */
  constructor(asked: AbortSignal, ping: () => Promise<unknown>) {
    this.#ping = ping;
    if (asked.aborted) void this.#watch();
    else asked.addEventListener("abort", () => void this.#watch(), { once: true });
  }

  /** Aborted when nobody answers, with the error that says so. */
  get signal(): AbortSignal {
    return this.#silent.signal;
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #watch(): Promise<void> {
    while (!this.#isStopped) {
      const answered = this.#ping().then(
        () => true,
        () => true,
      );
      const isHeard = await Promise.race([answered, wait(ANSWER_MS_MAX, false, { ref: false })]);
      if (!isHeard) break;
      await wait(AGAIN_MS, undefined, { ref: false });
    }
    if (this.#isStopped) return;
    this.#silent.abort(new CometError("COMETMQ_TIMEOUT", `No answer within ${ANSWER_MS_MAX} ms of the interrupt.`));
  }
}
