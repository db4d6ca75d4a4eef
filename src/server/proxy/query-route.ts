/**
 * QueryRoute and QueryAssignment (proxy/grpc/v2/route/RouteActivity.java). A client is answered with the address that it
 * asked at: so it is right behind any mapping of ports.
 */
import { Code, MessageType, Permission } from "../../grpc/enums.js";
import type {
  Broker,
  Endpoints,
  MessageQueue,
  QueryAssignmentRequest,
  QueryRouteRequest,
  Resource,
} from "../../grpc/messages.js";
import { PERM_READ, PERM_WRITE } from "../protocol/topic-config.js";
import { messageTypeOf } from "../broker/attributes.js";
import type { Topic } from "../broker/topic-config.js";
import type { ProxyServices, RpcContext } from "./proxy.js";
import { OK, ProxyError, statusOf } from "./proxy-error.js";
import { checkGroup, checkTopic } from "./validation.js";

const ADDRESSES_MAX = 128;
const IPV4 = 1;
const IPV6 = 2;

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
  const topic = findTopic(proxy, checkTopic(proxy.broker, request.topic));
  const broker = brokerOf(proxy, context, request.endpoints);
  return { status: OK, messageQueues: queuesOf(topic, request.topic!, broker) };
}

export async function queryAssignment(
  proxy: ProxyServices,
  context: RpcContext,
  request: QueryAssignmentRequest,
): Promise<object> {
  const name = checkTopic(proxy.broker, request.topic);
  const group = checkGroup(request.group);
  const topic = findTopic(proxy, name);
  const { perm, readQueueNums } = topic;
  if ((perm & PERM_READ) === 0 || readQueueNums <= 0) return { status: statusOf(Code.FORBIDDEN, "no readable queue") };
  const broker = brokerOf(proxy, context, request.endpoints);
  const permission = permissionOf(perm);
  const fifo = proxy.broker.groups.get(group)?.consumeMessageOrderly === true;
  const ids = fifo ? Array.from({ length: readQueueNums }, (_, id) => id) : [-1];
  const assignments = ids.map((id) => ({ messageQueue: { topic: request.topic, id, permission, broker } }));
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
    return { name: brokerName, id: 0, endpoints: { scheme: asked.scheme, addresses: asked.addresses } };
  }
  const { localAddress, localPort } = context.peer;
  const host = localAddress.replace(/^::ffff:(?=\d+\.)/i, "");
  const scheme = host.includes(":") ? IPV6 : IPV4;
  return { name: brokerName, id: 0, endpoints: { scheme, addresses: [{ host, port: localPort }] } };
}

function permissionOf(perm: number): number {
  const readable = (perm & PERM_READ) !== 0;
  const writable = (perm & PERM_WRITE) !== 0;
  if (readable && writable) return Permission.READ_WRITE;
  return readable ? Permission.READ : writable ? Permission.WRITE : Permission.NONE;
}

/** One entry for each queue: those that can only be read, then those only written, then those for both. */
function queuesOf(topic: Topic, resource: Resource, broker: Broker): MessageQueue[] {
  const { perm, readQueueNums, writeQueueNums } = topic;
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
  const acceptMessageTypes = ACCEPTED[messageTypeOf(topic.attributes)] ?? [MessageType.MESSAGE_TYPE_UNSPECIFIED];
  const queues: MessageQueue[] = [];
  for (const [count, permission] of counts) {
    for (let i = 0; i < count; i++) {
      queues.push({ topic: resource, id: queues.length, permission, broker, acceptMessageTypes });
    }
  }
  return queues;
}
