/** A broker that pops, without sockets: it can be closed and opened again, or killed as it stands, on a disk in memory. */
import { expect } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecords, type MessageExt } from "#src/record/decode.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { FlushWaiters } from "#src/server/broker/flush-waiters.js";
import { PopService } from "#src/server/broker/pop/pop-service.js";
import type { StoreOptions } from "#src/store/options.js";
import { type Answered, FakeClock } from "../unit/broker/harness.js";
import { StoreBroker } from "../unit/broker/store-broker.js";
import { type DiskImage, imageOf } from "./store-fixture.js";

export const POP_ROOT = "/data/store";
export const GROUP = "G";
export const TOPIC = "T";

export interface Held {
  readonly body: string;
  readonly message: MessageExt;
  readonly handle: string;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  /** Ordered pops: how often it was popped before. */
  readonly orderCount: number;
}

export class PopLife {
  readonly clock = new FakeClock();
  readonly #config: Partial<BrokerConfig>;
  readonly #queues: number;
  readonly #store: Partial<StoreOptions>;
  base!: StoreBroker;
  service!: PopService;

  constructor(queues: number, config: Partial<BrokerConfig> = {}, store: Partial<StoreOptions> = {}) {
    this.#store = store;
    this.#queues = queues;
    this.#config = config;
  }

  async open(disk = new MemoryDisk(this.clock)): Promise<this> {
    this.base = await StoreBroker.open({
      disk,
      clock: this.clock,
      config: { brokerName: "broker-a", ...this.#config },
      store: this.#store,
    });
    const { context, processors } = this.base.broker;
    this.service = new PopService(context, this.base.store, new FlushWaiters(this.clock));
    this.service.register(processors);
    this.service.recover();
    this.service.start();
    context.topics.createInSendMessage(TOPIC, "TBW102", "", this.#queues, 0);
    context.groups.find(GROUP);
    return this;
  }

  /** Closed as the broker closes it. */
  async restart(): Promise<void> {
    const { disk } = this.base;
    await this.close();
    await this.open(disk as MemoryDisk);
  }

  async close(): Promise<void> {
    this.service.quiesce();
    this.service.close();
    this.saveFiles();
    await this.base.close();
  }

  saveFiles(): void {
    const { offsets, topics, groups } = this.base.broker.context;
    for (const { saver } of [offsets, topics, groups]) saver.save();
  }

  image(): DiskImage {
    // Of what was answered nothing is missing.
    this.base.store.publish();
    return imageOf(this.base.disk, POP_ROOT);
  }

  /** Killed: the disk stays as it is, and what the process knew is gone. `keep` decides about single files. */
  async kill(keep: (path: string) => boolean = () => true): Promise<void> {
    const disk = new MemoryDisk(this.clock);
    for (const [path, bytes] of this.image()) {
      if (!keep(path)) continue;
      disk.makeDirectory(path.slice(0, path.lastIndexOf("/")));
      disk.writeAtomically(path, bytes);
    }
    const dead = this.base;
    this.service.quiesce();
    this.service.state.journal.onRecord = () => {};
    await this.open(disk);
    await dead.store.close().catch(() => {});
  }

  async send(body: string, queueId: number, properties: Record<string, string> = {}): Promise<void> {
    expect(this.base.send(properties, { queueId, topic: TOPIC }, body).code).toBe(0);
    await this.base.settle();
  }

  ask(code: number, fields: Fields, body?: Buffer): Answered {
    return this.base.broker.ask(code, fields, body);
  }

  /** For requests that wait for the disk. */
  askLate(code: number, fields: Fields): Promise<Answered> {
    return this.base.broker.askLate(code, fields);
  }

  pop(fields: Fields = {}): Held[] {
    const all = {
      consumerGroup: GROUP,
      topic: TOPIC,
      queueId: -1,
      maxMsgNums: 32,
      invisibleTime: 60_000,
      pollTime: 0,
      bornTime: 0,
      initMode: 0,
      order: false,
      ...fields,
    };
    return heldOf(this.ask(RequestCode.POP_MESSAGE, all));
  }

  ack(held: Held): number {
    return this.ask(RequestCode.ACK_MESSAGE, handleFields(held)).code;
  }

  /** Undefined when it was refused. */
  change(held: Held, invisibleTime: number): Held | undefined {
    const answer = this.ask(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, { ...handleFields(held), invisibleTime });
    if (answer.code !== ResponseCode.SUCCESS) return undefined;
    const parts = held.handle.split(" ");
    parts.splice(1, 2, answer.fields.popTime!, answer.fields.invisibleTime!);
    return { ...held, handle: parts.join(" ") };
  }

  committed(topic: string, queueId: number): number {
    return this.base.broker.context.offsets.queryOffset(GROUP, topic, queueId);
  }

  async advance(ms: number): Promise<void> {
    await this.base.advance(ms);
    // What was given out again counts as done when the disk has it, and that is told to a waiter.
    await this.base.settle();
  }
}

export function handleFields({ handle, topic, queueId, queueOffset }: Held): Fields {
  return { consumerGroup: GROUP, topic, queueId, extraInfo: handle, offset: queueOffset };
}

function heldOf(answer: Answered): Held[] {
  if (answer.code !== ResponseCode.SUCCESS) {
    expect([answer.code, answer.remark]).toEqual([ResponseCode.POLLING_TIMEOUT, "NO_MESSAGE_IN_QUEUE"]);
    return [];
  }
  const starts = new Map(
    answer.fields.startOffsetInfo!.split(";").map((piece) => {
      const [mark, queueId, offset] = piece.split(" ");
      return [`${mark} ${queueId}`, offset];
    }),
  );
  const { popTime, invisibleTime, reviveQid } = answer.fields;
  const counts = new Map(
    (answer.fields.orderCountInfo ?? "").split(";").map((piece) => {
      const [mark, key, count] = piece.split(" ");
      return [`${mark} ${key}`, Number(count)];
    }),
  );
  return decodeRecords(answer.body).map((message) => {
    const { queueId, queueOffset } = message;
    const made = `${starts.get(`0 ${queueId}`)} ${popTime} ${invisibleTime} ${reviveQid} 0 broker-a ${queueId} ${queueOffset}`;
    const handle = message.properties.get("POP_CK") ?? made;
    const topic = handle.split(" ")[4] === "1" ? `%RETRY%${GROUP}_${TOPIC}` : TOPIC;
    // As clients read it: the message's own, else the queue's.
    const orderCount = counts.get(`0 qo${queueId}%${queueOffset}`) ?? counts.get(`0 ${queueId}`) ?? 0;
    return { body: message.body.toString(), message, handle, topic, queueId, queueOffset, orderCount };
  });
}
