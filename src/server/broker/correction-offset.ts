/**
 * Code 308: the smallest offset that any group has committed in each queue of a topic, or Java's greatest long where the
 * group it is compared with, if any, is behind it (AdminBrokerProcessor.java#queryCorrectionOffset). Groups to be left
 * out are left out; Apache deletes the offsets of theirs.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";
import { topicQueue } from "./topic-config.js";

/** Greater than any number here is exact. */
const LONG_MAX_TEXT = "9223372036854775807";

export function registerCorrectionOffset(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.QUERY_CORRECTION_OFFSET, correctionOffset);
}

function correctionOffset({ offsets, store, topics }: BrokerContext, { header }: Request): Answer {
  const name = requiredText(header, "topic");
  const compareGroup = header.text("compareGroup");
  const leftOut = new Set((header.text("filterGroups") ?? "").split(","));
  const topic = topics.get(name);
  const minOffset = (queueId: number) => (topic === undefined ? 0 : store.minOffset(topicQueue(store, topic, queueId)));
  const compared = compareGroup === undefined ? undefined : offsets.offsetsOf(compareGroup, name);
  const entries: string[] = [];
  for (const [queueId, smallest] of offsets.minOffsetInAllGroups(name, minOffset, leftOut)) {
    const own = compared?.get(queueId) ?? smallest;
    entries.push(`${queueId}:${smallest > own ? LONG_MAX_TEXT : smallest}`);
  }
  return { code: ResponseCode.SUCCESS, body: Buffer.from(`{"correctionOffsets":{${entries.join(",")}}}`) };
}
