/**
 * Code 223: how far the consumers of a group say they have got, by asking each with code 221
 * (broker/client/net/Broker2Client.java#getConsumeStatus).
 */
import { CometError } from "../../base/errors.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { type FastjsonInput, mapIn, parseFastjson } from "../../remoting/fastjson.js";
import { versionName, versionOrdinal } from "../../remoting/mq-version.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText } from "../answer.js";
import type { ClientChannel } from "./client-channel.js";
import type { BrokerContext } from "./context.js";
import { isBlank } from "./names.js";
import { serveLate } from "./serve.js";

const TIMEOUT_MS = 5000;
/** Older clients know neither code 220 nor 221. */
const VERSION_MIN = versionOrdinal("V3_0_7_SNAPSHOT")!;

export function registerConsumerStatus(processors: Map<number, Processor>, context: BrokerContext): void {
  serveLate(processors, context, RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, consumerStatus);
}

/** What to answer when one of `members` is too old for what the broker would send it. */
export function tooOld(members: Iterable<ClientChannel>): Answer | undefined {
  for (const { version } of members) {
    if (version >= VERSION_MIN) continue;
    const remark = `the client does not support this feature. version=${versionName(version)}`;
    return failure(ResponseCode.SYSTEM_ERROR, remark);
  }
  return undefined;
}

async function consumerStatus(context: BrokerContext, { header }: Request): Promise<Answer> {
  const topic = requiredText(header, "topic");
  const group = requiredText(header, "group");
  const wanted = header.text("clientAddr") ?? "";
  const members = [...(context.consumers.get(group)?.members.values() ?? [])];
  if (members.length === 0) {
    const remark = `No Any Consumer online in the consumer group: [${quoted(group)}]`;
    return failure(ResponseCode.SYSTEM_ERROR, remark);
  }
  const asked = isBlank(wanted) ? members : members.filter(({ clientId }) => clientId === wanted);
  const refusal = tooOld(asked);
  if (refusal !== undefined) return refusal;
  const consumerTable = new Map<string, FastjsonInput>();
  await Promise.all(
    asked.map(async (member) => {
      const table = await askMember(context, member, topic, group);
      if (table !== undefined) consumerTable.set(member.clientId, table);
    }),
  );
  const answer = jsonAnswer({ consumerTable, messageQueueTable: {} });
  return { ...answer, remark: "not set any response code" };
}

/** Queue to offset; undefined when the client did not say. */
async function askMember(
  { log }: BrokerContext,
  { clientId, connection }: ClientChannel,
  topic: string,
  group: string,
): Promise<FastjsonInput> {
  try {
    const code = RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT;
    const answer = await connection.call(code, { topic, group }, undefined, TIMEOUT_MS);
    return mapIn(parseFastjson(answer.body), "messageQueueTable");
  } catch (error) {
    if (!(error instanceof CometError)) throw error;
    log.warn({ clientId, topic, group, err: error }, "a consumer did not say how far it has got");
    return undefined;
  }
}
