/**
 * What a connection has to send and its peer has not taken, be it that the kernel's buffer is full or that the peer's
 * windows are closed: reported to the budget that all connections of a server share (output-budget.ts in remoting).
 */
import type { OutputBudget, OutputHolder } from "../remoting/output-budget.js";
import type { Output } from "./output.js";
import type { Sender } from "./sender.js";

export class UnreadOutput {
  readonly #output: Output;
  readonly #sender: Sender;
  readonly #budget: OutputBudget | undefined;
  readonly #holder: OutputHolder;
  #waits = false;
  /** Of all that was ever taken: when it is so much, all that waited at the budget's time has gone. */
  #takenMark = 0;
  #ended = false;

  constructor(output: Output, sender: Sender, budget: OutputBudget | undefined, holder: OutputHolder) {
    this.#output = output;
    this.#sender = sender;
    this.#budget = budget;
    this.#holder = holder;
  }

  get bytes(): number {
    return this.#sender.queuedBytes + this.#output.pendingBytes;
  }

  /** Output was taken, or not, or given up. */
  note(): void {
    const budget = this.#budget;
    if (budget === undefined || this.#ended) return;
    const { bytes } = this;
    const end = this.#output.takenBytes + bytes;
    const isYounger = this.#output.takenBytes >= this.#takenMark;
    if (this.#waits && (bytes === 0 || isYounger)) {
      budget.end(this.#holder);
      this.#waits = false;
    }
    if (bytes === 0) return;
    this.#takenMark = this.#waits ? Math.min(this.#takenMark, end) : end;
    this.#waits = true;
    budget.wait(this.#holder, bytes);
  }

  /** The connection sends nothing more. */
  end(): void {
    if (!this.#ended) this.#budget?.end(this.#holder);
    this.#ended = true;
  }
}
