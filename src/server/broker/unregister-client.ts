/** Code 35: a client leaves one of its groups (broker/processor/ClientManageProcessor.java#unregisterClient). */
import { RequestCode } from "../../remoting/codes.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, processorOf, requiredText, SUCCESS } from "../namesrv/answer.js";
import type { BrokerContext } from "./context.js";

export function registerUnregisterClient(processors: Map<number, Processor>, context: BrokerContext): void {
  processors.set(
    RequestCode.UNREGISTER_CLIENT,
    processorOf((request, connection) => unregisterClient(context, request, connection)),
  );
}

function unregisterClient(context: BrokerContext, { header }: Request, connection: Connection): Answer {
  requiredText(header, "clientID");
  const producerGroup = header.text("producerGroup");
  if (producerGroup !== undefined) context.producers.unregister(producerGroup, connection);
  const consumerGroup = header.text("consumerGroup");
  if (consumerGroup !== undefined) {
    const notify = context.groups.get(consumerGroup)?.notifyConsumerIdsChangedEnable ?? true;
    context.consumers.unregister(consumerGroup, connection, notify);
  }
  return SUCCESS;
}
