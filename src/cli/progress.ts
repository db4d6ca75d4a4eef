/** One line on stderr that tells how far long work is; nothing where stderr is no terminal. */
const BAR_CELLS = 24;
const INTERVAL_MS = 100;

export class Progress {
  readonly #label: string;
  readonly #format: (value: number) => string;
  readonly #isShown: boolean;
  readonly #startMs = performance.now();
  #lastMs = 0;
  #isDrawn = false;

  constructor(label: string, format: (value: number) => string) {
    this.#label = label;
    this.#format = format;
    this.#isShown = process.stderr.isTTY === true;
  }

  update(done: number, total: number): void {
    const now = performance.now();
    if (!this.#isShown || now - this.#lastMs < INTERVAL_MS || total <= 0) return;
    this.#lastMs = now;
    const share = Math.min(1, Math.max(0, done / total));
    const filled = Math.round(share * BAR_CELLS);
    const seconds = (now - this.#startMs) / 1000;
    const left = share > 0.01 && seconds > 2 ? `  ${Math.ceil((seconds / share) * (1 - share))} s left` : "";
    const bar = "█".repeat(filled) + "░".repeat(BAR_CELLS - filled);
    const text = `${this.#label} ${bar} ${Math.floor(share * 100)} %  ${this.#format(done)} of ${this.#format(total)}${left}`;
    process.stderr.write(`\r\u001b[K${text}`);
    this.#isDrawn = true;
  }

  /** Before anything else is written to the terminal, and at the end. */
  clear(): void {
    if (!this.#isDrawn) return;
    process.stderr.write("\r\u001b[K");
    this.#isDrawn = false;
  }
}
