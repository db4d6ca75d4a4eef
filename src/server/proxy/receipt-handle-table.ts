/**
 * Messages whose invisibility the server prolongs for as long as their client lives: those received with `auto_renew`
 * (proxy/service/receipt/DefaultReceiptHandleManager.java). A look every 5 s renews what is about to become visible; what
 * a gone client leaves becomes visible a second later; after three hours renewing ends with the group's own delay.
 */
import type { Timer } from "../../base/clock.js";
import { retryDelayMs } from "./client-settings.js";
import type { ProxyClient } from "./client-table.js";
import { changeInvisible } from "./change-invisible.js";
import type { ProxyServices } from "./proxy.js";
import { Code } from "../../grpc/enums.js";
import { ProxyError } from "./proxy-error.js";
import { decodeReceiptHandle, nextVisibleMs } from "./receipt-handle.js";

const HANDLES_PER_CLIENT_MAX = 100_000;
const MINUTE_MS = 60_000;
const RENEW_MS = [1, 3, 5, 10, 30, 60].map((minutes) => minutes * MINUTE_MS);

export interface ReceivedMessage {
  readonly group: string;
  readonly topic: string;
  readonly messageId: string;
  readonly reconsumeTimes: number;
  /** As the client has it. */
  readonly handle: string;
}

class HeldMessage {
  readonly message: ReceivedMessage;
  readonly receivedMs: number;
  /** The newest. */
  handle: string;
  visibleMs: number;
  renewTimes = 0;
  failedTimes = 0;
  /** Settled when the renewal that is under way has been answered; never rejected. */
  renewal: Promise<unknown> | undefined;
  /** Its client has gone. */
  isLeft = false;

  constructor(message: ReceivedMessage) {
    const { retrieveTime, invisibleTime } = decodeReceiptHandle(message.handle);
    this.message = message;
    this.handle = message.handle;
    this.receivedMs = retrieveTime;
    this.visibleMs = retrieveTime + invisibleTime;
  }
}

export class ReceiptHandleTable {
  /** Client id to where its messages lie. */
  readonly #clients = new Map<string, Map<string, HeldMessage>>();
  readonly #proxy: () => ProxyServices;
  #timer: Timer | undefined;

  constructor(proxy: () => ProxyServices) {
    this.#proxy = proxy;
  }

  /** Messages that are held. */
  get size(): number {
    let size = 0;
    for (const held of this.#clients.values()) size += held.size;
    return size;
  }

  add(client: ProxyClient, message: ReceivedMessage): void {
    let held = this.#clients.get(client.clientId);
    if (held === undefined) {
      held = new Map();
      this.#clients.set(client.clientId, held);
    }
    if (held.size >= HANDLES_PER_CLIENT_MAX) return;
    held.set(keyOf(message.group, message.messageId, message.handle), new HeldMessage(message));
    this.#schedule();
  }

  /**
   * While the broker is asked to prolong the message, which with synchronous flush waits for the disk: nobody knows the
   * handle that it will have. Settled when it is known.
   */
  renewal(clientId: string, group: string, messageId: string, handle: string): Promise<unknown> | undefined {
    return this.#clients.get(clientId)?.get(keyOf(group, messageId, handle))?.renewal;
  }

  /** Takes the message out and answers its newest handle; undefined when it is not held. */
  remove(clientId: string, group: string, messageId: string, handle: string): string | undefined {
    const held = this.#clients.get(clientId);
    if (held === undefined) return undefined;
    const key = keyOf(group, messageId, handle);
    const message = held.get(key);
    if (message === undefined) return undefined;
    held.delete(key);
    if (held.size === 0) this.#clients.delete(clientId);
    return message.handle;
  }

  /** Lets others have what the client had. */
  release(client: ProxyClient): void {
    const held = this.#clients.get(client.clientId);
    this.#clients.delete(client.clientId);
    const { invisibleTimeMillisWhenClear } = this.#proxy().broker.config;
    for (const message of held?.values() ?? []) {
      message.isLeft = true;
      if (message.renewal === undefined) void this.#change(message, invisibleTimeMillisWhenClear);
    }
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Nothing runs while nothing is held. */
  #schedule(): void {
    const { clock, broker } = this.#proxy();
    this.#timer ??= clock.schedule(broker.config.renewSchedulePeriodMillis, () => {
      this.#timer = undefined;
      this.#renewDue();
      if (this.#clients.size > 0) this.#schedule();
    });
  }

  #renewDue(): void {
    const { clock, broker } = this.#proxy();
    const dueMs = clock.nowMs() + broker.config.renewAheadTimeMillis;
    for (const [clientId, held] of this.#clients) {
      for (const [key, message] of held) {
        if (message.visibleMs <= dueMs && message.renewal === undefined) void this.#renew(clientId, held, key, message);
      }
    }
  }

  async #renew(clientId: string, held: Map<string, HeldMessage>, key: string, message: HeldMessage): Promise<void> {
    const { clock, broker } = this.#proxy();
    const { maxRenewRetryTimes, renewMaxTimeMillis } = broker.config;
    const forget = (): void => {
      held.delete(key);
      if (held.size === 0 && this.#clients.get(clientId) === held) this.#clients.delete(clientId);
    };
    if (message.failedTimes >= maxRenewRetryTimes) {
      forget();
      return;
    }
    if (clock.nowMs() - message.receivedMs >= renewMaxTimeMillis) {
      forget();
      const group = broker.groups.get(message.message.group);
      if (group !== undefined) await this.#change(message, retryDelayMs(group, message.message.reconsumeTimes));
      return;
    }
    const renewal = this.#change(message, RENEW_MS[Math.min(message.renewTimes, RENEW_MS.length - 1)]!);
    message.renewal = renewal;
    const outcome = await renewal;
    message.renewal = undefined;
    if (outcome === "renewed") {
      message.renewTimes++;
      message.failedTimes = 0;
      // It went while the broker was being asked: what that has prolonged is ended now.
      if (message.isLeft) await this.#change(message, broker.config.invisibleTimeMillisWhenClear);
    } else if (outcome === "lost") {
      forget();
    } else {
      message.failedTimes++;
    }
  }

  async #change(message: HeldMessage, invisibleMs: number): Promise<"renewed" | "lost" | "failed"> {
    const proxy = this.#proxy();
    try {
      const handle = decodeReceiptHandle(message.handle);
      const changed = await changeInvisible(proxy, proxy.ownConnection, handle, message.message, invisibleMs);
      message.handle = changed;
      message.visibleMs = nextVisibleMs(decodeReceiptHandle(changed));
      return "renewed";
    } catch (err) {
      proxy.log.info({ err, messageId: message.message.messageId }, "an invisible time could not be changed");
      return err instanceof ProxyError && err.code === Code.INVALID_RECEIPT_HANDLE ? "lost" : "failed";
    }
  }
}

/** The same for every handle of one delivery: queue and offset, and the id. */
function keyOf(group: string, messageId: string, handle: string): string {
  const [, , , , topicType, brokerName, queueId, offset] = handle.split(" ");
  return `${group}@${messageId}@${topicType}@${brokerName}@${queueId}@${offset}`;
}
