/** Brokers and name servers in this process, over real loopback sockets, and the requests that clients send them. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#src/base/clock.js";
import type { Disk } from "#src/io/disk.js";
import { decodeRecords, type MessageExt } from "#src/record/decode.js";
import { formatProperties } from "#src/record/properties.js";
import { RemotingClient, type RemotingClientOptions } from "#src/remoting/client.js";
import { RequestCode } from "#src/remoting/codes.js";
import type { Fields, RemoteAnswer } from "#src/remoting/types.js";
import { Broker } from "#src/server/broker/broker.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { NameServer, type NameServerOptions } from "#src/server/namesrv/namesrv.js";
import { FakeLog } from "../unit/broker/harness.js";

/** No test waits that long for what does not come. */
export const ANSWER_MS = 20_000;

const closers: (() => Promise<void> | void)[] = [];

/** For afterEach, or afterAll where a file shares what it started: the last started is the first closed. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

export function onCloseAll(close: () => Promise<void> | void): void {
  closers.push(close);
}

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-server-"));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface BrokerSettings {
  /** The store; a new temporary one by default. */
  readonly directory?: string;
  readonly disk?: Disk;
  readonly clock?: Clock;
  readonly config?: Partial<BrokerConfig>;
}

export interface StartedBroker {
  readonly broker: Broker;
  readonly directory: string;
  readonly log: FakeLog;
  /** A client of its own connection. */
  readonly client: (options?: RemotingClientOptions) => RemotingClient;
}

/** Small files, so that starting costs little; nearly everything else is as users have it. */
export async function startBroker(settings: BrokerSettings = {}): Promise<StartedBroker> {
  const directory = settings.directory ?? join(temporaryDirectory(), "store");
  const log = new FakeLog();
  const config = defaultBrokerConfig({
    storePathRootDir: directory,
    listenPort: 0,
    brokerName: "broker-t",
    mappedFileSizeCommitLog: 16 * 1024 * 1024,
    mappedFileSizeConsumeQueue: 20 * 1000,
    maxHashSlotNum: 1000,
    maxIndexNum: 4000,
    // What a test pipelines is served, however busy the machine is.
    waitTimeMillsInSendQueue: 600_000,
    ...settings.config,
  });
  const given = new Set(["mappedFileSizeCommitLog", "mappedFileSizeConsumeQueue"]);
  const { disk, clock } = settings;
  const broker = await Broker.start({ reading: { config, given }, disk, clock, log });
  closers.push(() => broker.close());
  return { broker, directory, log, client: (options) => clientOf(broker.port, options) };
}

export async function startNameServer(options: NameServerOptions = {}): Promise<NameServer> {
  const server = await NameServer.start({ port: 0, ...options });
  closers.push(() => server.close());
  return server;
}

export function clientOf(port: number, options?: RemotingClientOptions): RemotingClient {
  const client = new RemotingClient("127.0.0.1", port, options);
  closers.push(() => client.close());
  return client;
}

/** SendMessageRequestHeader with what a Java client puts there. */
export function sendFields(fields: Fields = {}): Fields {
  return {
    producerGroup: "P",
    topic: "T",
    defaultTopic: "TBW102",
    defaultTopicQueueNums: 4,
    queueId: 0,
    sysFlag: 0,
    bornTimestamp: 1_795_000_000_123,
    flag: 0,
    properties: "",
    reconsumeTimes: 0,
    unitMode: false,
    batch: false,
    ...fields,
  };
}

const LETTERS: Readonly<Record<string, string>> = {
  producerGroup: "a",
  topic: "b",
  defaultTopic: "c",
  defaultTopicQueueNums: "d",
  queueId: "e",
  sysFlag: "f",
  bornTimestamp: "g",
  flag: "h",
  properties: "i",
  reconsumeTimes: "j",
  unitMode: "k",
  maxReconsumeTimes: "l",
  batch: "m",
};

/** The same as SendMessageRequestHeaderV2. */
export function sendFieldsV2(fields: Fields = {}): Fields {
  return Object.fromEntries(Object.entries(sendFields(fields)).map(([name, value]) => [LETTERS[name] ?? name, value]));
}

/** PullMessageRequestHeader of a client that brings its subscription along and does not wait. */
export function pullFields(fields: Fields = {}): Fields {
  return {
    consumerGroup: "G",
    topic: "T",
    queueId: 0,
    queueOffset: 0,
    maxMsgNums: 32,
    sysFlag: PullFlag.SUBSCRIPTION,
    commitOffset: 0,
    suspendTimeoutMillis: 0,
    subscription: "*",
    subVersion: 0,
    ...fields,
  };
}

export const PullFlag = { COMMIT_OFFSET: 1, SUSPEND: 2, SUBSCRIPTION: 4 } as const;

export function properties(entries: Record<string, string>): string {
  return formatProperties(Object.entries(entries));
}

export function send(client: RemotingClient, fields: Fields, body: string | Buffer): Promise<RemoteAnswer> {
  return client.call(RequestCode.SEND_MESSAGE_V2, sendFieldsV2(fields), Buffer.from(body as string), ANSWER_MS);
}

export function pull(client: RemotingClient, fields: Fields = {}): Promise<RemoteAnswer> {
  return client.call(RequestCode.PULL_MESSAGE, pullFields(fields), undefined, ANSWER_MS);
}

/** A pull that waits up to 30 s, for which no test waits. */
export function waitingPull(client: RemotingClient, fields: Fields = {}): Promise<RemoteAnswer> {
  const sysFlag = PullFlag.SUBSCRIPTION | PullFlag.SUSPEND;
  return pull(client, { sysFlag, suspendTimeoutMillis: 30_000, ...fields });
}

export interface Watched {
  readonly answer: Promise<RemoteAnswer>;
  readonly done: boolean;
}

/** An answer whose coming can be asked about: after a round trip on its connection, it would have come before. */
export function watched(answer: Promise<RemoteAnswer>): Watched {
  const state = { answer, done: false };
  const settled = () => {
    state.done = true;
  };
  answer.then(settled, settled);
  return state;
}

/** Everything sent before on this connection has been handled. */
export async function roundTrip(client: RemotingClient): Promise<void> {
  await client.call(RequestCode.GET_BROKER_CONFIG, {}, undefined, ANSWER_MS);
}

export async function pulledMessages(client: RemotingClient, fields: Fields = {}): Promise<MessageExt[]> {
  return decodeRecords((await pull(client, fields)).body);
}

export function bodiesOf(answer: RemoteAnswer): string[] {
  return decodeRecords(answer.body).map(({ body }) => body.toString());
}

/** Paths below `directory`, sorted. */
export function treeOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
}
