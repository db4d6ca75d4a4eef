/** Asks a broker something small, again and again: how long its event loop, and whoever shares it, keeps others waiting. */
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { heartbeatBody } from "../unit/broker/harness.js";
import { onEnd, pause } from "./scratch.js";

const EVERY_MS = 25;
const ANSWER_MS = 20_000;

type Ask = (client: RemotingClient) => Promise<unknown>;

const askMaxOffset: Ask = (client) =>
  client.call(RequestCode.GET_MAX_OFFSET, { topic: "Probed", queueId: 0 }, undefined, ANSWER_MS);

/** As a consumer of T0 that lives. */
export const heartbeat: Ask = async (client) => {
  const body = Buffer.from(heartbeatBody("probe", "Beating", [["T0", "*"]]));
  const { code, remark } = await client.call(RequestCode.HEART_BEAT, {}, body, ANSWER_MS);
  if (code !== ResponseCode.SUCCESS) throw new Error(`${code} ${remark}`);
};

/** All on one connection; `ask` fails by throwing. */
export class Probe {
  readonly latenciesMs: number[] = [];
  failures = 0;
  readonly #client: RemotingClient;
  readonly #ask: Ask;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(port: number, ask: Ask = askMaxOffset) {
    this.#ask = ask;
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
        await this.#ask(this.#client);
        this.latenciesMs.push(performance.now() - startedMs);
      } catch {
        this.failures++;
      }
      await pause(EVERY_MS);
    }
    await this.#client.close();
  }
}
