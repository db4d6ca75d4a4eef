/**
 * Codes 307 and 309: an administrator asks one consumer through the broker how it does, or to consume one message here
 * and now (AdminBrokerProcessor.java#callConsumer). The consumer's answer goes back as it came.
 */
import { CometError } from "../../base/errors.js";
import { parseMessageId } from "../../record/message-id.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { HeaderView } from "../../remoting/header-view.js";
import { versionName, versionOrdinal } from "../../remoting/mq-version.js";
import type { Connection, Fields, Processor, RemoteAnswer, Request } from "../../remoting/types.js";
import { type Answer, failure, quoted, requiredText } from "../answer.js";
import { topicRefusal } from "../auth/record-access.js";
import type { BrokerContext } from "./context.js";
import { serveLate } from "./serve.js";
import { isRecordAt, topicOf } from "./stored-message.js";

/** Apache's Broker2Client#callClient. */
const TIMEOUT_MS = 10_000;
const VERSION_MIN = versionOrdinal("V3_1_8_SNAPSHOT")!;

export function registerCallConsumer(processors: Map<number, Processor>, context: BrokerContext): void {
  serveLate(processors, context, RequestCode.GET_CONSUMER_RUNNING_INFO, runningInfo);
  serveLate(processors, context, RequestCode.CONSUME_MESSAGE_DIRECTLY, consumeDirectly);
}

async function runningInfo(context: BrokerContext, { header, body }: Request): Promise<Answer> {
  return call(context, header, {}, body);
}

async function consumeDirectly(context: BrokerContext, request: Request, connection: Connection): Promise<Answer> {
  const { access, config, groups, store, topics } = context;
  const { header } = request;
  const group = requiredText(header, "consumerGroup");
  const msgId = requiredText(header, "msgId");
  const phyOffset = parseMessageId(msgId)?.phyOffset ?? -1;
  const inLog = phyOffset >= store.minPhyOffset() && phyOffset < store.maxPhyOffset();
  const record = inLog ? store.lookAt(phyOffset) : undefined;
  if (record === undefined || !isRecordAt(record, phyOffset)) {
    return failure(ResponseCode.SYSTEM_ERROR, `can not find message by the id, ${quoted(msgId)}`);
  }
  const refusal = topicRefusal({ access, request, connection }, topicOf(record), "Sub");
  if (refusal !== undefined) return failure(ResponseCode.NO_PERMISSION, refusal);
  const added = {
    brokerName: config.brokerName,
    topicSysFlag: topics.get(header.text("topic") ?? "")?.topicSysFlag,
    groupSysFlag: groups.find(group)?.groupSysFlag,
  };
  return call(context, header, added, record);
}

/** Sends the request on to the consumer that it names, with `added` fields and `body`. */
async function call(context: BrokerContext, header: HeaderView, added: Fields, body: Buffer): Promise<Answer> {
  const group = requiredText(header, "consumerGroup");
  const clientId = header.text("clientId") ?? "";
  const member = context.consumers.get(group)?.findMember(clientId);
  const consumer = `<${quoted(group)}> <${quoted(clientId)}>`;
  if (member === undefined) return failure(ResponseCode.SYSTEM_ERROR, `The Consumer ${consumer} not online`);
  if (member.version < VERSION_MIN) {
    const version = versionName(member.version);
    const remark = `The Consumer <${quoted(clientId)}> Version <${version}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT`;
    return failure(ResponseCode.SYSTEM_ERROR, remark);
  }
  const fields = { ...Object.fromEntries(header.fields()), ...added };
  try {
    const answer = await member.connection.call(header.code, fields, body.length > 0 ? body : undefined, TIMEOUT_MS);
    return answerOf(answer);
  } catch (error) {
    if (!(error instanceof CometError)) throw error;
    if (error.code === "COMETMQ_TIMEOUT") {
      return failure(ResponseCode.CONSUME_MSG_TIMEOUT, `consumer ${consumer} Timeout: ${error.message}`);
    }
    return failure(ResponseCode.SYSTEM_ERROR, `invoke consumer ${consumer} Exception: ${error.message}`);
  }
}

function answerOf({ code, remark, fields, body }: RemoteAnswer): Answer {
  return { code, remark: remark === "" ? undefined : remark, fields, body };
}
