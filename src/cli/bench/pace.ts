/**
 * The beat of a fixed rate. Timers of the event loop are a millisecond coarse, which would be measured instead of the
 * server; so a thread of its own sleeps until the next message is due and wakes the event loop, which meanwhile reads
 * answers. It spins nowhere: the server needs the processor.
 */
import { Worker } from "node:worker_threads";
import type { PaceTask } from "./pace-task.js";

/** Beats come no denser: a beat sends all that is due. */
const BEAT_US_MIN = 200;

export class Pace {
  readonly #worker: Worker;
  readonly #cell: Int32Array;

  /** `onBeat` is called when something is due, from `startUs` on; it may find that nothing is. */
  constructor(startUs: number, intervalUs: number, onBeat: () => void, onFailure: (error: Error) => void) {
    const cell = new SharedArrayBuffer(4);
    this.#cell = new Int32Array(cell);
    this.#cell[0] = 1;
    const task: PaceTask = { startUs, beatUs: Math.max(BEAT_US_MIN, intervalUs), cell };
    this.#worker = new Worker(new URL("./pace-worker.js", import.meta.url), {
      name: "cometmq-bench-pace",
      workerData: task,
    });
    this.#worker.on("message", () => {
      Atomics.compareExchange(this.#cell, 0, 0, 1);
      onBeat();
    });
    this.#worker.on("error", onFailure);
  }

  async stop(): Promise<void> {
    Atomics.store(this.#cell, 0, 2);
    Atomics.notify(this.#cell, 0);
    await this.#worker.terminate();
  }
}
