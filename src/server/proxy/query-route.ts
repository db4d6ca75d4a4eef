/**
 * QueryRoute and QueryAssignment (proxy/grpc/v2/route/RouteActivity.java). A client is answered with the address that it
 * asked at: so it is right behind any mapping of ports.
 */
import { AddressScheme, Code, MessageType, Permission } from "../../grpc/enums.js";
import type {
  Broker,
  Endpoints,
  MessageQueue,
  QueryAssignmentRequest,
  QueryRouteRequest,
  Resource,
} from "../../grpc/messages.js";
import { PERM_READ, PERM_WRITE } from "../protocol/topic-config.js";
import { MASTER_ID } from "../protocol/topic-route-data.js";
import { messageTypeOf } from "../broker/attributes.js";
import type { Topic } from "../broker/topic-config.js";
import type { ProxyServices, RpcContext } from "./proxy.js";
import { OK, ProxyError, statusOf } from "./proxy-error.js";
import { checkGroup, checkTopic } from "./validation.js";

const ADDRESSES_MAX = 128;
/** Of all addresses. */
const HOST_CHARS_MAX = 4096;
const IPV4_ADDRESS = /^\d{1,3}(\.\d{1,3}){3}$/;

const ACCEPTED: Readonly<Record<string, readonly number[]>> = {
  NORMAL: [MessageType.NORMAL],
  FIFO: [MessageType.FIFO],
  DELAY: [MessageType.DELAY],
  TRANSACTION: [MessageType.TRANSACTION],
  PRIORITY: [MessageType.PRIORITY],
  MIXED: [MessageType.NORMAL, MessageType.FIFO, MessageType.DELAY, MessageType.TRANSACTION],
};

export async function queryRoute(
  proxy: ProxyServices,
  context: RpcContext,
  request: QueryRouteRequest,
): Promise<object> {
  const name = checkTopic(proxy.broker, request.topic);
  const elsewhere = await placesElsewhere(proxy, context, name);
  const topic = elsewhere.length > 0 ? proxy.broker.topics.get(name) : findTopic(proxy, name);
  const types = topic === undefined ? ACCEPTED.MIXED! : acceptedTypes(topic);
  const resource = request.topic!;
  const messageQueues: MessageQueue[] = [];
  if (topic !== undefined) {
    messageQueues.push(...queuesOf(topic, resource, brokerOf(proxy, context, request.endpoints), types));
  }
  for (const { queues, broker } of elsewhere) messageQueues.push(...queuesOf(queues, resource, broker, types));
  return { status: OK, messageQueues };
}

interface Place {
  readonly queues: Queues;
  readonly broker: Broker;
}

type Queues = Pick<Topic, "perm" | "readQueueNums" | "writeQueueNums">;

/** On other brokers, whose endpoints are taken to be on the same port as this one (LocalTopicRouteService.java). */
async function placesElsewhere({ broker, routes }: ProxyServices, context: RpcContext, name: string): Promise<Place[]> {
  const route = await routes.get(name);
  const places: Place[] = [];
  for (const queues of route?.queueDatas ?? []) {
    const { brokerName } = queues;
    if (brokerName === broker.config.brokerName) continue;
    const data = route!.brokerDatas.find((candidate) => candidate.brokerName === brokerName);
    for (const [id, address] of data?.brokerAddrs ?? []) {
      const host = address.slice(0, Math.max(0, address.lastIndexOf(":"))).replace(/^\[|\]$/g, "");
      if (host === "") continue;
      places.push({ queues, broker: { name: brokerName, id, endpoints: endpointsOf(host, context.peer.localPort) } });
    }
  }
  return places;
}

export async function queryAssignment(
  proxy: ProxyServices,
  context: RpcContext,
  request: QueryAssignmentRequest,
): Promise<object> {
  const name = checkTopic(proxy.broker, request.topic);
  const group = checkGroup(request.group);
  const elsewhere = await placesElsewhere(proxy, context, name);
  const topic = elsewhere.length > 0 ? proxy.broker.topics.get(name) : findTopic(proxy, name);
  const fifo = proxy.broker.groups.get(group)?.consumeMessageOrderly === true;
  const places = elsewhere.filter(({ broker: { id } }) => id === MASTER_ID);
  if (topic !== undefined) places.unshift({ queues: topic, broker: brokerOf(proxy, context, request.endpoints) });
  const assignments = places.flatMap(({ queues: { perm, readQueueNums }, broker }) => {
    if ((perm & PERM_READ) === 0 || readQueueNums <= 0) return [];
    const ids = fifo ? Array.from({ length: readQueueNums }, (_, id) => id) : [-1];
    const permission = permissionOf(perm);
    return ids.map((id) => ({ messageQueue: { topic: request.topic, id, permission, broker } }));
  });
  if (assignments.length === 0) return { status: statusOf(Code.FORBIDDEN, "no readable queue") };
  return { status: OK, assignments };
}

/** Throws TOPIC_NOT_FOUND. */
export function findTopic({ broker }: ProxyServices, name: string): Topic {
  const topic = broker.topics.get(name);
  if (topic !== undefined) return topic;
  throw new ProxyError(Code.TOPIC_NOT_FOUND, `No topic route info in name server for the topic: ${name}`);
}

function brokerOf({ broker }: ProxyServices, context: RpcContext, asked: Endpoints | null): Broker {
  const { brokerName } = broker.config;
  if (asked !== null && asked.addresses.length > 0) {
    if (asked.addresses.length > ADDRESSES_MAX) {
      throw new ProxyError(Code.ILLEGAL_ACCESS_POINT, `endpoints of more than ${ADDRESSES_MAX} addresses`);
    }
    // The answer repeats them for each queue.
    if (asked.addresses.reduce((chars, { host }) => chars + host.length, 0) > HOST_CHARS_MAX) {
      throw new ProxyError(Code.ILLEGAL_ACCESS_POINT, `endpoints with hosts of more than ${HOST_CHARS_MAX} characters`);
    }
    return { name: brokerName, id: MASTER_ID, endpoints: { scheme: asked.scheme, addresses: asked.addresses } };
  }
  const { localAddress, localPort } = context.peer;
  const host = localAddress.replace(/^::ffff:(?=\d+\.)/i, "");
  return { name: brokerName, id: MASTER_ID, endpoints: endpointsOf(host, localPort) };
}

function endpointsOf(host: string, port: number): Endpoints {
  const { IPv4, IPv6, DOMAIN_NAME } = AddressScheme;
  const scheme = host.includes(":") ? IPv6 : IPV4_ADDRESS.test(host) ? IPv4 : DOMAIN_NAME;
  return { scheme, addresses: [{ host, port }] };
}

function acceptedTypes({ attributes }: Topic): readonly number[] {
  return ACCEPTED[messageTypeOf(attributes)] ?? [MessageType.MESSAGE_TYPE_UNSPECIFIED];
}

function permissionOf(perm: number): number {
  const readable = (perm & PERM_READ) !== 0;
  const writable = (perm & PERM_WRITE) !== 0;
  if (readable && writable) return Permission.READ_WRITE;
  return readable ? Permission.READ : writable ? Permission.WRITE : Permission.NONE;
}

/** One entry for each queue: those that can only be read, then those only written, then those for both. */
function queuesOf(
  { perm, readQueueNums, writeQueueNums }: Queues,
  topic: Resource,
  broker: Broker,
  acceptMessageTypes: readonly number[],
): MessageQueue[] {
  const readable = (perm & PERM_READ) !== 0 ? readQueueNums : 0;
  const writable = (perm & PERM_WRITE) !== 0 ? writeQueueNums : 0;
  const both = Math.min(readable, writable);
  const counts: [number, number][] = [
    [readable - both, Permission.READ],
    [writable - both, Permission.WRITE],
    [both, Permission.READ_WRITE],
  ];
  if ((perm & (PERM_READ | PERM_WRITE)) === 0) {
    counts.push([Math.max(1, readQueueNums, writeQueueNums), Permission.NONE]);
  }
  const queues: MessageQueue[] = [];
  for (const [count, permission] of counts) {
    for (let i = 0; i < count; i++) {
      queues.push({ topic, id: queues.length, permission, broker, acceptMessageTypes });
    }
  }
  return queues;
}
