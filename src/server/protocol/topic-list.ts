/** Names of topics, and a broker to ask about them. JSON shape: remoting/protocol/body/TopicList.java. */
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { asText, listMember, textMember } from "./members.js";

export interface TopicList {
  readonly topicList: readonly string[];
  readonly brokerAddr?: string | undefined;
}

export function topicListJson(list: TopicList): FastjsonInput {
  return { brokerAddr: list.brokerAddr, topicList: list.topicList };
}

export function readTopicList(map: FastjsonMap): TopicList {
  return {
    topicList: listMember(map, "topicList").map((topic) => asText(topic, "topicList")),
    brokerAddr: textMember(map, "brokerAddr"),
  };
}
