/** `cometmq config …`: properties of running servers. */
import type { Command } from "commander";
import { CometError } from "../base/errors.js";
import { RequestCode } from "../remoting/codes.js";
import { formatProperties, parseProperties } from "../server/protocol/java-properties.js";
import { onCluster, type Remote, remoteVerb, verbGroup } from "./remote/remote-verb.js";

interface ConfigFlags {
  readonly broker?: string;
  readonly cluster?: string;
  readonly nameServer?: boolean;
}

export function addConfigCommand(program: Command): void {
  const config = verbGroup(program, "config", "properties of running brokers and name servers");
  onCluster(target(remoteVerb(config, "get [name...]", "all of them, or those named")), getConfig);
  onCluster(target(remoteVerb(config, "set <name=value...>", "change them while it runs")), setConfig);
}

function target(verb: Command): Command {
  return verb
    .option("--broker <name>", "of this broker only: its name, or host:port")
    .option("--cluster <name>", "of the brokers of this cluster only")
    .option("--name-server", "of the name servers");
}

/** Names and addresses. */
async function serversOf({ cluster, flags }: Remote<ConfigFlags>): Promise<[server: string, address: string][]> {
  if (flags.nameServer) return cluster.namesrvs.map((address) => [address, address]);
  return (await cluster.brokers(flags)).map(({ brokerName, address }) => [brokerName, address]);
}

async function getConfig(remote: Remote<ConfigFlags>, names: readonly string[]): Promise<undefined> {
  const code = remote.flags.nameServer ? RequestCode.GET_NAMESRV_CONFIG : RequestCode.GET_BROKER_CONFIG;
  const rows = [];
  for (const [server, address] of await serversOf(remote)) {
    const properties = parseProperties((await remote.cluster.ask(address, code)).body.toString());
    for (const name of names.length > 0 ? names : [...properties.keys()].sort()) {
      const value = properties.get(name);
      if (value === undefined) throw new CometError("COMETMQ_NOT_FOUND", `${server} has no property ${name}.`);
      rows.push({ server, name, value });
    }
  }
  await remote.rows(rows, [
    { head: "server", cell: ({ server }) => server },
    { head: "name", cell: ({ name }) => name },
    { head: "value", cell: ({ value }) => value },
  ]);
  return undefined;
}

async function setConfig(remote: Remote<ConfigFlags>, changes: readonly string[]): Promise<undefined> {
  const properties = new Map<string, string>();
  for (const change of changes) {
    const at = change.indexOf("=");
    if (at < 1) throw new CometError("COMETMQ_CONFIG", `${change} is not name=value.`);
    properties.set(change.slice(0, at), change.slice(at + 1));
  }
  const code = remote.flags.nameServer ? RequestCode.UPDATE_NAMESRV_CONFIG : RequestCode.UPDATE_BROKER_CONFIG;
  const body = Buffer.from(formatProperties(properties));
  for (const [server, address] of await serversOf(remote)) {
    await remote.cluster.ask(address, code, {}, body);
    for (const [name, value] of properties) {
      if (remote.flags.json) await remote.line({ server, name, value });
      else await remote.say(`${server}: ${name}=${value}`);
    }
  }
  return undefined;
}
