/** Requests whose replies are waited for, by correlation id (client/producer/RequestFutureHolder.java). */
import type { Clock } from "../base/clock.js";
import { decompressBody } from "../record/compression.js";
import { parseProperties } from "../record/properties.js";
import { PropertyName } from "../record/property-names.js";
import { isCompressed } from "../record/sys-flag.js";
import type { BrokerRequest } from "./broker-requests.js";
import { RequestTimeoutError } from "./errors.js";
import { abortable } from "./waiting.js";

const BODY_BYTES_MAX = 256 * 1024 * 1024;

/** What somebody answered to a request. */
export interface Reply {
  readonly body: Buffer;
  readonly properties: ReadonlyMap<string, string>;
  /** Who replied: `address:port`. */
  readonly bornHost: string;
  readonly bornTimestamp: number;
  /** The body as UTF-8. */
  text(): string;
}

interface Waiter {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

export class ReplyWaiters {
  readonly #clock: Clock;
  readonly #waiters = new Map<string, Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rejects with RequestTimeoutError, or with the signal's reason. */
  wait(correlationId: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Reply> {
    let timer: { cancel(): void } | undefined;
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#waiters.set(correlationId, { resolve, reject });
      timer = this.#clock.schedule(timeoutMs, () => reject(new RequestTimeoutError(correlationId, timeoutMs)));
    });
    return abortable(reply, signal).finally(() => {
      timer?.cancel();
      this.#waiters.delete(correlationId);
    });
  }

  /** PUSH_REPLY_MESSAGE_TO_CLIENT; a reply that nobody waits for any more is dropped. */
  async take({ fields, body }: BrokerRequest): Promise<undefined> {
    const properties = parseProperties(fields.get("properties") ?? "");
    const waiter = this.#waiters.get(properties.get(PropertyName.CORRELATION_ID) ?? "");
    if (waiter === undefined) return;
    const sysFlag = Number(fields.get("sysFlag") ?? 0);
    const content = isCompressed(sysFlag) ? await decompressBody(body, sysFlag, BODY_BYTES_MAX) : body;
    waiter.resolve({
      body: content,
      properties,
      bornHost: (fields.get("bornHost") ?? "").replace(/^\//, ""),
      bornTimestamp: Number(fields.get("bornTimestamp") ?? 0),
      text: () => content.toString("utf8"),
    });
  }

  failAll(error: Error): void {
    for (const waiter of this.#waiters.values()) waiter.reject(error);
  }
}
