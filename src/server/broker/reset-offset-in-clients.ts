/**
 * Code 222 without useServerSideResetOffset: the broker works the offsets out and tells every member of the group by
 * code 220 to go on there (broker/client/net/Broker2Client.java#resetOffset). Members commit them themselves.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { type FastjsonInput, toFastjson } from "../../remoting/fastjson.js";
import { LanguageCode } from "../../remoting/language-code.js";
import type { Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredInteger, requiredText } from "../answer.js";
import { tooOld } from "./consumer-status.js";
import type { BrokerContext } from "./context.js";
import { messageQueueJson } from "./message-queue.js";
import { offsetAtTime } from "./queue-lookup.js";

interface Reset {
  readonly name: string;
  readonly group: string;
  readonly timestamp: number;
  readonly force: boolean;
  /** Clients in C++ cannot read a map whose keys are objects; who asks is taken to be what is asked. */
  readonly listed: boolean;
}

export function resetOffsetInClients(context: BrokerContext, { header }: Request): () => Answer {
  const name = requiredText(header, "topic");
  const group = requiredText(header, "group");
  const timestamp = requiredInteger(header, "timestamp");
  const force = header.boolean("isForce") === true;
  const listed = header.language === LanguageCode.CPP;
  return () => tellMembers(context, { name, group, timestamp, force, listed });
}

function tellMembers(context: BrokerContext, { name, group, timestamp, force, listed }: Reset): Answer {
  const { config, consumers, log, offsets, topics } = context;
  const topic = topics.get(name);
  if (topic === undefined) {
    const remark = `[reset-offset] reset offset failed, no topic in this broker. topic=${quoted(name)}`;
    return failure(ResponseCode.TOPIC_NOT_EXIST, remark);
  }
  const targets: number[] = [];
  for (let queueId = 0; queueId < topic.writeQueueNums; queueId++) {
    const committed = offsets.queryOffset(group, name, queueId);
    if (committed < 0) return failure(ResponseCode.SYSTEM_ERROR, `THe consumer group <${quoted(group)}> not exist`);
    const offset = Math.max(0, offsetAtTime(context, topic, queueId, timestamp));
    targets.push(force ? offset : Math.min(offset, committed));
  }
  const members = [...(consumers.get(group)?.members.values() ?? [])];
  if (members.length === 0) {
    const remark = `Consumer not online, so can not reset offset, Group: ${quoted(group)} Topic: ${name} Timestamp: ${timestamp}`;
    return failure(ResponseCode.CONSUMER_NOT_ONLINE, remark);
  }
  const refusal = tooOld(members);
  if (refusal !== undefined) return refusal;

  const queues = targets.map((_, queueId) => messageQueueJson({ topic: name, brokerName: config.brokerName, queueId }));
  const table = new Map<object, FastjsonInput>(queues.map((queue, queueId) => [queue, targets[queueId]]));
  const list = queues.map((queue, queueId) => ({ ...queue, offset: targets[queueId] }));
  const body = Buffer.from(toFastjson({ offsetTable: listed ? list : table }));
  const fields = { topic: name, group, timestamp, isForce: false, queueId: -1 };
  for (const { connection } of members) {
    connection.pushOneway(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, fields, body);
  }
  log.info({ topic: name, group, timestamp, force, members: members.length }, "members told to reset their offsets");
  return jsonAnswer({ offsetTable: table });
}
