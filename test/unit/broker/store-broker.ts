/** A broker's processors on a real store, with a clock that the test moves: what is sent can be read back. */

import type { Disk } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord, type MessageExt } from "#src/record/decode.js";
import { formatProperties } from "#src/record/properties.js";
import { parseDelayLevels } from "#src/record/tags-code.js";
import { RequestCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { BrokerStore } from "#src/server/broker/broker-store.js";
import { FlushWaiters } from "#src/server/broker/flush-waiters.js";
import { ReplyMessage } from "#src/server/broker/reply-message.js";
import { ScheduleMessageService } from "#src/server/broker/schedule-message.js";
import { SendBack } from "#src/server/broker/send-back.js";
import { SendMessage } from "#src/server/broker/send-message.js";
import { StoreHosts } from "#src/server/broker/store-hosts.js";
import { RecallMessage } from "#src/server/broker/timer/recall-message.js";
import { TimerAdmin } from "#src/server/broker/timer/timer-admin.js";
import { TimerMessageStore } from "#src/server/broker/timer/timer-message-store.js";
import { TransactionService } from "#src/server/broker/transaction/transaction-service.js";
import { MessageStore } from "#src/store/message-store.js";
import type { StoreOptions } from "#src/store/options.js";
import { type Answered, FakeClock, type FakeConnection, FakeLog, TestBroker } from "./harness.js";

export const STORE_PORT = 24_100;

export interface StoreBrokerOptions {
  readonly disk?: Disk;
  readonly clock?: FakeClock;
  readonly config?: Partial<BrokerConfig>;
  readonly store?: Partial<StoreOptions>;
}

export class StoreBroker {
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly disk: Disk;
  readonly store: MessageStore;
  readonly broker: TestBroker;
  readonly schedule: ScheduleMessageService;
  readonly transactions: TransactionService;
  readonly timers: TimerMessageStore;
  readonly timerAdmin: TimerAdmin;

  private constructor(clock: FakeClock, log: FakeLog, disk: Disk, store: MessageStore, config: BrokerConfig) {
    this.clock = clock;
    this.log = log;
    this.disk = disk;
    this.store = store;
    const options = { store: new BrokerStore(store, config), clock, log };
    this.broker = new TestBroker(config, options, disk);
    const { context, processors } = this.broker;
    const waiters = new FlushWaiters(clock);
    store.onFlushed((position) => waiters.flushed(position));
    const hosts = new StoreHosts(() => STORE_PORT, "");
    this.schedule = new ScheduleMessageService(context, store);
    this.timers = new TimerMessageStore(context, store);
    this.transactions = new TransactionService(context, store, this.schedule, waiters);
    this.transactions.register(processors);
    new SendMessage(
      context,
      store,
      hosts,
      this.schedule,
      this.transactions.transactions,
      this.timers,
      waiters,
    ).register(processors);
    const recall = new RecallMessage({ context, store, hosts, timers: this.timers, waiters });
    recall.register(processors);
    this.timerAdmin = new TimerAdmin(context, store, this.timers, recall);
    new ReplyMessage(context, store, hosts).register(processors);
    new SendBack(context, store, hosts, this.schedule, waiters).register(processors);
  }

  static async open(options: StoreBrokerOptions = {}): Promise<StoreBroker> {
    const { disk = new MemoryDisk(), clock = new FakeClock() } = options;
    const log = new FakeLog();
    const config = defaultBrokerConfig({ storePathRootDir: "/data/store", ...options.config });
    const store = await MessageStore.open({
      directory: config.storePathRootDir,
      disk,
      clock,
      log,
      segmentBytes: 1024 * 1024,
      queueFileBytes: 20_000,
      indexSizes: { maxHashSlotNum: 100, maxIndexNum: 1000 },
      delayLevels: parseDelayLevels(config.messageDelayLevel),
      ...options.store,
    });
    return new StoreBroker(clock, log, disk, store, config);
  }

  /** Lets dispatch run, and what else waits for the end of a turn. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  async advance(ms: number): Promise<void> {
    await this.settle();
    this.clock.advance(ms);
    await this.settle();
    // A retry topic is on the disk before a message goes there.
    if ((await this.broker.context.topics.saver.saveIfDirty()) !== undefined) throw new Error("topics are not saved");
    this.clock.advance(0);
    await this.settle();
  }

  send(properties: Record<string, string>, fields: Fields = {}, body = "body"): Answered {
    return this.broker.ask(
      RequestCode.SEND_MESSAGE,
      {
        producerGroup: "P",
        topic: "T",
        defaultTopic: "TBW102",
        defaultTopicQueueNums: 4,
        queueId: 1,
        sysFlag: 0,
        bornTimestamp: 1_795_000_000_123,
        flag: 7,
        properties: formatProperties(Object.entries(properties)),
        reconsumeTimes: 0,
        unitMode: false,
        ...fields,
      },
      body,
    );
  }

  /** A message that is there to be consumed; answers what it is in the log. */
  async sent(properties: Record<string, string> = {}, fields: Fields = {}): Promise<MessageExt> {
    const { code, remark, fields: answer } = this.send(properties, fields);
    if (code !== 0) throw new Error(`code ${code}: ${remark}`);
    await this.settle();
    return this.messages(String(fields["topic"] ?? "T"), Number(answer["queueId"])).at(-1)!;
  }

  sendBack(fields: Fields, connection?: FakeConnection): Answered {
    const given = { group: "G", delayLevel: 0, originTopic: "T", unitMode: false, maxReconsumeTimes: 16, ...fields };
    return this.broker.ask(RequestCode.CONSUMER_SEND_MSG_BACK, given, undefined, connection);
  }

  /** What consumers can read of a queue; what a power cut took from its midst they pass over. */
  messages(topic: string, queueId = 0): MessageExt[] {
    const queue = this.store.findQueue(topic, queueId);
    const messages: MessageExt[] = [];
    if (queue === undefined) return messages;
    for (let offset = this.store.minOffset(queue); offset < this.store.maxOffset(queue); offset++) {
      const record = this.store.lookUp.messageAt(queue, offset);
      if (record !== undefined) messages.push(decodeRecord(record));
    }
    return messages;
  }

  bodies(topic: string, queueId = 0): string[] {
    return this.messages(topic, queueId).map(({ body }) => body.toString());
  }

  async close(): Promise<void> {
    await this.schedule.close();
    await this.transactions.close();
    this.broker.context.offsets.saver.close();
    this.broker.context.transactionMetrics.saver.close();
    await this.timers.close();
    await this.store.close();
  }
}
