/** Requests to the broker's processors without sockets: real frames in, real frames out, store and peer are stand-ins. */
import type { Clock, Timer } from "#src/base/clock.js";
import { CometError } from "#src/base/errors.js";
import type { Logger } from "#src/base/log.js";
import type { Disk } from "#src/io/disk.js";
import { type FastjsonMap, parseFastjson } from "#src/remoting/fastjson.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";
import {
  type Connection,
  type Fields,
  type Processor,
  type RemoteAnswer,
  type Request,
  SerializeType,
} from "#src/remoting/types.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { type BrokerContext, type BrokerContextOptions, openBrokerContext } from "#src/server/broker/context.js";
import type { LoadReport } from "#src/server/broker/json-config-file.js";
import { registerTableProcessors } from "#src/server/broker/processors.js";
import { registerResetOffset } from "#src/server/broker/reset-offset.js";
import type { KeyQueryResult, QueueHandle, StorePort, StoreUnit } from "#src/server/broker/store-port.js";

export class FakeClock implements Clock {
  #ms = 1_000_000;
  readonly #tasks = new Set<{ atMs: number; task: () => void }>();

  nowMs(): number {
    return 1_795_250_000_000 + this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  schedule(delayMs: number, task: () => void): Timer {
    const entry = { atMs: this.#ms + delayMs, task };
    this.#tasks.add(entry);
    return { cancel: () => this.#tasks.delete(entry) };
  }

  /** Another clock that goes on from here, with nothing scheduled. */
  continued(): FakeClock {
    const clock = new FakeClock();
    clock.#ms = this.#ms;
    return clock;
  }

  /** As when the process that set them is gone. */
  dropTasks(): void {
    this.#tasks.clear();
  }

  /** Runs what falls due on the way, in order, also what that schedules. */
  advance(ms: number): void {
    const endMs = this.#ms + ms;
    for (;;) {
      const due = [...this.#tasks].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#tasks.delete(due);
      this.#ms = Math.max(this.#ms, due.atMs);
      due.task();
    }
    this.#ms = endMs;
  }
}

export class FakeLog implements Logger {
  readonly lines: { level: string; fields: Record<string, unknown>; message: string }[] = [];
  readonly #add = (level: string) => (fields: object, message: string) => {
    this.lines.push({ level, fields: fields as Record<string, unknown>, message });
  };
  debug = this.#add("debug");
  info = this.#add("info");
  warn = this.#add("warn");
  error = this.#add("error");

  at(level: string, message: RegExp): Record<string, unknown>[] {
    return this.lines.filter((line) => line.level === level && message.test(line.message)).map(({ fields }) => fields);
  }
}

let connections = 0;

export class FakeConnection implements Connection {
  readonly id = ++connections;
  readonly remoteAddress = `127.0.0.1:${50_000 + connections}`;
  readonly remoteHost = Buffer.from([127, 0, 0, 1, 0, 0, 0, 1]);
  readonly localHost = "127.0.0.1";
  readonly localAddress = "127.0.0.1:10911";
  readonly writer = new FrameWriter();
  /** Codes and fields of what the broker pushed. */
  readonly pushed: [number, Fields][] = [];
  readonly pushedBodies: Buffer[] = [];
  closed = false;
  readonly #callbacks: (() => void)[] = [];

  /** What the peer answers when the broker asks it something; what it throws is what goes wrong. */
  answer: (code: number, fields: Fields, body: Uint8Array | undefined) => RemoteAnswer = () => {
    throw new CometError("COMETMQ_REMOTE", "nobody is there.");
  };
  #flushed: (() => void) | undefined;

  flush(): void {
    this.#flushed?.();
  }

  /** Resolves with the next answer that is sent outside a processor. */
  get flushed(): Promise<void> {
    return new Promise((resolve) => {
      this.#flushed = resolve;
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const callback of this.#callbacks) callback();
  }

  onClose(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  pushOneway(code: number, fields: Fields, body?: Uint8Array): void {
    this.pushed.push([code, fields]);
    this.pushedBodies.push(Buffer.from(body ?? []));
  }

  async call(code: number, fields: Fields, body: Uint8Array | undefined): Promise<RemoteAnswer> {
    return this.answer(code, fields, body);
  }
}

interface ModelQueue extends QueueHandle {
  minOffset: number;
  /** Store time of each message from `minOffset` on. */
  times: number[];
  inMemory: boolean;
}

/** A store of numbers: what queues have is set by the test. */
export class ModelStore implements StorePort {
  publish(): boolean {
    return true;
  }

  readonly queues = new Map<string, ModelQueue>();
  readonly deletedTopics: string[] = [];
  readonly records = new Map<number, Buffer>();
  queryByKey: StorePort["queryByKey"] = async (): Promise<KeyQueryResult> => ({
    records: [],
    indexLastUpdateTimestamp: 0,
    indexLastUpdatePhyOffset: 0,
  });

  queue(topic: string, queueId: number): ModelQueue {
    const key = `${topic} ${queueId}`;
    let queue = this.queues.get(key);
    if (queue === undefined) {
      const slot = this.queues.size;
      queue = { topic, topicBytes: Buffer.from(topic), queueId, slot, minOffset: 0, times: [], inMemory: true };
      this.queues.set(key, queue);
    }
    return queue;
  }

  minOffset(queue: QueueHandle): number {
    return (queue as ModelQueue).minOffset;
  }

  maxOffset(queue: QueueHandle): number {
    const { minOffset, times } = queue as ModelQueue;
    return minOffset + times.length;
  }

  readableEnd(queue: QueueHandle): number {
    return this.maxOffset(queue);
  }

  offsetByTime(queue: QueueHandle, timestampMs: number, boundary: "LOWER" | "UPPER"): number {
    const { minOffset, times } = queue as ModelQueue;
    if (boundary === "UPPER") return minOffset + times.findLastIndex((time) => time <= timestampMs);
    const index = times.findIndex((time) => time >= timestampMs);
    return minOffset + (index < 0 ? times.length : index);
  }

  earliestStoreTimestamp(queue: QueueHandle): number {
    return (queue as ModelQueue).times[0] ?? -1;
  }

  messageStoreTimestamp(queue: QueueHandle, queueOffset: number): number {
    const { minOffset, times } = queue as ModelQueue;
    return times[queueOffset - minOffset] ?? -1;
  }

  /** Units of 100 bytes, one after the other. */
  readUnits(queue: QueueHandle, fromOffset: number, countMax: number): StoreUnit[] {
    const count = Math.max(0, Math.min(countMax, this.maxOffset(queue) - fromOffset));
    return Array.from({ length: count }, (_, i) => ({
      phyOffset: (fromOffset + i) * 100,
      sizeBytes: 100,
      tagsCode: 2598920,
    }));
  }

  isInMemory(queue: QueueHandle, queueOffset: number): boolean {
    return (queue as ModelQueue).inMemory && this.messageStoreTimestamp(queue, queueOffset) >= 0;
  }

  lookAt(phyOffset: number): Buffer | undefined {
    return this.records.get(phyOffset);
  }

  topics(): string[] {
    return [...new Set(Array.from(this.queues.values(), ({ topic }) => topic))];
  }

  expiredCalls = 0;
  deleteExpired(): Promise<number> {
    this.expiredCalls++;
    return Promise.resolve(0);
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    this.deletedTopics.push(...topics);
  }

  minPhyOffset = () => 0;
  maxPhyOffset = () => 114_249;
  dispatchBehindBytes = () => 7;
  settled: StorePort["settled"] = () => undefined;
  indexed = (): Promise<void> => Promise.resolve();
  flushBehindBytes = () => 12_698;
  earliestMessageTimestamp = () => 1_795_250_610_880;
  diskUse = () => ({
    commitLogPath: "/data/store/commitlog",
    commitLogTotalBytes: 1000,
    commitLogFreeBytes: 795,
    consumeQueueTotalBytes: 0,
    consumeQueueFreeBytes: 0,
  });
}

export interface Answered {
  readonly code: number;
  readonly remark: string;
  readonly fields: Record<string, string>;
  readonly body: Buffer;
}

export class TestBroker {
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly store = new ModelStore();
  readonly processors = new Map<number, Processor>();
  readonly context: BrokerContext;
  readonly reports: readonly LoadReport[];

  constructor(config: Partial<BrokerConfig> = {}, options: Partial<BrokerContextOptions> = {}, disk?: Disk) {
    const names = { brokerName: "broker-a", brokerClusterName: "DefaultCluster", storePathRootDir: "/data/store" };
    const opened = openBrokerContext({
      reading: { config: defaultBrokerConfig({ ...names, ...config }) },
      store: this.store,
      disk,
      clock: this.clock,
      log: this.log,
      brokerAddress: () => "127.0.0.1:24100",
      ...options,
    });
    this.context = opened.context;
    this.reports = opened.reports;
    registerTableProcessors(this.processors, this.context);
    registerResetOffset(this.processors, this.context);
  }

  ask(code: number, fields: Fields = {}, body?: string | Buffer, connection = new FakeConnection()): Answered {
    return this.askFrame(requestFrame(code, fields, body), connection);
  }

  /** The body of a successful answer as JSON. */
  json(code: number, fields: Fields = {}, body?: string, connection?: FakeConnection): FastjsonMap {
    const answer = this.ask(code, fields, body, connection);
    if (answer.code !== 0) throw new Error(`code ${answer.code}: ${answer.remark}`);
    return parseFastjson(answer.body) as FastjsonMap;
  }

  /** For requests that are not answered at once. */
  askLate(code: number, fields: Fields = {}, body?: string | Buffer, connection?: FakeConnection): Promise<Answered> {
    return this.askFrameLate(requestFrame(code, fields, body), connection);
  }

  async askFrameLate(frame: Buffer, connection = new FakeConnection()): Promise<Answered> {
    const { flushed } = connection;
    this.#process(frame, connection);
    if (connection.writer.length === 0) await flushed;
    return answerOn(connection);
  }

  askFrame(frame: Buffer, connection = new FakeConnection()): Answered {
    this.#process(frame, connection);
    return answerOn(connection);
  }

  #process(frame: Buffer, connection: FakeConnection): void {
    const { header, decoder } = decodeFrame(frame);
    const body = decoder.bytes.subarray(decoder.headerEnd, decoder.bodyEnd);
    const request: Request = {
      header,
      bytes: decoder.bytes,
      bodyStart: decoder.headerEnd,
      bodyEnd: decoder.bodyEnd,
      body,
    };
    const processor = this.processors.get(header.code);
    if (processor === undefined) throw new Error(`no processor for ${header.code}`);
    processor(request, connection);
  }
}

function requestFrame(code: number, fields: Fields, body: string | Buffer | undefined): Buffer {
  const writer = new FrameWriter();
  writer.request(4711, SerializeType.JSON, code, false, fields, body === undefined ? undefined : Buffer.from(body));
  return Buffer.from(writer.buffer.subarray(0, writer.length));
}

/** What was written on `connection`, one whole frame. */
function answerOn({ writer }: FakeConnection): Answered {
  const answer = decodeFrame(Buffer.from(writer.buffer.subarray(0, writer.length)));
  writer.reset(0);
  return {
    code: answer.header.code,
    remark: answer.header.remark,
    fields: Object.fromEntries(answer.header.fields()),
    body: Buffer.from(answer.decoder.bytes.subarray(answer.decoder.headerEnd, answer.decoder.bodyEnd)),
  };
}

function decodeFrame(bytes: Buffer): { header: HeaderView; decoder: FrameDecoder } {
  const decoder = new FrameDecoder();
  decoder.push(bytes);
  const verdict = decoder.next();
  const header = new HeaderView();
  const sound = header.parse(decoder.bytes, decoder.headerStart, decoder.headerEnd, decoder.serializeType);
  if (verdict !== FrameVerdict.FRAME || !sound) throw new Error("not one whole frame");
  return { header, decoder };
}

export function heartbeatBody(
  clientId: string,
  group: string,
  subscriptions: readonly (readonly [topic: string, subString: string, subVersion?: number])[],
  extra: Record<string, unknown> = {},
): string {
  return JSON.stringify({
    clientID: clientId,
    consumerDataSet: [
      {
        groupName: group,
        consumeType: "CONSUME_PASSIVELY",
        messageModel: "CLUSTERING",
        consumeFromWhere: "CONSUME_FROM_LAST_OFFSET",
        unitMode: false,
        subscriptionDataSet: subscriptions.map(([topic, subString, subVersion = 1]) => ({
          topic,
          subString,
          subVersion,
          classFilterMode: false,
          expressionType: "TAG",
          tagsSet: subString === "*" ? [] : subString.split(" || "),
          codeSet: subString === "*" ? [] : [1],
        })),
        ...(extra.consumer as object | undefined),
      },
    ],
    producerDataSet: [{ groupName: "CLIENT_INNER_PRODUCER" }],
    heartbeatFingerprint: 0,
    withoutSub: false,
    ...(extra.heartbeat as object | undefined),
  });
}
