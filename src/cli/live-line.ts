/** How something goes while it goes: one line on a terminal's stderr, written over and over; elsewhere a line a second. */
const TERMINAL_INTERVAL_MS = 200;
const PLAIN_INTERVAL_MS = 1000;

export class LiveLine {
  readonly #isTerminal = process.stderr.isTTY === true;
  #lastMs = Number.NEGATIVE_INFINITY;
  #isDrawn = false;

  show(text: () => string): void {
    const now = performance.now();
    if (now - this.#lastMs < (this.#isTerminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS)) return;
    this.#lastMs = now;
    if (!this.#isTerminal) {
      process.stderr.write(`${text()}\n`);
      return;
    }
    const width = (process.stderr.columns ?? 80) - 1;
    process.stderr.write(`\r\u001b[K${text().slice(0, width)}`);
    this.#isDrawn = true;
  }

  /** Before anything else is written to the terminal, and at the end. */
  clear(): void {
    if (!this.#isDrawn) return;
    process.stderr.write("\r\u001b[K");
    this.#isDrawn = false;
  }
}
