/** Codes 203, 204 and 328: which clients are connected (broker/processor/AdminBrokerProcessor.java). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { FastjsonInput } from "../../remoting/fastjson.js";
import { languageName } from "../../remoting/language-code.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText } from "../answer.js";
import type { ClientChannel } from "./client-channel.js";
import type { BrokerContext } from "./context.js";
import { subscriptionDataJson } from "./heartbeat-data.js";
import { serve } from "./serve.js";

export function registerClientConnections(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.GET_CONSUMER_CONNECTION_LIST, consumerConnections);
  serve(processors, context, RequestCode.GET_PRODUCER_CONNECTION_LIST, producerConnections);
  serve(processors, context, RequestCode.GET_ALL_PRODUCER_INFO, allProducers);
}

function connectionJson({ connection, clientId, language, version }: ClientChannel): FastjsonInput {
  return { clientAddr: connection.remoteAddress, clientId, language: languageName(language), version };
}

function consumerConnections({ consumers }: BrokerContext, { header }: Request): Answer {
  const name = requiredText(header, "consumerGroup");
  const group = consumers.get(name);
  if (group === undefined) {
    return failure(ResponseCode.CONSUMER_NOT_ONLINE, `the consumer group[${quoted(name)}] not online`);
  }
  const subscriptionTable = new Map<string, FastjsonInput>();
  for (const [topic, subscription] of group.subscriptions) {
    subscriptionTable.set(topic, subscriptionDataJson(subscription));
  }
  return jsonAnswer({
    connectionSet: Array.from(group.members.values(), connectionJson),
    consumeFromWhere: group.consumeFromWhere,
    consumeType: group.consumeType,
    messageModel: group.messageModel,
    subscriptionTable,
  });
}

function producerConnections({ producers }: BrokerContext, { header }: Request): Answer {
  const name = requiredText(header, "producerGroup");
  const channels = producers.channelsOf(name);
  if (channels !== undefined) return jsonAnswer({ connectionSet: Array.from(channels.values(), connectionJson) });
  return failure(ResponseCode.SYSTEM_ERROR, `the producer group[${quoted(name)}] not exist`);
}

function allProducers({ producers }: BrokerContext): Answer {
  const data = new Map<string, FastjsonInput>();
  for (const [group, channels] of producers.groups()) data.set(group, Array.from(channels.values(), producerJson));
  return jsonAnswer({ data });
}

function producerJson(channel: ClientChannel): FastjsonInput {
  return {
    clientId: channel.clientId,
    language: languageName(channel.language),
    lastUpdateTimestamp: channel.lastUpdateTimestamp,
    remoteIP: `/${channel.connection.remoteAddress}`,
    version: channel.version,
  };
}
