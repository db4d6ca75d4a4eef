/**
 * What the name server knows: clusters, brokers, which of them live, and which queues of which topic they have. Facts
 * follow namesrv/routeinfo/RouteInfoManager.java. Everything is synchronous and in one thread, so each change is whole.
 *
 * A broker comes by connection (then it lives as long as it tells of itself and its connection stands), or it is part
 * of this process and registers without one; that one lives until it unregisters. Two things are kept in step at all
 * times, which Apache's table does not: an address of a broker name has exactly one live entry and the other way round.
 */
import { type Clock, systemClock } from "../../base/clock.js";
import { type Logger, silentLogger } from "../../base/log.js";
import type { Connection } from "../../remoting/types.js";
import { type DataVersion, sameDataVersion } from "../protocol/data-version.js";
import type { BrokerMemberGroup, ClusterInfo } from "../protocol/cluster-info.js";
import { PERM_READ, PERM_WRITE, SYS_FLAG_UNIT, SYS_FLAG_UNIT_SUB, type TopicConfig } from "../protocol/topic-config.js";
import type { TopicList } from "../protocol/topic-list.js";
import {
  type BrokerData,
  MASTER_ID,
  type QueueData,
  type TopicQueueMappingInfo,
  type TopicRouteData,
} from "../protocol/topic-route-data.js";
import { NamesrvConfig } from "./namesrv-config.js";
import { TopicTable } from "./topic-table.js";

const HEARTBEAT_TIMEOUT_MS = 120_000;
const HEARTBEAT_TIMEOUT_MS_MAX = 86_400_000;
/** `TopicValidator.SYNC_BROKER_MEMBER_GROUP_PREFIX`: its route shows who is really there. */
const SYNC_BROKER_MEMBER_GROUP_PREFIX = "rmq_sys_SYNC_BROKER_MEMBER_";

/** What a stranger may put into the tables; far beyond what a cluster has. */
export interface RouteLimits {
  readonly clustersMax: number;
  readonly brokerNamesMax: number;
  readonly brokersPerNameMax: number;
  /** Pairs of a topic and a broker. */
  readonly topicEntriesMax: number;
  readonly nameCharsMax: number;
  /** A topic with more queues is left out: every client makes an object for each. */
  readonly queueNumsMax: number;
  /** Of static topics, over all brokers. */
  readonly mappedQueuesMax: number;
}

export const ROUTE_LIMITS: RouteLimits = {
  clustersMax: 1024,
  brokerNamesMax: 4096,
  brokersPerNameMax: 64,
  topicEntriesMax: 4_000_000,
  nameCharsMax: 255,
  queueNumsMax: 65_536,
  mappedQueuesMax: 4_000_000,
};

export interface BrokerRegistration {
  readonly clusterName: string;
  readonly brokerName: string;
  readonly brokerId: number;
  readonly brokerAddr: string;
  readonly haServerAddr: string;
  readonly zoneName?: string | undefined;
  /** 120 s by default; means nothing without a connection. */
  readonly heartbeatTimeoutMs?: number | undefined;
  /** Undefined for a broker from before 5.0. */
  readonly enableActingMaster?: boolean | undefined;
  readonly dataVersion: DataVersion;
  readonly topicConfigTable: ReadonlyMap<string, TopicConfig>;
  readonly topicQueueMappingInfoMap?: ReadonlyMap<string, TopicQueueMappingInfo> | undefined;
}

export interface TopicChanges {
  readonly clusterName: string;
  readonly brokerName: string;
  readonly brokerAddr: string;
  readonly dataVersion: DataVersion;
  readonly topicConfigTable: ReadonlyMap<string, TopicConfig>;
  readonly topicQueueMappingInfoMap: ReadonlyMap<string, TopicQueueMappingInfo>;
}

export interface RegisterBrokerResult {
  /** Why nothing was registered. */
  readonly refused?: string;
  /** For slaves: where their master is. */
  readonly haServerAddr?: string | undefined;
  readonly masterAddr?: string | undefined;
}

/**
 * The address of a broker of this process as the client on `connection` reaches it; undefined leaves the registered
 * one. Asked each time one is told.
 */
export type AddressFor = (brokerName: string, connection: Connection) => string | undefined;

export interface RouteTableOptions {
  readonly clock?: Clock | undefined;
  readonly log?: Logger | undefined;
  readonly config?: NamesrvConfig | undefined;
  readonly limits?: RouteLimits | undefined;
  readonly addressFor?: AddressFor | undefined;
}

interface LiveBroker {
  readonly clusterName: string;
  readonly brokerName: string;
  readonly brokerId: number;
  readonly brokerAddr: string;
  readonly haServerAddr: string;
  readonly heartbeatTimeoutMs: number;
  dataVersion: DataVersion;
  readonly connection: Connection | undefined;
  lastUpdateMs: number;
}

interface Broker {
  readonly cluster: string;
  readonly brokerName: string;
  readonly live: Map<number, LiveBroker>;
  zoneName: string | undefined;
  enableActingMaster: boolean;
}

const liveKey = (clusterName: string, brokerAddr: string) => `${clusterName}\n${brokerAddr}`;

function minBrokerId(broker: Broker): number {
  let min = Number.MAX_SAFE_INTEGER;
  for (const id of broker.live.keys()) min = Math.min(min, id);
  return min;
}

export class RouteTable {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #config: NamesrvConfig;
  readonly #limits: RouteLimits;
  readonly #addressFor: AddressFor | undefined;
  readonly #topics = new TopicTable();
  readonly #brokers = new Map<string, Broker>();
  readonly #clusters = new Map<string, Set<string>>();
  readonly #live = new Map<string, LiveBroker>();
  readonly #watched = new Set<Connection>();

  constructor(options: RouteTableOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLogger;
    this.#config = options.config ?? new NamesrvConfig();
    this.#limits = options.limits ?? ROUTE_LIMITS;
    this.#addressFor = options.addressFor;
  }

  /**
   * Takes over what the broker tells of itself. Its topics count only when it is the master, or the slave in its place,
   * and when they changed since it last told them.
   */
  register(registration: BrokerRegistration, connection?: Connection): RegisterBrokerResult {
    const { clusterName, brokerName, brokerId, brokerAddr, dataVersion } = registration;
    const refused = this.#refusal(registration, connection);
    if (refused !== undefined) {
      this.#log.warn({ clusterName, brokerName, brokerId, brokerAddr, refused }, "a broker's registration is refused");
      return { refused };
    }
    const key = liveKey(clusterName, brokerAddr);
    const previous = this.#live.get(key);
    const conflict = this.#brokers.get(brokerName)?.live.get(brokerId);
    if (conflict !== undefined && conflict.brokerAddr !== brokerAddr) {
      if (conflict.dataVersion.stateVersion > dataVersion.stateVersion) {
        this.#log.warn({ brokerName, brokerId, brokerAddr, known: conflict.brokerAddr }, "a newer broker has this id");
        if (previous !== undefined) this.#forget(previous);
        return {};
      }
    }
    if (previous !== undefined && previous.brokerName !== brokerName) this.#forget(previous);
    const broker = this.#broker(registration);
    if (previous?.brokerName === brokerName) broker.live.delete(previous.brokerId);
    if (conflict !== undefined && conflict.brokerAddr !== brokerAddr) {
      this.#live.delete(liveKey(conflict.clusterName, conflict.brokerAddr));
    }
    const known = previous?.brokerName === brokerName ? previous.dataVersion : undefined;
    const changed = conflict === undefined || known === undefined || !sameDataVersion(known, dataVersion);
    const live = this.#liveBroker(registration, connection);
    this.#live.set(key, live);
    broker.live.set(brokerId, live);
    if (connection !== undefined) this.#watch(connection);
    if (previous === undefined) this.#log.info({ clusterName, brokerName, brokerId, brokerAddr }, "broker registered");
    this.#takeTopics(registration, broker, changed);
    const master = brokerId === MASTER_ID ? undefined : broker.live.get(MASTER_ID);
    return master === undefined ? {} : { haServerAddr: master.haServerAddr, masterAddr: master.brokerAddr };
  }

  #refusal(registration: BrokerRegistration, connection: Connection | undefined): string | undefined {
    const { clusterName, brokerName, brokerId, brokerAddr, haServerAddr, zoneName = "" } = registration;
    const { nameCharsMax, clustersMax, brokerNamesMax, brokersPerNameMax } = this.#limits;
    for (const [name, text] of Object.entries({ clusterName, brokerName, brokerAddr, haServerAddr, zoneName })) {
      if (text === "" && name !== "haServerAddr" && name !== "zoneName") return `${name} is empty`;
      if (text.length > nameCharsMax) return `${name} is too long`;
    }
    if (!Number.isSafeInteger(brokerId) || brokerId < 0) return "brokerId is not a positive integer";
    const broker = this.#brokers.get(brokerName);
    if (connection !== undefined) {
      const displaced = [broker?.live.get(brokerId), this.#live.get(liveKey(clusterName, brokerAddr))];
      if (displaced.some((live) => live !== undefined && live.connection === undefined)) {
        return "the name server's own broker has this id or address";
      }
    }
    const oneTopic = registration.topicConfigTable.size === 1 && connection !== undefined;
    if (oneTopic && broker?.live.has(brokerId) !== true) return "a single topic comes before its broker";
    if (broker === undefined) {
      if (this.#brokers.size >= brokerNamesMax) return "there are too many brokers";
      if (!this.#clusters.has(clusterName) && this.#clusters.size >= clustersMax) return "there are too many clusters";
      return undefined;
    }
    if (broker.cluster !== clusterName) return `the broker name belongs to the cluster ${broker.cluster}`;
    if (!broker.live.has(brokerId) && broker.live.size >= brokersPerNameMax) return "the broker name has too many ids";
    return undefined;
  }

  #broker(registration: BrokerRegistration): Broker {
    const { clusterName, brokerName, zoneName, enableActingMaster = false } = registration;
    let broker = this.#brokers.get(brokerName);
    if (broker === undefined) {
      broker = { cluster: clusterName, brokerName, live: new Map(), zoneName, enableActingMaster };
      this.#brokers.set(brokerName, broker);
      const names = this.#clusters.get(clusterName);
      if (names === undefined) this.#clusters.set(clusterName, new Set([brokerName]));
      else names.add(brokerName);
    }
    broker.zoneName = zoneName;
    broker.enableActingMaster = enableActingMaster;
    return broker;
  }

  #liveBroker(registration: BrokerRegistration, connection: Connection | undefined): LiveBroker {
    const { clusterName, brokerName, brokerId, brokerAddr, haServerAddr, dataVersion } = registration;
    const asked = registration.heartbeatTimeoutMs ?? HEARTBEAT_TIMEOUT_MS;
    const bounded = asked > 0 ? Math.min(asked, HEARTBEAT_TIMEOUT_MS_MAX) : HEARTBEAT_TIMEOUT_MS;
    return {
      clusterName,
      brokerName,
      brokerId,
      brokerAddr,
      haServerAddr,
      dataVersion,
      connection,
      heartbeatTimeoutMs: connection === undefined ? Number.POSITIVE_INFINITY : bounded,
      lastUpdateMs: this.#clock.monotonicMs(),
    };
  }

  #takeTopics(registration: BrokerRegistration, broker: Broker, changed: boolean): void {
    const { brokerName, brokerId, topicConfigTable, topicQueueMappingInfoMap } = registration;
    const primeSlave =
      brokerId !== MASTER_ID && registration.enableActingMaster !== undefined && brokerId === minBrokerId(broker);
    if (brokerId !== MASTER_ID && !primeSlave) return;
    const mappings = topicQueueMappingInfoMap ?? new Map<string, TopicQueueMappingInfo>();
    if (this.#config.settings.deleteTopicWithBrokerRegistration && mappings.size === 0) {
      const told = new Set([...topicConfigTable.values()].map((config) => config.topicName));
      for (const topic of [...this.#topics.topicsOf(brokerName)]) {
        if (!told.has(topic)) this.#topics.delete(topic, brokerName);
      }
    }
    const readOnly = primeSlave && broker.enableActingMaster;
    for (const config of topicConfigTable.values()) {
      if (!changed && this.#topics.has(config.topicName, brokerName)) continue;
      this.#setTopic(brokerName, config, readOnly);
    }
    if (changed) this.#setMappings(brokerName, mappings);
  }

  #setTopic(brokerName: string, config: TopicConfig, readOnly: boolean): void {
    const { topicName, readQueueNums, writeQueueNums, topicSysFlag } = config;
    const perm = readOnly ? config.perm & ~PERM_WRITE : config.perm;
    this.#setQueueData(topicName, { brokerName, readQueueNums, writeQueueNums, perm, topicSysFlag });
  }

  #setMappings(brokerName: string, mappings: ReadonlyMap<string, TopicQueueMappingInfo>): void {
    const { nameCharsMax, queueNumsMax, mappedQueuesMax } = this.#limits;
    for (const info of mappings.values()) {
      const { topic, scope, currIdMap } = info;
      if (info.bname !== brokerName || !this.#topics.has(topic, brokerName)) continue;
      const isSound = scope.length <= nameCharsMax && currIdMap.size <= queueNumsMax;
      if (isSound && this.#topics.setMapping(info, mappedQueuesMax)) continue;
      this.#log.warn({ topic, brokerName }, "a static topic's mapping is out of bounds and left out");
    }
  }

  /**
   * Takes over the topics that a registered master has made or changed, and its new version of them: the others stay as
   * they are, also where an administrator has wiped their permissions.
   */
  registerChanges(changes: TopicChanges): void {
    const { clusterName, brokerName, brokerAddr, dataVersion, topicConfigTable, topicQueueMappingInfoMap } = changes;
    const live = this.#live.get(liveKey(clusterName, brokerAddr));
    if (live?.brokerName !== brokerName || live.brokerId !== MASTER_ID) return;
    live.dataVersion = dataVersion;
    for (const config of topicConfigTable.values()) this.#setTopic(brokerName, config, false);
    this.#setMappings(brokerName, topicQueueMappingInfoMap);
  }

  #setQueueData(topic: string, data: QueueData): void {
    const { nameCharsMax, queueNumsMax, topicEntriesMax } = this.#limits;
    const sound =
      topic !== "" &&
      topic.length <= nameCharsMax &&
      Math.min(data.readQueueNums, data.writeQueueNums) >= 0 &&
      Math.max(data.readQueueNums, data.writeQueueNums) <= queueNumsMax;
    const room = this.#topics.entryCount < topicEntriesMax || this.#topics.has(topic, data.brokerName);
    if (!sound || !room) {
      this.#log.warn({ topic: topic.slice(0, nameCharsMax), ...data }, "a topic is out of bounds and left out");
    } else if (this.#topics.set(topic, data)) {
      this.#log.debug({ topic, ...data }, "topic registered or changed");
    }
  }

  #watch(connection: Connection): void {
    if (this.#watched.has(connection)) return;
    this.#watched.add(connection);
    connection.onClose(() => {
      this.#watched.delete(connection);
      for (const live of [...this.#live.values()]) {
        if (live.connection !== connection) continue;
        this.#log.info({ brokerName: live.brokerName, brokerAddr: live.brokerAddr }, "a broker's connection is gone");
        this.#forget(live);
      }
    });
  }

  /** False when there is no such broker; a client cannot unregister the process's own. */
  unregister(clusterName: string, brokerAddr: string, brokerName: string, connection?: Connection): boolean {
    const live = this.#live.get(liveKey(clusterName, brokerAddr));
    if (live === undefined || live.brokerName !== brokerName) return false;
    if (live.connection === undefined && connection !== undefined) return false;
    this.#forget(live);
    return true;
  }

  /** Does nothing when it is forgotten already: closing one broker's connection ends all that share it. */
  #forget(live: LiveBroker): void {
    const { clusterName, brokerName, brokerId, brokerAddr } = live;
    const key = liveKey(clusterName, brokerAddr);
    if (this.#live.get(key) !== live) return;
    this.#live.delete(key);
    const broker = this.#brokers.get(brokerName)!;
    broker.live.delete(brokerId);
    this.#log.info({ clusterName, brokerName, brokerId, brokerAddr }, "broker unregistered");
    if (broker.live.size > 0) {
      // The slave that now stands in for the master takes no messages.
      if (broker.enableActingMaster && minBrokerId(broker) > MASTER_ID) {
        this.#topics.changePermissions(brokerName, (perm) => perm & ~PERM_WRITE);
      }
      return;
    }
    this.#brokers.delete(brokerName);
    this.#topics.deleteBroker(brokerName);
    const names = this.#clusters.get(clusterName)!;
    names.delete(brokerName);
    if (names.size === 0) this.#clusters.delete(clusterName);
  }

  /** Lets go of brokers that have not told of themselves in their time. */
  scanNotActiveBroker(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const live of [...this.#live.values()]) {
      if (live.lastUpdateMs + live.heartbeatTimeoutMs >= nowMs) continue;
      const { brokerName, brokerAddr, heartbeatTimeoutMs } = live;
      this.#log.warn({ brokerName, brokerAddr, heartbeatTimeoutMs }, "a broker has not been heard of");
      this.#forget(live);
      live.connection?.close();
    }
  }

  heartbeat(clusterName: string, brokerAddr: string): void {
    const live = this.#live.get(liveKey(clusterName, brokerAddr));
    if (live !== undefined) live.lastUpdateMs = this.#clock.monotonicMs();
  }

  /** The version that the broker last told; undefined for an unknown one. */
  dataVersion(clusterName: string, brokerAddr: string): DataVersion | undefined {
    return this.#live.get(liveKey(clusterName, brokerAddr))?.dataVersion;
  }

  /** Adds to a topic, or makes it; none of it counts when one of the brokers is unknown. */
  registerTopic(topic: string, queueDatas: readonly QueueData[]): void {
    if (queueDatas.some((data) => !this.#brokers.has(data.brokerName))) {
      this.#log.warn({ topic: topic.slice(0, this.#limits.nameCharsMax) }, "a topic names an unknown broker");
      return;
    }
    for (const data of queueDatas) this.#setQueueData(topic, data);
  }

  /** At every broker, or at those of one cluster. */
  deleteTopic(topic: string, clusterName?: string): void {
    if (clusterName === undefined) this.#topics.deleteTopic(topic);
    else for (const brokerName of this.#clusters.get(clusterName) ?? []) this.#topics.delete(topic, brokerName);
  }

  /** Returns how many topics the broker has. It lasts until the broker tells a new version of its topics. */
  wipeWritePerm(brokerName: string): number {
    return this.#topics.changePermissions(brokerName, (perm) => perm & ~PERM_WRITE);
  }

  addWritePerm(brokerName: string): number {
    return this.#topics.changePermissions(brokerName, () => PERM_READ | PERM_WRITE);
  }

  /** Undefined when no broker has the topic. `connection` is the client's, to tell it addresses that it can reach. */
  topicRouteData(topic: string, connection?: Connection): TopicRouteData | undefined {
    const queueDatas = [...this.#topics.queueDatas(topic).values()];
    if (queueDatas.length === 0) return undefined;
    const acting = this.#config.settings.supportActingMaster && !topic.startsWith(SYNC_BROKER_MEMBER_GROUP_PREFIX);
    const brokerDatas = queueDatas.map((data) => {
      const broker = this.#brokers.get(data.brokerName)!;
      const brokerAddrs = this.#brokerAddrs(broker, connection);
      if (acting && broker.enableActingMaster && !brokerAddrs.has(MASTER_ID) && (data.perm & PERM_WRITE) === 0) {
        const id = minBrokerId(broker);
        brokerAddrs.set(MASTER_ID, brokerAddrs.get(id)!);
        brokerAddrs.delete(id);
      }
      return this.#brokerData(broker, brokerAddrs);
    });
    return { queueDatas, brokerDatas, topicQueueMappingByBroker: this.#topics.mappings(topic) };
  }

  #brokerAddrs(broker: Broker, connection: Connection | undefined): Map<number, string> {
    const addrs = new Map<number, string>();
    for (const [id, live] of broker.live) addrs.set(id, this.#address(live, connection));
    return addrs;
  }

  #address(live: LiveBroker, connection: Connection | undefined): string {
    if (live.connection !== undefined || connection === undefined) return live.brokerAddr;
    return this.#addressFor?.(live.brokerName, connection) ?? live.brokerAddr;
  }

  #brokerData(
    { cluster, brokerName, zoneName, enableActingMaster }: Broker,
    brokerAddrs: Map<number, string>,
  ): BrokerData {
    return { cluster, brokerName, brokerAddrs, zoneName, enableActingMaster };
  }

  clusterInfo(connection?: Connection): ClusterInfo {
    const brokerAddrTable = new Map<string, BrokerData>();
    for (const [name, broker] of this.#brokers) {
      brokerAddrTable.set(name, this.#brokerData(broker, this.#brokerAddrs(broker, connection)));
    }
    const clusterAddrTable = new Map([...this.#clusters].map(([cluster, names]) => [cluster, [...names]]));
    return { brokerAddrTable, clusterAddrTable };
  }

  /** Empty for an unknown broker name. */
  brokerMemberGroup(cluster: string, brokerName: string, connection?: Connection): BrokerMemberGroup {
    const broker = this.#brokers.get(brokerName);
    const brokerAddrs = broker === undefined ? new Map() : this.#brokerAddrs(broker, connection);
    return { cluster, brokerName, brokerAddrs };
  }

  allTopics(): TopicList {
    return { topicList: [...this.#topics.topics()] };
  }

  topicsOfCluster(clusterName: string): TopicList {
    const topics = new Set<string>();
    for (const brokerName of this.#clusters.get(clusterName) ?? []) {
      for (const topic of this.#topics.topicsOf(brokerName)) topics.add(topic);
    }
    return { topicList: [...topics] };
  }

  /** Topics by which clusters and brokers are known to clients: their names; and some broker to ask for more. */
  systemTopics(connection?: Connection): TopicList {
    const topics = new Set<string>();
    for (const [cluster, names] of this.#clusters) {
      topics.add(cluster);
      for (const name of names) topics.add(name);
    }
    const [live] = this.#live.values();
    return { topicList: [...topics], brokerAddr: live === undefined ? undefined : this.#address(live, connection) };
  }

  unitTopics(): TopicList {
    return this.#topicsByFlag((flag) => (flag & SYS_FLAG_UNIT) !== 0);
  }

  unitSubTopics(): TopicList {
    return this.#topicsByFlag((flag) => (flag & SYS_FLAG_UNIT_SUB) !== 0);
  }

  unitSubUnUnitTopics(): TopicList {
    return this.#topicsByFlag((flag) => (flag & SYS_FLAG_UNIT) === 0 && (flag & SYS_FLAG_UNIT_SUB) !== 0);
  }

  #topicsByFlag(accepts: (topicSysFlag: number) => boolean): TopicList {
    const topicList: string[] = [];
    for (const topic of this.#topics.topics()) {
      const [data] = this.#topics.queueDatas(topic).values();
      if (data !== undefined && accepts(data.topicSysFlag)) topicList.push(topic);
    }
    return { topicList };
  }
}
