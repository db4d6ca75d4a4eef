/**
 * Heartbeat, NotifyClientTermination, and how clients get into the broker's tables
 * (proxy/grpc/v2/client/ClientActivity.java). Producers are registered under the names of their topics: gRPC knows no
 * producer groups.
 */
import { ClientType, Code } from "../../grpc/enums.js";
import type { HeartbeatRequest, NotifyClientTerminationRequest, Settings, Status } from "../../grpc/messages.js";
import { CURRENT_VERSION, versionOrdinal } from "../../remoting/mq-version.js";
import type { ConsumerData, ConsumeType } from "../broker/heartbeat-data.js";
import type { ProxyClient } from "./client-table.js";
import { subscriptionOf } from "./filter-expression.js";
import { languageOf } from "./language.js";
import type { ProxyServices, RpcContext } from "./proxy.js";
import { OK, ProxyError, statusOf } from "./proxy-error.js";
import { checkGroup, checkTopic } from "./validation.js";

const ENTRIES_MAX = 4096;

export async function heartbeat(proxy: ProxyServices, context: RpcContext, request: HeartbeatRequest): Promise<object> {
  const client = proxy.clients.get(context.clientId);
  if (client?.settings === undefined) return { status: unknownClient() };
  proxy.clients.seen(client);
  const { settings } = client;
  switch (settings.clientType) {
    case ClientType.PRODUCER:
      registerProducer(proxy, client, settings);
      break;
    case ClientType.PUSH_CONSUMER:
    case ClientType.SIMPLE_CONSUMER:
      registerConsumer(proxy, client, consumerDataOf(proxy, settings, checkGroup(request.group)), false);
      break;
    default:
      return { status: statusOf(Code.UNRECOGNIZED_CLIENT_TYPE, clientTypeName(settings.clientType)) };
  }
  return { status: OK };
}

export async function notifyClientTermination(
  proxy: ProxyServices,
  context: RpcContext,
  request: NotifyClientTerminationRequest,
): Promise<object> {
  const client = proxy.clients.get(context.clientId);
  if (client?.settings === undefined) return { status: unknownClient() };
  const { clientType } = client.settings;
  const isConsumer = clientType === ClientType.PUSH_CONSUMER || clientType === ClientType.SIMPLE_CONSUMER;
  proxy.clients.remove(client);
  if (isConsumer) checkGroup(request.group);
  else if (clientType !== ClientType.PRODUCER) {
    return { status: statusOf(Code.UNRECOGNIZED_CLIENT_TYPE, clientTypeName(clientType)) };
  }
  return { status: OK };
}

/** Takes settings that a client has sent. Throws what is wrong with them; then nothing has changed. */
export function takeSettings(proxy: ProxyServices, context: RpcContext, settings: Settings): ProxyClient {
  const take = () =>
    proxy.clients.take(
      context,
      settings,
      languageOf(context.call.header("x-mq-language")),
      versionOrdinal(context.call.header("x-mq-client-version").toUpperCase()) ?? CURRENT_VERSION,
    );
  if (settings.publishing != null) {
    checkCount(settings.publishing.topics.length);
    for (const topic of settings.publishing.topics) checkTopic(proxy.broker, topic);
    const client = take();
    registerProducer(proxy, client, settings);
    return client;
  }
  checkCount(settings.subscription?.subscriptions.length ?? 0);
  const group = checkGroup(settings.subscription?.group);
  const data = consumerDataOf(proxy, settings, group);
  const client = take();
  registerConsumer(proxy, client, data, true);
  return client;
}

function checkCount(count: number): void {
  if (count > ENTRIES_MAX) throw new ProxyError(Code.BAD_REQUEST, `settings with more than ${ENTRIES_MAX} topics`);
}

function registerProducer({ broker }: ProxyServices, client: ProxyClient, settings: Settings): void {
  for (const topic of settings.publishing?.topics ?? []) broker.producers.register(topic.name, client.identity);
}

function registerConsumer(
  proxy: ProxyServices,
  client: ProxyClient,
  data: ConsumerData,
  withSubscriptions: boolean,
): void {
  proxy.broker.consumers.register(client.identity, data, !withSubscriptions, false);
}

function consumerDataOf(proxy: ProxyServices, settings: Settings, groupName: string): ConsumerData {
  const nowMs = proxy.clock.nowMs();
  const subscriptions = (settings.subscription?.subscriptions ?? []).map(({ topic, expression }) =>
    subscriptionOf(topic?.name ?? "", expression, nowMs),
  );
  return {
    groupName,
    consumeType: consumeTypeOf(settings.clientType),
    messageModel: "CLUSTERING",
    consumeFromWhere: "CONSUME_FROM_LAST_OFFSET",
    subscriptions,
    unitMode: false,
  };
}

function consumeTypeOf(clientType: number | null | undefined): ConsumeType {
  if (clientType === ClientType.PUSH_CONSUMER) return "CONSUME_PASSIVELY";
  if (clientType === ClientType.SIMPLE_CONSUMER) return "CONSUME_ACTIVELY";
  throw new ProxyError(Code.INTERNAL_ERROR, `Client type is not consumer, type: ${clientTypeName(clientType)}`);
}

function clientTypeName(clientType: number | null | undefined): string {
  const found = Object.entries(ClientType).find(([, value]) => value === clientType);
  return found?.[0] ?? "UNRECOGNIZED";
}

function unknownClient(): Status {
  return statusOf(Code.UNRECOGNIZED_CLIENT_TYPE, "cannot find client settings for this client");
}
