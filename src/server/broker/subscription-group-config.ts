/**
 * A consumer group as administrators set it: JSON shape of remoting/protocol/subscription/SubscriptionGroupConfig.java,
 * in `subscriptionGroup.json`, in requests 200 and 225, in the answers to 201 and 352.
 */
import { CometError } from "../../base/errors.js";
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import {
  asLong,
  asMap,
  booleanMember,
  intMember,
  listMember,
  longMember,
  mapMember,
  textMapMember,
  textMember,
} from "../protocol/members.js";
import type { Named } from "./name-table.js";

const LIST_MAX = 4096;

export interface GroupRetryPolicy {
  readonly type: "CUSTOMIZED" | "EXPONENTIAL";
  readonly exponentialRetryPolicy?: { readonly initial: number; readonly max: number; readonly multiplier: number };
  /** Milliseconds before each retry. */
  readonly customizedRetryPolicy?: { readonly next: readonly number[] };
}

export interface SimpleSubscription {
  readonly topic?: string | undefined;
  readonly expressionType?: string | undefined;
  readonly expression?: string | undefined;
  readonly version: number;
}

export interface SubscriptionGroupConfig {
  readonly groupName: string;
  readonly consumeEnable: boolean;
  readonly consumeFromMinEnable: boolean;
  readonly consumeBroadcastEnable: boolean;
  readonly consumeMessageOrderly: boolean;
  readonly retryQueueNums: number;
  readonly retryMaxTimes: number;
  readonly groupRetryPolicy: GroupRetryPolicy;
  readonly brokerId: number;
  readonly whichBrokerWhenConsumeSlowly: number;
  readonly notifyConsumerIdsChangedEnable: boolean;
  readonly groupSysFlag: number;
  readonly consumeTimeoutMinute: number;
  readonly subscriptionDataSet?: readonly SimpleSubscription[] | undefined;
  readonly attributes: ReadonlyMap<string, string>;
}

/** One group, interned: the object stays while its settings change. */
export class SubscriptionGroup implements Named, SubscriptionGroupConfig {
  readonly name: string;
  readonly nameBytes: Buffer;
  consumeEnable = true;
  consumeFromMinEnable = true;
  consumeBroadcastEnable = true;
  consumeMessageOrderly = false;
  retryQueueNums = 1;
  retryMaxTimes = 16;
  groupRetryPolicy: GroupRetryPolicy = { type: "CUSTOMIZED" };
  brokerId = 0;
  whichBrokerWhenConsumeSlowly = 1;
  notifyConsumerIdsChangedEnable = true;
  groupSysFlag = 0;
  consumeTimeoutMinute = 15;
  subscriptionDataSet: readonly SimpleSubscription[] | undefined = undefined;
  attributes: ReadonlyMap<string, string> = new Map();

  constructor(name: string) {
    this.name = name;
    this.nameBytes = Buffer.from(name);
  }

  get groupName(): string {
    return this.name;
  }

  assign(config: SubscriptionGroupConfig): this {
    const { groupName: _own, ...settings } = config;
    return Object.assign(this, settings);
  }
}

/** What is not said has Apache's default. Throws COMETMQ_BAD_REQUEST. */
export function readSubscriptionGroupConfig(map: FastjsonMap, key: string): SubscriptionGroupConfig {
  const standard = new SubscriptionGroup("");
  const flag = (name: keyof SubscriptionGroupConfig) => booleanMember(map, name, standard[name] as boolean);
  const int = (name: keyof SubscriptionGroupConfig) => intMember(map, name, standard[name] as number);
  return {
    groupName: textMember(map, "groupName") ?? key,
    consumeEnable: flag("consumeEnable"),
    consumeFromMinEnable: flag("consumeFromMinEnable"),
    consumeBroadcastEnable: flag("consumeBroadcastEnable"),
    consumeMessageOrderly: flag("consumeMessageOrderly"),
    retryQueueNums: int("retryQueueNums"),
    retryMaxTimes: int("retryMaxTimes"),
    groupRetryPolicy: readRetryPolicy(mapMember(map, "groupRetryPolicy")),
    brokerId: longMember(map, "brokerId", standard.brokerId),
    whichBrokerWhenConsumeSlowly: longMember(map, "whichBrokerWhenConsumeSlowly", 1),
    notifyConsumerIdsChangedEnable: flag("notifyConsumerIdsChangedEnable"),
    groupSysFlag: int("groupSysFlag"),
    consumeTimeoutMinute: int("consumeTimeoutMinute"),
    subscriptionDataSet: readSimpleSubscriptions(map),
    attributes: textMapMember(map, "attributes"),
  };
}

function readRetryPolicy(map: FastjsonMap | undefined): GroupRetryPolicy {
  if (map === undefined) return { type: "CUSTOMIZED" };
  const exponential = mapMember(map, "exponentialRetryPolicy");
  const customized = mapMember(map, "customizedRetryPolicy");
  return {
    type: map.get("type") === "EXPONENTIAL" ? "EXPONENTIAL" : "CUSTOMIZED",
    ...(exponential && {
      exponentialRetryPolicy: {
        initial: longMember(exponential, "initial", 5000),
        max: longMember(exponential, "max", 7_200_000),
        multiplier: longMember(exponential, "multiplier", 2),
      },
    }),
    ...(customized && {
      customizedRetryPolicy: { next: bounded(listMember(customized, "next")).map((delay) => asLong(delay, "next")) },
    }),
  };
}

function readSimpleSubscriptions(map: FastjsonMap): SimpleSubscription[] | undefined {
  const list = map.get("subscriptionDataSet");
  if (list === undefined || list === null) return undefined;
  return bounded(listMember(map, "subscriptionDataSet")).map((item) => {
    const subscription = asMap(item, "subscriptionDataSet");
    return {
      topic: textMember(subscription, "topic"),
      expressionType: textMember(subscription, "expressionType"),
      expression: textMember(subscription, "expression"),
      version: longMember(subscription, "version", 0),
    };
  });
}

function bounded<T>(list: T[]): T[] {
  if (list.length <= LIST_MAX) return list;
  throw new CometError("COMETMQ_BAD_REQUEST", `A list of a group's settings has more than ${LIST_MAX} entries.`);
}

export function subscriptionGroupConfigJson(config: SubscriptionGroupConfig): FastjsonInput {
  const { customizedRetryPolicy, exponentialRetryPolicy, type } = config.groupRetryPolicy;
  return {
    attributes: config.attributes,
    brokerId: config.brokerId,
    consumeBroadcastEnable: config.consumeBroadcastEnable,
    consumeEnable: config.consumeEnable,
    consumeFromMinEnable: config.consumeFromMinEnable,
    consumeMessageOrderly: config.consumeMessageOrderly,
    consumeTimeoutMinute: config.consumeTimeoutMinute,
    groupName: config.groupName,
    groupRetryPolicy: { customizedRetryPolicy, exponentialRetryPolicy, type },
    groupSysFlag: config.groupSysFlag,
    notifyConsumerIdsChangedEnable: config.notifyConsumerIdsChangedEnable,
    retryMaxTimes: config.retryMaxTimes,
    retryQueueNums: config.retryQueueNums,
    subscriptionDataSet: config.subscriptionDataSet?.map((item) => ({ ...item })),
    whichBrokerWhenConsumeSlowly: config.whichBrokerWhenConsumeSlowly,
  };
}
