/** `cometmq timer …`: messages that wait for their time. */
import type { Command } from "commander";
import { RequestCode } from "../remoting/codes.js";
import { parseRecallHandle } from "../server/broker/timer/recall-handle.js";
import { asKey, asMap, longMember, mapMember } from "../server/protocol/members.js";
import { isoTime } from "./remote/message-text.js";
import { onCluster, type Remote, remoteVerb, verbGroup } from "./remote/remote-verb.js";
import { formatTime } from "./table.js";

export function addTimerCommand(program: Command): void {
  const timer = verbGroup(program, "timer", "messages that wait for their time");
  onCluster(remoteVerb(timer, "list", "how many wait for each topic"), listTimers);
  const cancel = remoteVerb(
    timer,
    "cancel <topic> <handle>",
    "take one back, by the recall handle its producer was told",
  );
  onCluster(cancel, cancelTimer);
}

async function listTimers(remote: Remote<object>): Promise<undefined> {
  const rows = [];
  for (const { address, brokerName } of await remote.cluster.brokers()) {
    const body = await remote.cluster.askJson(address, RequestCode.GET_TIMER_METRICS);
    for (const [key, value] of mapMember(body, "timingCount") ?? []) {
      const metric = asMap(value, "timingCount");
      const changedMs = longMember(metric, "timeStamp", 0);
      const topic = asKey(key, "timingCount");
      rows.push({ topic, brokerName, count: longMember(metric, "count", 0), lastChange: isoTime(changedMs) });
    }
  }
  await remote.rows(rows, [
    { head: "topic", cell: ({ topic }) => topic },
    { head: "broker", cell: ({ brokerName }) => brokerName },
    { head: "waiting", align: "right", cell: ({ count }) => count },
    { head: "last change", cell: ({ lastChange }) => formatTime(Date.parse(lastChange)) },
  ]);
  return undefined;
}

async function cancelTimer(remote: Remote<object>, topic: string, handle: string): Promise<undefined> {
  const { cluster } = remote;
  const queues = await cluster.writeQueues(topic);
  // The handle says which broker has the message; one that has it not refuses.
  const addresses = [...new Map(queues.map(({ brokerName, address }) => [brokerName, address]))];
  const named = parseRecallHandle(handle)?.brokerName;
  const [, address] = addresses.find(([name]) => name === named) ?? addresses[0]!;
  const fields = { producerGroup: "TOOLS_PRODUCER", topic, recallHandle: handle };
  const answer = await cluster.ask(address, RequestCode.RECALL_MESSAGE, fields);
  const msgId = answer.fields["msgId"] ?? "";
  if (remote.flags.json) await remote.line({ topic, msgId });
  else await remote.say(`${msgId} will not be delivered`);
  return undefined;
}
