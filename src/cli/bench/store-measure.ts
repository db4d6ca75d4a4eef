/** What the cases of the store benchmark share: clocks, turns, and the loop that puts. */
import { systemClock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { FileDisk } from "../../io/file-disk.js";
import { MessageStore } from "../../store/message-store.js";
import type { StoreOptions } from "../../store/options.js";
import type { StoreMessages } from "./store-messages.js";

/** The event loop gets its turn after so many puts: timers, syncs and the end of the case depend on it. */
const PUTS_A_TURN = 512;
const MICROSECONDS = 1e6;

export const now = (): number => systemClock.monotonicMs() / 1000;
export const rounded = (value: number, digits = 0): number => Number(value.toFixed(digits));

const opened = new Set<Promise<MessageStore>>();
let isEnding = false;

/** A store that `closeStores` knows of. */
export function openStore(options: StoreOptions): Promise<MessageStore> {
  const opening = MessageStore.open(options);
  opened.add(opening);
  return opening;
}

/** Ends the case that runs at its next turn, and closes its stores: for Ctrl-C. */
export async function closeStores(): Promise<void> {
  isEnding = true;
  await Promise.allSettled([...opened].map(async (opening) => (await opening).close()));
}

/** Whether `closeStores` was called. */
export const isAsked = (): boolean => isEnding;

/** Everybody else's turn. A case that is to end never comes back from it. */
export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(() => {
      if (!isEnding) resolve();
    });
  });

/** Of all threads of the process. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / MICROSECONDS;
}

/** Puts until `goOn` says no; returns the seconds it took. */
export async function putWhile(messages: StoreMessages, goOn: () => boolean): Promise<number> {
  const started = now();
  while (goOn()) {
    const nowMs = systemClock.nowMs();
    for (let i = 0; i < PUTS_A_TURN; i++) {
      if (!messages.put(nowMs)) throw new CometError("COMETMQ_STORE_READ_ONLY", "The store refused a message.");
    }
    await turn();
  }
  return now() - started;
}

export function removeTree(path: string, disk: FileDisk = new FileDisk("file")): void {
  if (disk.isDirectory(path)) for (const name of disk.list(path)) removeTree(`${path}/${name}`, disk);
  disk.remove(path);
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
