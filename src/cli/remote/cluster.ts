/**
 * A cluster as an administrator sees it: its name servers, the brokers that they know, requests to either. Apache's
 * servers are asked with the same codes as its mqadmin uses (tools/command, client/impl/MQClientAPIImpl.java).
 */
import { CometError } from "../../base/errors.js";
import { RemotingClient, type RemotingClientOptions } from "../../remoting/client.js";
import { RequestCode, ResponseCode, responseCodeName } from "../../remoting/codes.js";
import type { FastjsonMap } from "../../remoting/fastjson.js";
import type { TlsClientOptions } from "../../remoting/tls-options.js";
import type { Fields, RemoteAnswer } from "../../remoting/types.js";
import { type Credentials, requestSigner } from "../../remoting/request-signer.js";
import { AUTO_CREATE_TOPIC } from "../../server/broker/names.js";
import { parseAddresses } from "../../server/broker/registration.js";
import { readClusterInfo } from "../../server/protocol/cluster-info.js";
import { parseBody } from "../../server/protocol/members.js";
import { PERM_INHERIT, PERM_READ, PERM_WRITE } from "../../server/protocol/topic-config.js";
import { MASTER_ID, readTopicRouteData, type TopicRouteData } from "../../server/protocol/topic-route-data.js";

const NO_BODY = Buffer.alloc(0);
/** What a producer asks for when its topic is to be made (defaultTopicQueueNums). */
const NEW_TOPIC_QUEUES = 4;

export interface ClusterOptions {
  /** `host:port`, several between semicolons. */
  readonly namesrv: string;
  readonly timeoutMs: number;
  readonly tls?: TlsClientOptions | undefined;
  /** Requests are signed with them. */
  readonly credentials?: Credentials | undefined;
}

export interface BrokerEntry {
  readonly cluster: string;
  readonly brokerName: string;
  /** Of the master, or of who stands in for it. */
  readonly address: string;
}

export interface QueueEntry {
  readonly topic: string;
  readonly brokerName: string;
  readonly address: string;
  readonly queueId: number;
}

/** Only answers whose code is in the request's list come back; others are errors. */
export class Cluster {
  readonly timeoutMs: number;
  /** How its servers are connected to. */
  readonly clientOptions: RemotingClientOptions;
  readonly #namesrvs: readonly string[];
  readonly #clients = new Map<string, RemotingClient>();
  #givenUp: Error | undefined;

  constructor({ namesrv, timeoutMs, tls, credentials }: ClusterOptions) {
    this.#namesrvs = parseAddresses(namesrv, "--namesrv").map(({ host, port }) =>
      host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
    );
    if (this.#namesrvs.length === 0) throw new CometError("COMETMQ_CONFIG", "--namesrv names no server.");
    this.timeoutMs = timeoutMs;
    const signer = credentials && requestSigner(credentials);
    this.clientOptions = { tls, signer, connectTimeoutMs: timeoutMs };
  }

  /** The answer, whatever its code. COMETMQ_CONNECT also where a connection ended without it. */
  async call(
    address: string,
    code: number,
    fields: Fields = {},
    body?: Buffer,
    timeoutMs = this.timeoutMs,
  ): Promise<RemoteAnswer> {
    if (this.#givenUp !== undefined) throw this.#givenUp;
    try {
      return await this.#client(address).call(code, fields, body ?? NO_BODY, timeoutMs);
    } catch (error) {
      if (this.#givenUp !== undefined) throw this.#givenUp;
      if (!(error instanceof CometError) || error.code !== "COMETMQ_REMOTE") throw error;
      const why = error.summary.replace(/\.$/, "").replace(`${address}: `, "");
      const isStranger = why.startsWith("a frame's ");
      const what = isStranger ? "answers, but not as a RocketMQ server" : "ended the connection without an answer";
      throw new CometError("COMETMQ_CONNECT", `${address} ${what} (${why}).`);
    }
  }

  /** The answer of success; COMETMQ_REMOTE otherwise, with who said no and why. */
  async ask(address: string, code: number, fields: Fields = {}, body?: Buffer): Promise<RemoteAnswer> {
    const answer = await this.call(address, code, fields, body);
    if (answer.code !== ResponseCode.SUCCESS) throw refusedBy(address, answer);
    return answer;
  }

  async askJson(address: string, code: number, fields: Fields = {}, body?: Buffer): Promise<FastjsonMap> {
    return parseBody((await this.ask(address, code, fields, body)).body, `of ${address}`);
  }

  /** The first name server that answers: they all know the same. */
  async askNamesrv(code: number, fields: Fields = {}): Promise<RemoteAnswer> {
    let failure: unknown;
    for (const address of this.#namesrvs) {
      try {
        const answer = await this.call(address, code, fields);
        if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED) throw noNamesrv(address);
        return answer;
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Every name server: what they keep they keep each for itself. */
  async tellNamesrvs(code: number, fields: Fields, body?: Buffer): Promise<void> {
    for (const address of this.#namesrvs) await this.ask(address, code, fields, body);
  }

  get namesrvs(): readonly string[] {
    return this.#namesrvs;
  }

  /** Masters, by name; only that of `cluster`, or at the address or of the name `broker`. */
  async brokers(only: { cluster?: string | undefined; broker?: string | undefined } = {}): Promise<BrokerEntry[]> {
    if (only.broker?.includes(":")) return [{ cluster: "", brokerName: only.broker, address: only.broker }];
    const answer = await this.askNamesrv(RequestCode.GET_BROKER_CLUSTER_INFO);
    if (answer.code !== ResponseCode.SUCCESS) throw refusedBy(this.#namesrvs[0]!, answer);
    const { brokerAddrTable } = readClusterInfo(parseBody(answer.body, "ClusterInfo"));
    const brokers = [...brokerAddrTable.values()]
      .map(({ cluster, brokerName, brokerAddrs }) => ({ cluster, brokerName, address: masterOf(brokerAddrs) }))
      .filter((entry): entry is BrokerEntry => entry.address !== undefined)
      .filter(({ cluster }) => only.cluster === undefined || cluster === only.cluster)
      .filter(({ brokerName }) => only.broker === undefined || brokerName === only.broker)
      .sort((a, b) => (a.brokerName < b.brokerName ? -1 : 1));
    if (brokers.length > 0) return brokers;
    const named = only.broker === undefined ? "" : ` named ${only.broker}`;
    const which = only.cluster === undefined ? named : `${named} of the cluster ${only.cluster}`;
    throw new CometError("COMETMQ_NOT_FOUND", `${this.#namesrvs.join(";")} knows no broker${which}.`);
  }

  /** Undefined where no broker has the topic. */
  async findRoute(topic: string): Promise<TopicRouteData | undefined> {
    const fields = { topic, acceptStandardJsonOnly: true };
    const answer = await this.askNamesrv(RequestCode.GET_ROUTEINFO_BY_TOPIC, fields);
    if (answer.code === ResponseCode.TOPIC_NOT_EXIST) return undefined;
    if (answer.code !== ResponseCode.SUCCESS) throw refusedBy(this.#namesrvs[0]!, answer);
    return readTopicRouteData(parseBody(answer.body, "TopicRouteData"));
  }

  async route(topic: string): Promise<TopicRouteData> {
    const route = await this.findRoute(topic);
    if (route !== undefined) return route;
    const hint = `No route to ${topic}: no broker that ${this.#namesrvs.join(";")} knows has this topic (cometmq topic create ${topic} makes it).`;
    throw new CometError("COMETMQ_NOT_FOUND", hint);
  }

  /** With `queueId` that queue alone; COMETMQ_NOT_FOUND where there is none. */
  async readQueues(topic: string, queueId?: number): Promise<QueueEntry[]> {
    const queues = await this.#queues(topic, PERM_READ);
    const named = queues.filter((queue) => queue.queueId === (queueId ?? queue.queueId));
    if (named.length > 0) return named;
    throw new CometError("COMETMQ_NOT_FOUND", `${topic} has no queue ${queueId} to read from.`);
  }

  /**
   * A topic that does not exist yet has those that its first message makes, where brokers let it: after the route of the
   * topic that new ones are made after.
   */
  async writeQueues(topic: string): Promise<QueueEntry[]> {
    if ((await this.findRoute(topic)) !== undefined) return this.#queues(topic, PERM_WRITE);
    const model = await this.findRoute(AUTO_CREATE_TOPIC);
    const queueDatas = (model?.queueDatas ?? [])
      .filter(({ perm }) => (perm & PERM_INHERIT) !== 0)
      .map((data) => ({ ...data, writeQueueNums: Math.min(data.writeQueueNums, NEW_TOPIC_QUEUES) }));
    return this.#queues(topic, PERM_WRITE, queueDatas.length === 0 ? undefined : { ...model!, queueDatas });
  }

  async #queues(topic: string, perm: number, route?: TopicRouteData): Promise<QueueEntry[]> {
    const { queueDatas, brokerDatas } = route ?? (await this.route(topic));
    const addresses = new Map(brokerDatas.map(({ brokerName, brokerAddrs }) => [brokerName, masterOf(brokerAddrs)]));
    const queues: QueueEntry[] = [];
    for (const data of queueDatas) {
      const address = addresses.get(data.brokerName);
      if ((data.perm & perm) === 0 || address === undefined) continue;
      const count = perm === PERM_READ ? data.readQueueNums : data.writeQueueNums;
      for (let queueId = 0; queueId < count; queueId++) {
        queues.push({ topic, brokerName: data.brokerName, address, queueId });
      }
    }
    if (queues.length > 0) return queues;
    const deed = perm === PERM_READ ? "read" : "written";
    throw new CometError("COMETMQ_NOT_FOUND", `${topic} has no queue that may be ${deed}.`);
  }

  /** What is asked, and what will be, is not waited for: it fails with `reason`. */
  giveUp(reason: Error): void {
    this.#givenUp = reason;
    void this.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #client(address: string): RemotingClient {
    const known = this.#clients.get(address);
    if (known !== undefined) return known;
    const { host, port } = hostAndPort(address);
    const client = new RemotingClient(host, port, this.clientOptions);
    this.#clients.set(address, client);
    return client;
  }
}

export function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  return parseAddresses(address, "address")[0] ?? { host: "", port: 0 };
}

function noNamesrv(address: string): CometError {
  return new CometError("COMETMQ_CONFIG", `${address} is no name server, though perhaps a broker (--namesrv).`);
}

export function refusedBy(address: string, { code, remark }: RemoteAnswer): CometError {
  // What Apache and CometMQ answer to a request that is not signed, or not rightly.
  const isUnsigned = code === ResponseCode.NO_PERMISSION && /username|signature/i.test(remark);
  const hint = isUnsigned ? " --access-key and --secret-key say who asks." : "";
  const told = `${responseCodeName(code)}: ${remark.trim().replace(/\s+/g, " ").replace(/\.$/, "")}.`;
  return new CometError("COMETMQ_REMOTE", `${address} answers ${told}${hint}`);
}

function masterOf(brokerAddrs: ReadonlyMap<number, string>): string | undefined {
  return brokerAddrs.get(MASTER_ID) ?? [...brokerAddrs].sort(([a], [b]) => a - b)[0]?.[1];
}
