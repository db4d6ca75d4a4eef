/** The thread of `Pace`: sleeps until the next beat, tells the event loop, and so on until the cell says 2. */
import { parentPort, workerData } from "node:worker_threads";
import { monotonicUs, type PaceTask } from "./pace-task.js";

const STOPPED = 2;
const { startUs, beatUs, cell } = workerData as PaceTask;
const state = new Int32Array(cell);

for (let beat = 0; Atomics.load(state, 0) !== STOPPED; ) {
  const nowUs = monotonicUs();
  const leftUs = startUs + beat * beatUs - nowUs;
  if (leftUs > 0) {
    // Whatever the cell says, this is a sleep; only the end notifies.
    Atomics.wait(state, 0, Atomics.load(state, 0), leftUs / 1000);
    continue;
  }
  // Of beats missed one is enough, and an event loop that is behind is not told again.
  beat = Math.max(beat + 1, Math.floor((nowUs - startUs) / beatUs));
  if (Atomics.compareExchange(state, 0, 1, 0) === 1) parentPort?.postMessage(undefined);
}
