/**
 * When a broker answers SYSTEM_BUSY: which codes may wait how long, by the settings that Apache has for the queues before
 * its thread pools (broker/latency/BrokerFastFailure.java, BrokerController#registerProcessor). Sends that wait for the
 * disk count as held, but are not late, however slow it is: they have been taken.
 */
import { native } from "../../io/native.js";
import { RequestCode } from "../../remoting/codes.js";
import type { FlowLimits } from "../../remoting/flow-control.js";
import type { BrokerConfig } from "./broker-options.js";
import type { FlushWaiters } from "./flush-waiters.js";

type WaitOption = Extract<keyof BrokerConfig, `waitTimeMillsIn${string}`>;

const WAIT_OPTIONS: ReadonlyMap<number, WaitOption> = new Map([
  [RequestCode.SEND_MESSAGE, "waitTimeMillsInSendQueue"],
  [RequestCode.SEND_MESSAGE_V2, "waitTimeMillsInSendQueue"],
  [RequestCode.SEND_BATCH_MESSAGE, "waitTimeMillsInSendQueue"],
  [RequestCode.CONSUMER_SEND_MSG_BACK, "waitTimeMillsInSendQueue"],
  [RequestCode.RECALL_MESSAGE, "waitTimeMillsInSendQueue"],
  [RequestCode.PULL_MESSAGE, "waitTimeMillsInPullQueue"],
  [RequestCode.PEEK_MESSAGE, "waitTimeMillsInPullQueue"],
  [RequestCode.POP_MESSAGE, "waitTimeMillsInPullQueue"],
  [RequestCode.NOTIFICATION, "waitTimeMillsInPullQueue"],
  [RequestCode.POLLING_INFO, "waitTimeMillsInPullQueue"],
  [RequestCode.LITE_PULL_MESSAGE, "waitTimeMillsInLitePullQueue"],
  [RequestCode.HEART_BEAT, "waitTimeMillsInHeartbeatQueue"],
  [RequestCode.END_TRANSACTION, "waitTimeMillsInTransactionQueue"],
  [RequestCode.ACK_MESSAGE, "waitTimeMillsInAckQueue"],
  [RequestCode.BATCH_ACK_MESSAGE, "waitTimeMillsInAckQueue"],
  [RequestCode.CHANGE_MESSAGE_INVISIBLETIME, "waitTimeMillsInAckQueue"],
]);

export class FastFailure implements FlowLimits {
  readonly #config: BrokerConfig;
  readonly #waiters: Pick<FlushWaiters, "count">;

  constructor(config: BrokerConfig, waiters: Pick<FlushWaiters, "count">) {
    this.#config = config;
    this.#waiters = waiters;
  }

  /** Asked for at the first request: a broker on memory that meets no socket loads nothing for it. */
  get unreadBytes(): ((fd: number) => number) | undefined {
    return native()?.unreadBytes;
  }

  get takenCount(): number {
    return this.#waiters.count;
  }

  get isFull(): boolean {
    return this.#waiters.count > this.#config.sendThreadPoolQueueCapacity && this.#config.brokerFastFailureEnable;
  }

  waitMsMax(code: number): number | undefined {
    const option = this.#config.brokerFastFailureEnable ? WAIT_OPTIONS.get(code) : undefined;
    return option && this.#config[option];
  }

  heldCountMax(code: number): number | undefined {
    const isSend = this.#config.brokerFastFailureEnable && WAIT_OPTIONS.get(code) === "waitTimeMillsInSendQueue";
    return isSend ? this.#config.sendThreadPoolQueueCapacity : undefined;
  }
}
