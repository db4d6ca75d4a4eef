/** Code 35: a client leaves one of its groups (broker/processor/ClientManageProcessor.java#unregisterClient). */
import { RequestCode } from "../../remoting/codes.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, requiredText, SUCCESS } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";

export function registerUnregisterClient(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.UNREGISTER_CLIENT, unregisterClient);
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
