/** Code 12: messages by key (broker/processor/QueryMessageProcessor.java#queryMessage). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, missing, requiredInt, requiredInteger } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { atMost, serveLate } from "./serve.js";
import type { IndexKind, KeyQuery, KeyQueryResult } from "./store-port.js";
import { hasKey, phyOffsetOf } from "./stored-message.js";

/** Apache's maxMsgsNumBatch. */
const COUNT_MAX = 64;
/** Messages are left out of an answer that would be larger: clients refuse frames of 16 MiB. */
const BODY_BYTES_MAX = 8 * 1024 * 1024;
/** How far to look past candidates that only share the hash. */
const CANDIDATES_MAX = 1024;
/** How long a message that was sent just before may take to be in the index. */
const INDEX_MS_MAX = 500;

export function registerQueryMessage(processors: Map<number, Processor>, context: BrokerContext): void {
  serveLate(processors, context, RequestCode.QUERY_MESSAGE, queryMessage);
}

function queryMessage(context: BrokerContext, { header }: Request): Answer | Promise<Answer> {
  const unique = header.boolean("_UNIQUE_KEY_QUERY") === true;
  const asked = requiredInt(header, "maxNum");
  const beginMs = requiredInteger(header, "beginTimestamp");
  const endMs = requiredInteger(header, "endTimestamp");
  const topic = header.text("topic");
  const key = header.text("key");
  if (topic === undefined) return missing(ResponseCode.QUERY_NOT_FOUND, "topic");
  if (key === undefined) return missing(ResponseCode.QUERY_NOT_FOUND, "key");
  const kind = unique ? "U" : indexKind(header.text("indexType"));
  const countMax = Math.max(0, Math.min(COUNT_MAX, unique ? context.config.defaultQueryMaxNum : asked));
  const query: KeyQuery = { topic, key, kind, countMax, beginMs, endMs };
  return atMost(context.clock, INDEX_MS_MAX, context.store.indexed()).then(() => answerTo(context, query));
}

async function answerTo(context: BrokerContext, query: KeyQuery): Promise<Answer> {
  const { records, result } = await search(context, query);
  const fields = {
    indexLastUpdateTimestamp: result.indexLastUpdateTimestamp,
    indexLastUpdatePhyoffset: result.indexLastUpdatePhyOffset,
  };
  if (records.length > 0) return { code: ResponseCode.SUCCESS, fields, body: Buffer.concat(records) };
  const remark = "can not find message, maybe time range not correct";
  return { code: ResponseCode.QUERY_NOT_FOUND, remark, fields };
}

function indexKind(indexType: string | undefined): IndexKind {
  return indexType === "U" || indexType === "T" ? indexType : "K";
}

/** The newest messages that have the key, oldest first. Asks for more candidates while collisions take the places. */
async function search(
  { store }: BrokerContext,
  query: KeyQuery,
): Promise<{ records: Buffer[]; result: KeyQueryResult }> {
  const { topic, key, kind, countMax } = query;
  for (let candidateCount = countMax; ; candidateCount *= 4) {
    const result = await store.queryByKey({ ...query, countMax: candidateCount });
    const found = result.records.filter((record) => hasKey(record, topic, key, kind));
    const exhausted = result.records.length < candidateCount || candidateCount >= CANDIDATES_MAX || countMax === 0;
    if (found.length < countMax && !exhausted) continue;
    return { records: newest(found, countMax), result };
  }
}

function newest(found: readonly Buffer[], countMax: number): Buffer[] {
  const sorted = found.map((record) => ({ record, phyOffset: phyOffsetOf(record) }));
  sorted.sort((a, b) => b.phyOffset - a.phyOffset);
  const taken: Buffer[] = [];
  let bodyBytes = 0;
  for (const { record } of sorted.slice(0, countMax)) {
    bodyBytes += record.length;
    if (bodyBytes > BODY_BYTES_MAX && taken.length > 0) break;
    taken.push(record);
  }
  return taken.reverse();
}
