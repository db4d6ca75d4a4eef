/** A broker with timers on a disk in memory that outlives it: closed, or killed as a process is, and started again. */
import type { DirectoryLock } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import type { StoreOptions } from "#src/store/options.js";
import { RequestCode } from "#src/remoting/codes.js";
import { type Answered, FakeClock } from "./harness.js";
import { StoreBroker } from "./store-broker.js";

export const ROOT = "/data/store";
export const TIMER_TOPIC = "rmq_sys_wheel_timer";
export const HOUR_MS = 3_600_000;

/** What a killed process held is free again. */
export class KillDisk extends MemoryDisk {
  override lock(): DirectoryLock {
    return { release: () => {} };
  }
}

/** The wall clock can be set; timers go by the other one. */
export class SteppedClock extends FakeClock {
  offsetMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.offsetMs;
  }
}

export interface TimerBrokerOptions {
  readonly config?: Partial<BrokerConfig>;
  readonly store?: Partial<StoreOptions>;
  readonly disk?: MemoryDisk;
}

export class TimerBroker {
  readonly disk: MemoryDisk;
  readonly clock = new SteppedClock();
  readonly #options: TimerBrokerOptions;
  #broker: StoreBroker | undefined;

  private constructor(options: TimerBrokerOptions) {
    this.#options = options;
    this.disk = options.disk ?? new KillDisk(this.clock);
  }

  static async open(options: TimerBrokerOptions = {}): Promise<TimerBroker> {
    const timers = new TimerBroker(options);
    await timers.start();
    return timers;
  }

  get broker(): StoreBroker {
    return this.#broker!;
  }

  async start(): Promise<void> {
    const { config, store } = this.#options;
    this.#broker = await StoreBroker.open({
      disk: this.disk,
      clock: this.clock,
      config: { recallMessageEnable: true, mappedFileSizeTimerLog: 8192, ...config },
      store: { threads: false, ...store },
    });
    this.broker.timers.start();
    await this.advance(0);
  }

  /** Nothing more happens in the old process, and nothing is saved. */
  async kill(): Promise<void> {
    // Of what was answered nothing is missing.
    this.broker.store.publish();
    this.clock.dropTasks();
    await this.start();
  }

  async restart(): Promise<void> {
    await this.broker.close();
    this.clock.dropTasks();
    await this.start();
  }

  get nowMs(): number {
    return this.clock.nowMs();
  }

  send(properties: Record<string, string>, body = "body", topic = "T"): Answered {
    return this.broker.send(properties, { topic }, body);
  }

  /** The recall handle. */
  wait(properties: Record<string, string>, body = "body", topic = "T"): string {
    const { code, remark, fields } = this.send(properties, body, topic);
    if (code !== 0) throw new Error(`code ${code}: ${remark}`);
    return fields["recallHandle"]!;
  }

  recall(recallHandle: string, topic = "T"): Answered {
    return this.broker.broker.ask(RequestCode.RECALL_MESSAGE, { producerGroup: "P", topic, recallHandle });
  }

  /** Bodies in the order of delivery. */
  delivered(topic = "T"): string[] {
    return this.broker.bodies(topic, 1);
  }

  async advance(ms: number): Promise<void> {
    await this.broker.settle();
    this.clock.advance(ms);
    await this.broker.settle();
    // Portions, and what the disk is waited for.
    for (let i = 0; i < 5; i++) {
      this.clock.advance(0);
      await this.broker.settle();
    }
  }

  async close(): Promise<void> {
    await this.broker.close();
  }
}
