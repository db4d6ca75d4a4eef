/**
 * Codes 306, 316 and 329: an administrator has what is not needed any more removed (AdminBrokerProcessor.java). Queues
 * follow the log by themselves, so 306 finds nothing to remove.
 */
import { RequestCode } from "../../remoting/codes.js";
import type { Processor } from "../../remoting/types.js";
import { type Answer, SUCCESS } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { LIGHT_QUEUE_PREFIX } from "./names.js";
import { serve } from "./serve.js";

export function registerCleanStore(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.CLEAN_UNUSED_TOPIC, cleanUnusedTopics);
  serve(processors, context, RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, () => SUCCESS);
  serve(processors, context, RequestCode.DELETE_EXPIRED_COMMITLOG, deleteExpired);
}

/** Answered at once, as Apache does (DefaultMessageStore.java#executeDeleteFilesManually). */
function deleteExpired({ log, store }: BrokerContext): Answer {
  store.deleteExpired().catch((error: unknown) => log.error({ err: error }, "expired segments could not be deleted"));
  return SUCCESS;
}

/** Queues of topics that the broker does not know (DefaultMessageStore.java#cleanUnusedTopic). */
async function cleanUnusedTopics({ log, store, topics }: BrokerContext): Promise<Answer> {
  const unused = store.topics().filter((name) => {
    return topics.get(name) === undefined && !topics.isSystemTopic(name) && !name.startsWith(LIGHT_QUEUE_PREFIX);
  });
  await store.deleteTopics(unused);
  if (unused.length > 0) log.info({ topics: unused }, "queues of unknown topics deleted");
  return SUCCESS;
}
