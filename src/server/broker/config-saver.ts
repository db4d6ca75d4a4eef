/**
 * Keeps one table and its file together: what must be durable is saved at once, what comes in bursts is saved once a
 * moment, and a save that the disk refuses is logged and tried again. Only this writes the file while the broker runs.
 *
 * A save never has the event loop wait for the disk: a slow one would hold up every client's heartbeats and pulls. One
 * save runs at a time; who asks meanwhile shares the next one.
 */
import type { Clock, Timer } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { FastjsonInput } from "../../remoting/fastjson.js";
import type { JsonConfigFile } from "./json-config-file.js";

const SOON_MS = 100;
const RETRY_MS = 1000;

export class ConfigSaver {
  readonly #file: JsonConfigFile | undefined;
  readonly #content: () => FastjsonInput;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Changed since the last save began. */
  #dirty = false;
  /** The save under way, and the one that follows it. */
  #running: Promise<string | undefined> | undefined;
  #next: Promise<string | undefined> | undefined;
  #timer: Timer | undefined;
  /** The last attempt failed, and that was said. */
  #isFailing = false;

  /** Without a file the table lives in memory only. */
  constructor(file: JsonConfigFile | undefined, content: () => FastjsonInput, clock: Clock, log: Logger) {
    this.#file = file;
    this.#content = content;
    this.#clock = clock;
    this.#log = log;
  }

  get dirty(): boolean {
    return this.#dirty;
  }

  /** The table has changed; somebody saves it in time. */
  markDirty(): void {
    this.#dirty = true;
  }

  /** For changes that come in bursts: one save takes all of the next moment. */
  saveSoon(): void {
    this.#dirty = true;
    this.#schedule(SOON_MS);
  }

  /**
   * Saves if there is something to save. Resolves, with what went wrong, if anything, when all that was changed before
   * this call has been tried; undefined when it is on the disk already. After a failure it is tried again later.
   */
  saveIfDirty(): Promise<string | undefined> | undefined {
    if (this.#file === undefined) this.#dirty = false;
    return this.#dirty ? this.save() : this.#running;
  }

  /** The same whether anything has changed or not. */
  save(): Promise<string | undefined> {
    this.#next ??= (this.#running ?? Promise.resolve()).then(() => {
      this.#next = undefined;
      this.#running = this.#save().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    });
    return this.#next;
  }

  async #save(): Promise<string | undefined> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#dirty = false;
    try {
      await this.#file?.save(this.#content());
      if (this.#isFailing) this.#log.info({ path: this.#file?.path }, "a configuration file was saved again");
      this.#isFailing = false;
      return undefined;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!this.#isFailing)
        this.#log.error(
          { path: this.#file?.path, err: error },
          "a configuration file could not be saved, will try again",
        );
      this.#isFailing = true;
      this.#dirty = true;
      this.#schedule(RETRY_MS);
      return message;
    }
  }

  /** Saves what is left and stops trying. */
  async close(): Promise<void> {
    await this.saveIfDirty();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(delayMs: number): void {
    this.#timer ??= this.#clock.schedule(delayMs, () => {
      this.#timer = undefined;
      void this.saveIfDirty();
    });
  }
}
