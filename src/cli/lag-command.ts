/** `cometmq lag`: how far groups are behind. */
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { groupsOfBroker, isSystemGroup, lagOf, membersOf, type QueueLag } from "./remote/groups.js";
import { isoTime } from "./remote/message-text.js";
import { onCluster, type Remote, remoteVerb, type Shown, wholeNumber } from "./remote/remote-verb.js";
import { ExitCode } from "./store-run.js";
import { formatTime } from "./table.js";

interface LagFlags {
  readonly topic?: string;
  readonly max?: number;
}

export function addLagCommand(program: Command): void {
  const verb = remoteVerb(program, "lag [group]", "how far a group is behind, queue by queue; all groups without one")
    .option("--topic <topic>", "of this topic only")
    .option("--max <n>", "exit with 1 where more messages than that are behind", wholeNumber);
  onCluster(verb, showLag);
}

type LagRow = Omit<QueueLag, "lastTimestamp"> & { readonly lastConsumed: string };

/** As it is shown. */
export function lagRow({ lastTimestamp, ...lag }: QueueLag): LagRow {
  return { ...lag, lastConsumed: lastTimestamp > 0 ? isoTime(lastTimestamp) : "" };
}

export const LAG_COLUMNS: readonly Shown<LagRow>[] = [
  { head: "topic", cell: ({ topic }) => topic },
  { head: "broker", cell: ({ brokerName }) => brokerName },
  { head: "queue", align: "right", cell: ({ queueId }) => queueId },
  { head: "broker offset", align: "right", cell: ({ brokerOffset }) => brokerOffset },
  { head: "consumer offset", align: "right", cell: ({ consumerOffset }) => consumerOffset },
  { head: "lag", align: "right", cell: ({ lag }) => lag },
  { head: "last consumed", cell: ({ lastConsumed }) => formatTime(Date.parse(lastConsumed)) },
];

async function showLag(remote: Remote<LagFlags>, group: string | undefined): Promise<ExitCode> {
  const worst = group === undefined ? await lagOfAll(remote) : await lagOfOne(remote, group);
  return remote.flags.max !== undefined && worst > remote.flags.max ? ExitCode.FINDINGS : ExitCode.FINE;
}

async function lagOfOne(remote: Remote<LagFlags>, group: string): Promise<number> {
  const { cluster, flags } = remote;
  const lags: QueueLag[] = [];
  for (const { address } of await cluster.brokers()) lags.push(...(await lagOf(cluster, address, group, flags.topic)));
  if (lags.length === 0) {
    const what = flags.topic === undefined ? "anything" : flags.topic;
    throw new CometError("COMETMQ_NOT_FOUND", `The group ${group} has not consumed ${what} yet.`);
  }
  await remote.rows(lags.sort(byPlace).map(lagRow), LAG_COLUMNS);
  return lags.reduce((sum, { lag }) => sum + lag, 0);
}

function byPlace(a: QueueLag, b: QueueLag): number {
  const [left, right] = [`${a.topic} ${a.brokerName}`, `${b.topic} ${b.brokerName}`];
  return left === right ? a.queueId - b.queueId : left < right ? -1 : 1;
}

/** The largest of them. */
async function lagOfAll(remote: Remote<LagFlags>): Promise<number> {
  const { cluster, flags } = remote;
  const rows = new Map<string, { group: string; members: number; lag: number }>();
  for (const broker of await cluster.brokers()) {
    for (const group of (await groupsOfBroker(cluster, broker)).keys()) {
      if (isSystemGroup(group)) continue;
      const row = rows.get(group) ?? { group, members: 0, lag: 0 };
      const lags = await lagOf(cluster, broker.address, group, flags.topic);
      row.lag += lags.reduce((sum, { lag }) => sum + lag, 0);
      const found = await membersOf(cluster, broker.address, group);
      row.members = Math.max(row.members, found?.members.length ?? 0);
      rows.set(group, row);
    }
  }
  const sorted = [...rows.values()].sort((a, b) => b.lag - a.lag);
  await remote.rows(sorted, [
    { head: "group", cell: ({ group }) => group },
    { head: "members", align: "right", cell: ({ members }) => members },
    { head: "lag", align: "right", cell: ({ lag }) => lag },
  ]);
  return sorted[0]?.lag ?? 0;
}
