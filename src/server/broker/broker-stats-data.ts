/** Code 315: what a count came to in the last minute, hour and day (AdminBrokerProcessor.java#ViewBrokerStatsData). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { JavaDouble } from "../../remoting/fastjson.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";
import type { StatsItem, StatsSnapshot } from "./stats-item.js";

export function registerBrokerStatsData(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.VIEW_BROKER_STATS_DATA, brokerStatsData);
}

function brokerStatsData(context: BrokerContext, { header }: Request): Answer {
  const name = requiredText(header, "statsName");
  const key = requiredText(header, "statsKey");
  const item = statsItem(context, name, key);
  if (item === undefined || item.total === 0) {
    return failure(ResponseCode.SYSTEM_ERROR, `The stats <${quoted(name)}> <${quoted(key)}> not exist`);
  }
  const snapshot = ({ sum, tps, avgpt }: StatsSnapshot) => ({
    avgpt: new JavaDouble(avgpt),
    sum,
    tps: new JavaDouble(tps),
  });
  return jsonAnswer({
    statsDay: snapshot(item.day()),
    statsHour: snapshot(item.hour()),
    statsMinute: snapshot(item.minute()),
  });
}

/** Keys as in BrokerStatsManager.java: a topic, `topic@group`, or the cluster. */
function statsItem({ config, stats, topics }: BrokerContext, name: string, key: string): StatsItem | undefined {
  const [topic = "", group = ""] = key.split("@");
  const isCluster = key === config.brokerClusterName;
  switch (name) {
    case "TOPIC_PUT_NUMS":
      return topics.get(key)?.puts;
    case "TOPIC_PUT_SIZE":
      return topics.get(key)?.putSizes;
    case "GROUP_GET_NUMS":
      return stats.findGroupGets(group, topic)?.nums;
    case "GROUP_GET_SIZE":
      return stats.findGroupGets(group, topic)?.sizes;
    case "SNDBCK_PUT_NUMS":
      return stats.findGroupGets(group, topic)?.sendBacks;
    case "BROKER_PUT_NUMS":
      return isCluster ? stats.brokerPuts : undefined;
    case "BROKER_GET_NUMS":
      return isCluster ? stats.brokerGets : undefined;
    default:
      return undefined;
  }
}
