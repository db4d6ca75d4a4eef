/** Asks a broker something small, again and again: how long its event loop, and whoever shares it, keeps others waiting. */
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode } from "#src/remoting/codes.js";
import { onEnd, pause } from "./scratch.js";

const EVERY_MS = 25;

export class Probe {
  readonly latenciesMs: number[] = [];
  failures = 0;
  readonly #client: RemotingClient;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(port: number) {
    this.#client = new RemotingClient("127.0.0.1", port);
    this.#running = this.#run();
    onEnd(() => this.stop());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Of what was measured; 0.99 for all but one in a hundred. */
  at(share: number): number {
    const sorted = [...this.latenciesMs].sort((a, b) => a - b);
    return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
  }

  get figures() {
    return { probes: this.latenciesMs.length, p50Ms: this.at(0.5), p99Ms: this.at(0.99), maxMs: this.at(1) };
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const startedMs = performance.now();
      try {
        const fields = { topic: "Probed", queueId: 0 };
        await this.#client.call(RequestCode.GET_MAX_OFFSET, fields, undefined, 20_000);
        this.latenciesMs.push(performance.now() - startedMs);
      } catch {
        this.failures++;
      }
      await pause(EVERY_MS);
    }
    await this.#client.close();
  }
}
