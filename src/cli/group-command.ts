/** `cometmq group …`: consumer groups of a cluster. */
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { RequestCode } from "../remoting/codes.js";
import { versionName } from "../remoting/mq-version.js";
import { retryTopic } from "../server/broker/names.js";
import {
  readSubscriptionGroupConfig,
  type SubscriptionGroupConfig,
} from "../server/broker/subscription-group-config.js";
import { LAG_COLUMNS, lagRow } from "./lag-command.js";
import type { BrokerEntry, Cluster } from "./remote/cluster.js";
import { groupsOfBroker, isSystemGroup, lagOf, type Member, membersOf, putGroup } from "./remote/groups.js";
import { onCluster, positiveInt, type Remote, remoteVerb, verbGroup, wholeInt } from "./remote/remote-verb.js";
import type { ExitCode } from "./store-run.js";

interface GroupFlags {
  readonly cluster?: string;
  readonly broker?: string;
  readonly retries?: number;
  readonly retryQueues?: number;
  readonly ordered?: boolean;
  readonly consume?: boolean;
  readonly broadcast?: boolean;
}

export function addGroupCommand(program: Command): void {
  const group = verbGroup(program, "group", "list, make, change and delete consumer groups");
  onCluster(
    remoteVerb(group, "list", "groups and how they are set").option("--all", "those of brokers, too"),
    listGroups,
  );
  onCluster(remoteVerb(group, "describe <group>", "one group: settings, members, subscriptions, lag"), describeGroup);
  onCluster(
    changeFlags(remoteVerb(group, "create <group>", "make a group on every broker, or on those named")),
    createGroup,
  );
  onCluster(changeFlags(remoteVerb(group, "update <group>", "change a group: what is not named stays")), updateGroup);
  const remove = remoteVerb(group, "delete <group>", "delete a group").option("--keep-offsets", "so that it can go on");
  onCluster(remove, deleteGroup);
}

function changeFlags(verb: Command): Command {
  return verb
    .option("--retries <n>", "before a message becomes a dead letter", wholeInt)
    .option("--retry-queues <n>", "queues of its retry topic", positiveInt)
    .option("--ordered", "consumed in order")
    .option("--no-ordered", "consumed by many at a time")
    .option("--consume", "it may consume")
    .option("--no-consume", "it may not")
    .option("--broadcast", "it may consume by broadcasting")
    .option("--no-broadcast", "it may not")
    .option("--cluster <name>", "on the brokers of this cluster only")
    .option("--broker <name>", "on this broker only: its name, or host:port");
}

async function listGroups(remote: Remote<{ all?: boolean }>): Promise<undefined> {
  const rows = new Map<
    string,
    { group: string; retryMaxTimes: number; ordered: boolean; consume: boolean; brokers: string[] }
  >();
  for (const broker of await remote.cluster.brokers()) {
    for (const [group, config] of await groupsOfBroker(remote.cluster, broker)) {
      if (remote.flags.all !== true && isSystemGroup(group)) continue;
      const { retryMaxTimes, consumeMessageOrderly, consumeEnable } = config;
      const row = rows.get(group) ?? {
        group,
        retryMaxTimes,
        ordered: consumeMessageOrderly,
        consume: consumeEnable,
        brokers: [],
      };
      row.brokers.push(broker.brokerName);
      rows.set(group, row);
    }
  }
  await remote.rows(
    [...rows.values()].sort((a, b) => (a.group < b.group ? -1 : 1)),
    [
      { head: "group", cell: ({ group }) => group },
      { head: "retries", align: "right", cell: ({ retryMaxTimes }) => retryMaxTimes },
      { head: "ordered", cell: ({ ordered }) => (ordered ? "yes" : "no") },
      { head: "consumes", cell: ({ consume }) => (consume ? "yes" : "no") },
      { head: "brokers", cell: ({ brokers }) => brokers.join(" ") },
    ],
  );
  return undefined;
}

/** Where the group is set. COMETMQ_NOT_FOUND when it is nowhere. */
async function placesOf(
  cluster: Cluster,
  group: string,
  only: GroupFlags = {},
): Promise<{ broker: BrokerEntry; config: SubscriptionGroupConfig }[]> {
  const places = [];
  for (const broker of await cluster.brokers(only)) {
    const config = (await groupsOfBroker(cluster, broker)).get(group);
    if (config !== undefined) places.push({ broker, config });
  }
  if (places.length === 0) throw new CometError("COMETMQ_NOT_FOUND", `No broker knows the group ${group}.`);
  return places;
}

async function describeGroup(remote: Remote<object>, group: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const places = await placesOf(cluster, group);
  const members = new Map<string, Member>();
  const lags = [];
  const subscriptions: Record<string, string> = {};
  let online: { consumeType: string; messageModel: string } | undefined;
  for (const { broker } of places) {
    const found = await membersOf(cluster, broker.address, group);
    for (const member of found?.members ?? []) members.set(member.clientId, member);
    Object.assign(subscriptions, found?.subscriptions);
    online ??= found;
    lags.push(...(await lagOf(cluster, broker.address, group)));
  }
  const { retryMaxTimes, retryQueueNums, consumeEnable, consumeMessageOrderly } = places[0]!.config;
  const about = {
    group,
    brokers: places.map(({ broker }) => broker.brokerName),
    consumeEnable,
    ordered: consumeMessageOrderly,
    retryMaxTimes,
    retryQueueNums,
    consumeType: online?.consumeType,
    messageModel: online?.messageModel,
    subscriptions,
    lag: lags.reduce((sum, { lag }) => sum + lag, 0),
  };
  const shown = [...members.values()].map((member) => ({ ...member, version: versionName(member.version) }));
  if (flags.json) {
    await remote.line({ ...about, members: shown, queues: lags.map(lagRow) });
    return undefined;
  }
  await remote.pairs({ ...about, brokers: about.brokers.join(" "), members: shown.length });
  if (shown.length > 0) {
    await remote.say("");
    await remote.rows(shown, [
      { head: "member", cell: ({ clientId }) => clientId },
      { head: "address", cell: ({ clientAddr }) => clientAddr },
      { head: "language", cell: ({ language }) => language },
      { head: "version", cell: ({ version }) => version },
    ]);
  }
  if (lags.length > 0) {
    await remote.say("");
    await remote.rows(lags.map(lagRow), LAG_COLUMNS);
  }
  return undefined;
}

function changed(config: SubscriptionGroupConfig, flags: GroupFlags): SubscriptionGroupConfig {
  return {
    ...config,
    retryMaxTimes: flags.retries ?? config.retryMaxTimes,
    retryQueueNums: flags.retryQueues ?? config.retryQueueNums,
    consumeMessageOrderly: flags.ordered ?? config.consumeMessageOrderly,
    consumeEnable: flags.consume ?? config.consumeEnable,
    consumeBroadcastEnable: flags.broadcast ?? config.consumeBroadcastEnable,
  };
}

async function createGroup(remote: Remote<GroupFlags>, group: string): Promise<ExitCode | undefined> {
  const { cluster, flags } = remote;
  for (const broker of await cluster.brokers(flags)) {
    if ((await groupsOfBroker(cluster, broker)).has(group)) {
      return remote.refuse(`${group} exists already on ${broker.brokerName}: cometmq group update changes it.`);
    }
    await put(remote, broker, changed(readSubscriptionGroupConfig(new Map(), group), flags), "created");
  }
  return undefined;
}

async function updateGroup(remote: Remote<GroupFlags>, group: string): Promise<undefined> {
  const { cluster, flags } = remote;
  for (const { broker, config } of await placesOf(cluster, group, flags)) {
    await put(remote, broker, changed(config, flags), "changed");
  }
  return undefined;
}

async function put(
  remote: Remote<GroupFlags>,
  { address, brokerName }: BrokerEntry,
  config: SubscriptionGroupConfig,
  deed: string,
): Promise<void> {
  await putGroup(remote.cluster, address, config);
  const { groupName: group, retryMaxTimes, retryQueueNums, consumeEnable, consumeMessageOrderly: ordered } = config;
  if (!remote.flags.json) await remote.say(`${group} ${deed} on ${brokerName}`);
  else await remote.line({ group, brokerName, retryMaxTimes, retryQueueNums, consumeEnable, ordered });
}

async function deleteGroup(remote: Remote<{ keepOffsets?: boolean }>, group: string): Promise<undefined> {
  const { cluster, flags } = remote;
  const names: string[] = [];
  for (const { broker } of await placesOf(cluster, group)) {
    const fields = { groupName: group, cleanOffset: flags.keepOffsets !== true };
    await cluster.ask(broker.address, RequestCode.DELETE_SUBSCRIPTIONGROUP, fields);
    names.push(broker.brokerName);
  }
  if (flags.json) await remote.line({ group, deletedOn: names });
  else await remote.say(`${group} deleted on ${names.join(", ")}; its messages in ${retryTopic(group)} stay`);
  return undefined;
}
