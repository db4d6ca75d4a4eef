/**
 * From the answer to a pop to messages with their handles: the header's three lists say where each message's checkpoint
 * begins and how often it was tried (proxy/service/message/LocalMessageService.java#popMessage, ExtraInfoUtil.java).
 */
import { PropertyName } from "../../record/property-names.js";
import type { RemoteAnswer } from "../../remoting/types.js";
import { RETRY_TOPIC_PREFIX } from "../broker/names.js";
import { lazyRecords, type ProxyRecord } from "./lazy-record.js";
import { TopicKind } from "./receipt-handle.js";

export interface PoppedMessage {
  readonly record: ProxyRecord;
  readonly handle: string;
  readonly reconsumeTimes: number;
}

/** Of `topicType queueId value;…`: the values by `topicType@queueId`. */
function parseInfo(text: string | undefined): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const entry of (text ?? "").split(";")) {
    const [topicType, queue, value] = entry.split(" ");
    if (topicType !== undefined && queue !== undefined && value !== undefined) {
      values.set(`${topicType}@${queue}`, value);
    }
  }
  return values;
}

export function poppedMessages(answer: RemoteAnswer, brokerName: string, fifo: boolean): PoppedMessage[] {
  const { fields } = answer;
  const startOffsets = parseInfo(fields.startOffsetInfo);
  const orderCounts = parseInfo(fields.orderCountInfo);
  return lazyRecords(answer.body).map((record) => {
    const { queueId, queueOffset, properties, phyOffset } = record;
    const topicType = topicTypeOf(record.topic);
    const key = `${topicType}@${queueId}`;
    const startOffset = startOffsets.get(key) ?? String(queueOffset);
    const checkpoint =
      properties.get(PropertyName.POP_CK) ??
      `${startOffset} ${fields.popTime} ${fields.invisibleTime} ${fields.reviveQid} ${topicType} ${brokerName} ${queueId} ${queueOffset}`;
    const tried = fifo
      ? (orderCounts.get(`${topicType}@qo${queueId}%${queueOffset}`) ?? orderCounts.get(key))
      : undefined;
    const count = tried === undefined ? 0 : Number(tried);
    return {
      record,
      handle: `${checkpoint} ${phyOffset}`,
      reconsumeTimes: count > 0 ? count : record.reconsumeTimes,
    };
  });
}

function topicTypeOf(topic: string): string {
  if (!topic.startsWith(RETRY_TOPIC_PREFIX)) return TopicKind.NORMAL;
  return topic.includes("+") ? TopicKind.RETRY_V2 : TopicKind.RETRY;
}
