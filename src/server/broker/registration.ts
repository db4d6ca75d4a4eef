/**
 * Tells name servers of this broker (broker/out/BrokerOuterAPI.java): the one in this process directly, others by
 * request 103, each of them on its own: one that does not answer costs the others nothing. At the start, every
 * `registerNameServerPeriod`, and soon after topics have changed; again and again, ever more slowly, with one that could
 * not be reached, or that was lost and may come back without its routes.
 */
import { networkInterfaces } from "node:os";
import { crc32 } from "node:zlib";
import type { Timer } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { RemotingClient } from "../../remoting/client.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { isLoopback, type TlsClientOptions } from "../../remoting/tls-options.js";
import { innerClient } from "../auth/access-options.js";
import { requestSigner } from "../../remoting/request-signer.js";
import type { RouteTable } from "../namesrv/route-table.js";
import { parseBody } from "../protocol/members.js";
import { writeRegisterBrokerBody } from "../protocol/register-broker-body.js";
import { PERM_READ, PERM_WRITE, type TopicConfig } from "../protocol/topic-config.js";
import { readTopicRouteData, type TopicRouteData } from "../protocol/topic-route-data.js";
import type { BrokerContext } from "./context.js";

/** Changes of topics within this time make one registration, which carries all topics. */
const CHANGE_DELAY_MS = 100;
/** Until the first attempt after a failed one; doubled for each further one. */
const RETRY_MS = 500;
/** A name server that takes longer is not waited for by those who ask for a route. */
const ROUTE_MS_MAX = 3000;
/** Told at once: with names and attributes of the usual length a quarter of what a frame holds. */
const TOPICS_PER_PART = 10_000;
const HA_PORT_OFFSET = 1;
const WILDCARDS = new Set(["0.0.0.0", "::", ""]);

/** Of URLs, and of lists that were meant to have semicolons. */
const NOT_IN_HOSTS = /[\s/?#@,]/;

/** `host:port`, several of them between semicolons; `name` is what they are called where they come from. */
export function parseAddresses(text: string, name = "namesrvAddr"): { host: string; port: number }[] {
  return text
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      const colon = part.lastIndexOf(":");
      const port = Number(part.slice(colon + 1));
      const host = part.slice(0, colon).replace(/^\[|\]$/g, "");
      if (colon <= 0 || host === "" || NOT_IN_HOSTS.test(host) || !Number.isInteger(port) || port < 1 || port > 65535) {
        throw new CometError("COMETMQ_CONFIG", `${name}: ${JSON.stringify(part)} is not host:port.`);
      }
      return { host, port };
    });
}

/** The host under which others reach a server bound to `bindAddress`. */
export function advertisedHost(bindAddress: string): string {
  if (!WILDCARDS.has(bindAddress)) return bindAddress;
  for (const addresses of Object.values(networkInterfaces())) {
    const found = addresses?.find((address) => address.family === "IPv4" && !address.internal);
    if (found !== undefined) return found.address;
  }
  return "127.0.0.1";
}

/** Whether `host`, as seen from here, is where a server bound to `bindAddress` listens. */
function reaches(host: string, bindAddress: string): boolean {
  if (host === bindAddress || (isLoopback(host) && isLoopback(bindAddress))) return true;
  if (!WILDCARDS.has(bindAddress)) return false;
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return isLoopback(host) || own.some(({ address }) => address === host);
}

export function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function nameOf({ host, port }: RemotingClient): string {
  return hostPort(host, port);
}

export class Registration {
  readonly #context: BrokerContext;
  readonly #routeTable: RouteTable | undefined;
  readonly #orderedHere: () => Iterable<string>;
  readonly #clients: RemotingClient[];
  #timer: Timer | undefined;
  #soon: Timer | undefined;
  #retry: Timer | undefined;
  #retryMs = RETRY_MS;
  /** Name servers that have not taken the last registration, or are gone since. */
  readonly #behind = new Set<RemotingClient>();
  /** Of those, the ones of which the log says that they can not be reached. */
  readonly #toldLost = new Set<RemotingClient>();
  /** What those say that refuse this broker, as it was last logged. */
  readonly #toldRefusals = new Map<RemotingClient, string>();
  #closed = false;

  /**
   * `routeTable` is the name server's of this process, if there is one, and `namesrvPort` where it listens: a file may
   * name it among the others, which `tls` is for. `orderedHere` are the topics that it calls ordered.
   */
  constructor(
    context: BrokerContext,
    routeTable: RouteTable | undefined,
    tls?: TlsClientOptions,
    namesrvPort?: number,
    orderedHere: () => Iterable<string> = () => [],
  ) {
    this.#context = context;
    this.#routeTable = routeTable;
    this.#orderedHere = orderedHere;
    const { clock, log } = context;
    const { namesrvAddr, bindAddress } = context.config;
    const isOwn = (host: string, port: number) => port === namesrvPort && reaches(host, bindAddress);
    const addresses = parseAddresses(namesrvAddr).filter(({ host, port }) => !isOwn(host, port));
    const credentials = innerClient(context.config);
    const signer = credentials && requestSigner(credentials);
    this.#clients = addresses.map(({ host, port }) => {
      const onDisconnect = () => this.#fellBehind(client);
      const client = new RemotingClient(host, port, { clock, log, tls, signer, onDisconnect });
      return client;
    });
  }

  /** Registers everywhere; resolves when every name server has answered or could not be reached. */
  async start(): Promise<void> {
    this.#context.topics.onChange = (names) => this.#topicsChanged(names);
    await this.#registerAll();
    this.#repeat();
  }

  #repeat(): void {
    const { clock, config } = this.#context;
    const round = (): void => {
      void this.#registerAll();
      this.#repeat();
    };
    this.#timer = clock.schedule(config.registerNameServerPeriod, round, true);
  }

  #fellBehind(client: RemotingClient): void {
    this.#behind.add(client);
    if (this.#closed || this.#retry !== undefined) return;
    const { clock, config } = this.#context;
    this.#retry = clock.schedule(Math.min(this.#retryMs, config.registerNameServerPeriod), () => {
      this.#retry = undefined;
      this.#retryMs = Math.min(2 * this.#retryMs, config.registerNameServerPeriod);
      if (this.#closed) return;
      const bodies = this.#bodies();
      for (const each of this.#behind) void this.#registerWith(each, bodies);
    });
  }

  /** The name server of this process knows at once: a client that has just made a topic asks for its route next. */
  #topicsChanged(names: readonly string[]): void {
    if (names.length > 0) this.#registerChangesHere(names);
    if (this.#soon !== undefined) return;
    this.#soon = this.#context.clock.schedule(CHANGE_DELAY_MS, () => {
      this.#soon = undefined;
      void this.#registerAll();
    });
  }

  #identity() {
    const { config, brokerAddress } = this.#context;
    const brokerAddr = brokerAddress();
    const colon = brokerAddr.lastIndexOf(":");
    const haHost = config.brokerIP2 || brokerAddr.slice(0, colon);
    const haServerAddr = `${haHost}:${Number(brokerAddr.slice(colon + 1)) + HA_PORT_OFFSET}`;
    const { brokerClusterName: clusterName, brokerName, brokerId } = config;
    return { clusterName, brokerName, brokerId, brokerAddr, haServerAddr };
  }

  #registerChangesHere(names: readonly string[]): void {
    const { staticTopics, topics } = this.#context;
    const known = names.map((name) => topics.get(name)).filter((topic) => topic !== undefined);
    this.#routeTable?.registerChanges({
      ...this.#identity(),
      dataVersion: topics.dataVersion,
      topicConfigTable: this.#told(new Map(known.map((topic) => [topic.name, topic]))),
      topicQueueMappingInfoMap: staticTopics.infos(names),
    });
  }

  #registerHere(): void {
    const { staticTopics, topics } = this.#context;
    this.#routeTable?.register({
      ...this.#identity(),
      dataVersion: topics.dataVersion,
      topicConfigTable: this.#told(topics.configs()),
      topicQueueMappingInfoMap: staticTopics.infos(),
    });
  }

  /** A broker that takes no part in reading or writing says so of every topic. */
  #told(configs: Map<string, TopicConfig>): Map<string, TopicConfig> {
    const { brokerPermission } = this.#context.config;
    const all = PERM_READ | PERM_WRITE;
    if ((brokerPermission & all) === all) return configs;
    const told = ([name, config]: [string, TopicConfig]): [string, TopicConfig] => [
      name,
      { ...config, topicName: name, perm: config.perm & brokerPermission },
    ];
    return new Map(Array.from(configs, told));
  }

  async #registerAll(): Promise<void> {
    if (this.#closed) return;
    this.#registerHere();
    this.#context.topics.markOrdered(this.#orderedHere());
    if (this.#clients.length === 0) return;
    const bodies = this.#bodies();
    await Promise.all(this.#clients.map((client) => this.#registerWith(client, bodies)));
  }

  /**
   * What a name server is told, in parts that fit into a frame. A name server passes over topics it knows from a broker
   * whose version it knows, so each part has a version of its own, and the last one has the real one.
   */
  #bodies(): Buffer[] {
    const { staticTopics, topics, config } = this.#context;
    const all = [...this.#told(topics.configs())];
    const { dataVersion } = topics;
    const size = config.enableSplitRegistration ? config.splitRegistrationSize : TOPICS_PER_PART;
    const partCount = Math.max(1, Math.ceil(all.length / size));
    return Array.from({ length: partCount }, (_, part) => {
      const behind = partCount - 1 - part;
      const wrapper = {
        dataVersion: { ...dataVersion, counter: dataVersion.counter - behind },
        mappingDataVersion: staticTopics.dataVersion,
        topicConfigTable: new Map(all.slice(part * size, (part + 1) * size)),
        topicQueueMappingInfoMap: behind === 0 ? staticTopics.infos() : new Map(),
      };
      return writeRegisterBrokerBody(wrapper, config.compressedRegister);
    });
  }

  async #registerWith(client: RemotingClient, bodies: readonly Buffer[]): Promise<void> {
    for (const body of bodies) {
      if (await this.#tell(client, body)) continue;
      this.#fellBehind(client);
      return;
    }
    this.#behind.delete(client);
    this.#cameBack(client);
    if (this.#behind.size === 0) this.#retryMs = RETRY_MS;
  }

  /** True when the name server has taken it. That it does not is said once, not with each attempt. */
  async #tell(client: RemotingClient, body: Buffer): Promise<boolean> {
    const { config, log, topics } = this.#context;
    const namesrv = nameOf(client);
    const fields = {
      ...this.#identity(),
      compressed: config.compressedRegister,
      bodyCrc32: crc32(body) & 0x7fffffff,
      enableActingMaster: false,
    };
    try {
      const answer = await client.call(RequestCode.REGISTER_BROKER, fields, body, config.registerBrokerTimeoutMills);
      if (answer.code !== ResponseCode.SUCCESS) {
        const { code, remark } = answer;
        if (this.#toldRefusals.get(client) === remark) return false;
        this.#toldRefusals.set(client, remark);
        log.warn({ namesrv, code, remark }, "a name server refused the registration; it is tried again");
      } else if (answer.body.length > 0) {
        topics.markOrdered(orderedTopics(answer.body));
      }
      return answer.code === ResponseCode.SUCCESS;
    } catch (error) {
      if (!this.#toldLost.has(client) && !this.#closed) {
        log.warn({ namesrv, err: error }, "registration with a name server failed; it is tried again");
        this.#toldLost.add(client);
      }
      return false;
    }
  }

  #cameBack(client: RemotingClient): void {
    const wasRefused = this.#toldRefusals.delete(client);
    if (this.#toldLost.delete(client) || wasRefused)
      this.#context.log.info({ namesrv: nameOf(client) }, "registered again");
  }

  /** The route of a topic; undefined where no name server knows it, or none answers. */
  async topicRoute(topic: string): Promise<TopicRouteData | undefined> {
    const route = this.#routeTable?.topicRouteData(topic);
    if (route !== undefined) return route;
    for (const client of this.#clients) {
      try {
        const fields = { acceptStandardJsonOnly: true, topic };
        const answer = await client.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, fields, undefined, ROUTE_MS_MAX);
        if (answer.code === ResponseCode.SUCCESS) return readTopicRouteData(parseBody(answer.body, "TopicRouteData"));
      } catch (error) {
        this.#context.log.debug({ err: error, topic }, "a name server does not tell of a topic");
      }
    }
    return undefined;
  }

  /** Tells every name server that this broker is gone, then stops. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#soon?.cancel();
    this.#retry?.cancel();
    this.#context.topics.onChange = () => {};
    const { clusterName, brokerName, brokerId, brokerAddr } = this.#identity();
    this.#routeTable?.unregister(clusterName, brokerAddr, brokerName);
    const fields = { clusterName, brokerAddr, brokerName, brokerId };
    await Promise.all(
      this.#clients.map(async (client) => {
        if (client.connected) await client.call(RequestCode.UNREGISTER_BROKER, fields, undefined, 1000).catch(() => {});
        client.close();
      }),
    );
  }
}

/** Names in the KVTable of ordered topics that a name server answers with. */
function orderedTopics(body: Buffer): string[] {
  try {
    const { table } = JSON.parse(body.toString("utf8")) as { table?: Record<string, string> };
    return Object.keys(table ?? {});
  } catch {
    return [];
  }
}
