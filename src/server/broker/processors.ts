/** Every request that the tables of a broker answer. What is not registered is answered by the server with code 3. */
import type { Processor } from "../../remoting/types.js";
import { registerAllConsumerOffset } from "./all-consumer-offset.js";
import { registerBrokerConfigRequests } from "./broker-config-requests.js";
import { registerCheckClientConfig } from "./check-client-config.js";
import { registerClientConnections } from "./client-connections.js";
import { registerConsumeStats } from "./consume-stats.js";
import { registerConsumerList } from "./consumer-list.js";
import type { BrokerContext } from "./context.js";
import { registerCreateTopic } from "./create-topic.js";
import { registerDeleteTopic } from "./delete-topic.js";
import { registerGroupRequests } from "./group-requests.js";
import { registerHeartbeat } from "./heartbeat.js";
import { registerLockQueues } from "./lock-queues.js";
import { registerQueryMessage } from "./query-message.js";
import { registerQueryOffset } from "./query-offset.js";
import { registerQueueOffsets } from "./queue-offsets.js";
import { registerRuntimeInfo } from "./runtime-info.js";
import { registerSubscriptionQueries } from "./subscription-queries.js";
import { registerTopicQueries } from "./topic-queries.js";
import { registerTopicStats } from "./topic-stats.js";
import { registerUnregisterClient } from "./unregister-client.js";
import { registerUpdateOffset } from "./update-offset.js";
import { registerViewMessage } from "./view-message.js";

/** All but the reset of offsets, which needs a pull that takes resets: see `registerResetOffset`. */
export function registerTableProcessors(processors: Map<number, Processor>, context: BrokerContext): void {
  registerHeartbeat(processors, context);
  registerUnregisterClient(processors, context);
  registerCheckClientConfig(processors, context);
  registerConsumerList(processors, context);
  registerQueryOffset(processors, context);
  registerUpdateOffset(processors, context);
  registerQueueOffsets(processors, context);
  registerLockQueues(processors, context);
  registerQueryMessage(processors, context);
  registerViewMessage(processors, context);
  registerCreateTopic(processors, context);
  registerDeleteTopic(processors, context);
  registerTopicQueries(processors, context);
  registerGroupRequests(processors, context);
  registerBrokerConfigRequests(processors, context);
  registerRuntimeInfo(processors, context);
  registerTopicStats(processors, context);
  registerClientConnections(processors, context);
  registerConsumeStats(processors, context);
  registerSubscriptionQueries(processors, context);
  registerAllConsumerOffset(processors, context);
}
