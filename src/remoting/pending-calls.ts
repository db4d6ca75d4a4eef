/** Requests that one connection has sent and whose answers it waits for, by opaque. */
import type { Clock, Timer } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { requestCodeName } from "./codes.js";
import type { HeaderView } from "./header-view.js";
import type { RemoteAnswer } from "./types.js";

interface Pending {
  readonly resolve: (answer: RemoteAnswer) => void;
  readonly reject: (error: CometError) => void;
  readonly timer: Timer;
}

export class PendingCalls {
  readonly #clock: Clock;
  readonly #peer: string;
  readonly #calls = new Map<number, Pending>();

  constructor(clock: Clock, peer: string) {
    this.#clock = clock;
    this.#peer = peer;
  }

  get count(): number {
    return this.#calls.size;
  }

  /** The promise of the answer to `opaque`. Rejects with COMETMQ_TIMEOUT. */
  add(opaque: number, code: number, timeoutMs: number): Promise<RemoteAnswer> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.schedule(timeoutMs, () => {
        this.#calls.delete(opaque);
        const message = `${this.#peer} did not answer ${requestCodeName(code)} within ${timeoutMs} ms.`;
        reject(new CometError("COMETMQ_TIMEOUT", message));
      });
      this.#calls.set(opaque, { resolve, reject, timer });
    });
  }

  /** Hands an answer to its caller, copied; false when nobody waits for it any more. */
  settle(header: HeaderView, bytes: Buffer, bodyStart: number, bodyEnd: number): boolean {
    const pending = this.#take(header.opaque);
    if (pending === undefined) return false;
    const fields: Record<string, string> = Object.create(null);
    for (const [name, value] of header.fields()) fields[name] = value;
    const body = Buffer.from(bytes.subarray(bodyStart, bodyEnd));
    pending.resolve({ code: header.code, remark: header.remark, fields, body });
    return true;
  }

  /** Every caller gets `error`. */
  failAll(error: CometError): void {
    for (const opaque of [...this.#calls.keys()]) this.#take(opaque)!.reject(error);
  }

  #take(opaque: number): Pending | undefined {
    const pending = this.#calls.get(opaque);
    this.#calls.delete(opaque);
    pending?.timer.cancel();
    return pending;
  }
}
