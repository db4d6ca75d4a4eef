/** The header fields of a message that is sent: SendMessageRequestHeader, and its one-letter form SendMessageRequestHeaderV2. */
export interface FieldNames {
  readonly producerGroup: string;
  readonly topic: string;
  readonly defaultTopic: string;
  readonly defaultTopicQueueNums: string;
  readonly queueId: string;
  readonly sysFlag: string;
  readonly bornTimestamp: string;
  readonly flag: string;
  readonly properties: string;
  readonly reconsumeTimes: string;
  readonly unitMode: string;
  readonly maxReconsumeTimes: string;
  readonly batch: string;
}

export const LONG_NAMES: FieldNames = {
  producerGroup: "producerGroup",
  topic: "topic",
  defaultTopic: "defaultTopic",
  defaultTopicQueueNums: "defaultTopicQueueNums",
  queueId: "queueId",
  sysFlag: "sysFlag",
  bornTimestamp: "bornTimestamp",
  flag: "flag",
  properties: "properties",
  reconsumeTimes: "reconsumeTimes",
  unitMode: "unitMode",
  maxReconsumeTimes: "maxReconsumeTimes",
  batch: "batch",
};

export const LETTERS: FieldNames = {
  producerGroup: "a",
  topic: "b",
  defaultTopic: "c",
  defaultTopicQueueNums: "d",
  queueId: "e",
  sysFlag: "f",
  bornTimestamp: "g",
  flag: "h",
  properties: "i",
  reconsumeTimes: "j",
  unitMode: "k",
  maxReconsumeTimes: "l",
  batch: "m",
};
