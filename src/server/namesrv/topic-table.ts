/**
 * Which broker has which queues of which topic (`topicQueueTable` of namesrv/routeinfo/RouteInfoManager.java), with an
 * index by broker so that a leaving broker costs its own topics and not all of them. Only the route table writes here.
 */
import { type QueueData, sameQueueData, type TopicQueueMappingInfo } from "../protocol/topic-route-data.js";

const NONE: ReadonlyMap<string, QueueData> = new Map();
const NO_NAMES: ReadonlySet<string> = new Set();

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

export class TopicTable {
  /** Topic to broker name to queues. No inner map is empty. */
  readonly #byTopic = new Map<string, Map<string, QueueData>>();
  readonly #byBroker = new Map<string, Set<string>>();
  readonly #mappings = new Map<string, Map<string, TopicQueueMappingInfo>>();
  #entryCount = 0;
  /** Queues of static topics, over all their brokers. */
  #mappedQueueCount = 0;

  /** Pairs of a topic and a broker. */
  get entryCount(): number {
    return this.#entryCount;
  }

  topics(): IterableIterator<string> {
    return this.#byTopic.keys();
  }

  has(topic: string, brokerName: string): boolean {
    return this.#byTopic.get(topic)?.has(brokerName) === true;
  }

  /** By broker name; empty when nobody has the topic. */
  queueDatas(topic: string): ReadonlyMap<string, QueueData> {
    return this.#byTopic.get(topic) ?? NONE;
  }

  topicsOf(brokerName: string): ReadonlySet<string> {
    return this.#byBroker.get(brokerName) ?? NO_NAMES;
  }

  /** True when this changed something. */
  set(topic: string, data: QueueData): boolean {
    const brokers = entryOf(this.#byTopic, topic, () => new Map<string, QueueData>());
    const known = brokers.get(data.brokerName);
    if (known !== undefined && sameQueueData(known, data)) return false;
    brokers.set(data.brokerName, data);
    if (known !== undefined) return true;
    this.#entryCount++;
    entryOf(this.#byBroker, data.brokerName, () => new Set<string>()).add(topic);
    return true;
  }

  delete(topic: string, brokerName: string): void {
    const brokers = this.#byTopic.get(topic);
    if (brokers === undefined || !brokers.delete(brokerName)) return;
    this.#entryCount--;
    if (brokers.size === 0) this.#byTopic.delete(topic);
    this.#deleteMapping(topic, brokerName);
    const topics = this.#byBroker.get(brokerName)!;
    topics.delete(topic);
    if (topics.size === 0) this.#byBroker.delete(brokerName);
  }

  deleteTopic(topic: string): void {
    for (const brokerName of [...this.queueDatas(topic).keys()]) this.delete(topic, brokerName);
  }

  /** Also its static topics' mappings: a broker that comes back tells them again. */
  deleteBroker(brokerName: string): void {
    for (const topic of [...this.topicsOf(brokerName)]) this.delete(topic, brokerName);
  }

  #deleteMapping(topic: string, brokerName: string): void {
    const mappings = this.#mappings.get(topic);
    const known = mappings?.get(brokerName);
    if (mappings === undefined || known === undefined) return;
    this.#mappedQueueCount -= known.currIdMap.size;
    mappings.delete(brokerName);
    if (mappings.size === 0) this.#mappings.delete(topic);
  }

  /** Gives every topic of the broker the permission that `change` makes of it; returns how many topics it has. */
  changePermissions(brokerName: string, change: (perm: number) => number): number {
    const topics = this.topicsOf(brokerName);
    for (const topic of topics) {
      const brokers = this.#byTopic.get(topic)!;
      const data = brokers.get(brokerName)!;
      brokers.set(brokerName, { ...data, perm: change(data.perm) });
    }
    return topics.size;
  }

  /** False, and nothing has changed, where all mappings together would have more queues than that. */
  setMapping(info: TopicQueueMappingInfo, mappedQueuesMax: number): boolean {
    const mappings = entryOf(this.#mappings, info.topic, () => new Map<string, TopicQueueMappingInfo>());
    const grown = info.currIdMap.size - (mappings.get(info.bname)?.currIdMap.size ?? 0);
    const hasRoom = grown <= 0 || this.#mappedQueueCount + grown <= mappedQueuesMax;
    if (hasRoom) {
      this.#mappedQueueCount += grown;
      mappings.set(info.bname, info);
    } else if (mappings.size === 0) {
      this.#mappings.delete(info.topic);
    }
    return hasRoom;
  }

  /** By broker name; undefined for a topic that is not static. */
  mappings(topic: string): ReadonlyMap<string, TopicQueueMappingInfo> | undefined {
    return this.#mappings.get(topic);
  }
}
