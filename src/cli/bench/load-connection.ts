/**
 * A connection that carries many requests at a time, without a promise or an object for each. A request holds a slot from
 * its writing to its answer; its opaque says which, and which of the slot's requests it is.
 */
import { CometError } from "../../base/errors.js";
import { RemotingClient, type RemotingClientOptions } from "../../remoting/client.js";
import type { HeaderView } from "../../remoting/header-view.js";
import type { Connection } from "../../remoting/types.js";

/** From here on opaques are of slots: always nine digits. The requests of a client count from 1. */
export const OPAQUE_BASE = 100_000_000;
const OPAQUE_SPAN = 800_000_000;
export const SLOTS_MAX = 100_000;

/** Output that waits for the kernel beyond this holds further requests back. */
const UNSENT_BYTES_MAX = 8 * 1024 * 1024;

export type SlotAnswer = (slot: number, header: HeaderView, bytes: Buffer, bodyStart: number, bodyEnd: number) => void;

export interface LoadConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly slots: number;
  readonly client: RemotingClientOptions;
  /** What it throws ends the run. */
  readonly onAnswer: SlotAnswer;
  readonly onFailure: (error: Error) => void;
}

export class LoadConnection {
  readonly address: string;
  /** What is not free is in flight. */
  freeSlots: number;
  readonly #client: RemotingClient;
  readonly #slots: number;
  readonly #free: Int32Array;
  /** Of the request that holds the slot; 0 for none. */
  readonly #opaques: Int32Array;
  readonly #generations: Int32Array;
  readonly #onAnswer: SlotAnswer;
  readonly #onFailure: (error: Error) => void;
  #link: Connection | undefined;
  #isClosing = false;

  constructor({ host, port, slots, client, onAnswer, onFailure }: LoadConnectionOptions) {
    this.address = `${host}:${port}`;
    this.#slots = slots;
    this.freeSlots = slots;
    this.#free = Int32Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#opaques = new Int32Array(slots);
    this.#generations = new Int32Array(slots);
    this.#onAnswer = onAnswer;
    this.#onFailure = onFailure;
    this.#client = new RemotingClient(host, port, {
      ...client,
      onAnswer: (header, bytes, bodyStart, bodyEnd) => this.#answered(header, bytes, bodyStart, bodyEnd),
      onDisconnect: () => this.#lost(),
    });
  }

  async open(): Promise<void> {
    await this.#client.connect();
    this.#link = this.#client.connection;
  }

  /** Requests are written here. */
  get link(): Connection {
    return this.#link!;
  }

  /** There is a slot, and the server takes what it is sent. */
  get mayWrite(): boolean {
    return this.freeSlots > 0 && (this.#link!.unsentBytes ?? 0) < UNSENT_BYTES_MAX;
  }

  /** The slot of the next request. */
  take(): number {
    return this.#free[--this.freeSlots]!;
  }

  /** The opaque that the slot's request must have. */
  opaqueOf(slot: number): number {
    const generation = this.#generations[slot]!;
    this.#generations[slot] = (generation + 1) % Math.floor(OPAQUE_SPAN / this.#slots);
    const opaque = OPAQUE_BASE + generation * this.#slots + slot;
    this.#opaques[slot] = opaque;
    return opaque;
  }

  isInFlight(slot: number): boolean {
    return this.#opaques[slot] !== 0;
  }

  release(slot: number): void {
    this.#opaques[slot] = 0;
    this.#free[this.freeSlots++] = slot;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#client.close();
  }

  #answered(header: HeaderView, bytes: Buffer, bodyStart: number, bodyEnd: number): boolean {
    const { opaque } = header;
    if (opaque < OPAQUE_BASE) return false;
    const slot = (opaque - OPAQUE_BASE) % this.#slots;
    // One that was given up as unanswered may be answered yet: it is too late.
    if (this.#opaques[slot] !== opaque || this.#isClosing) return true;
    this.#opaques[slot] = 0;
    try {
      this.#onAnswer(slot, header, bytes, bodyStart, bodyEnd);
    } catch (error) {
      this.#onFailure(error instanceof Error ? error : new Error(String(error)));
    }
    return true;
  }

  #lost(): void {
    if (this.#isClosing) return;
    this.#onFailure(new CometError("COMETMQ_CONNECT", `${this.address} closed the connection.`));
  }
}
