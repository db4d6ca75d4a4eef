/** What stands between clients and a server that is not to be touched: relays whose connections hang, and routes through them. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { brokerProcessor } from "#src/client/broker-requests.js";
import { silentLogger } from "#src/base/log.js";
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode } from "#src/remoting/codes.js";
import { RemotingServer } from "#src/remoting/server.js";
import { ANSWER_MS, onCloseAll } from "../server/harness.js";

export interface Relay {
  readonly address: string;
  /** Connections so far. */
  readonly count: number;
  /** Those there are bring nothing any more and stay open, as when a machine has lost its power; new ones are relayed. */
  mute(): void;
  /** Those there are end; new ones are relayed. */
  cut(): void;
}

export async function relayTo(address: string): Promise<Relay> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let count = 0;
  const [host, port] = address.split(":");
  const server = createServer((socket) => {
    count++;
    const far = connect(Number(port), host);
    const pair = [socket, far] as const;
    pairs.add(pair);
    for (const [from, to] of [pair, [far, socket]] as const) {
      from.on("error", () => {});
      from.on("data", (chunk) => void to.write(chunk));
      from.on("close", () => {
        to.destroy();
        pairs.delete(pair);
      });
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const each = (act: (socket: Socket) => void) => {
    for (const pair of pairs) for (const socket of pair) act(socket);
  };
  onCloseAll(() => {
    each((socket) => socket.destroy());
    server.close();
  });
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    get count() {
      return count;
    },
    mute: () => each((socket) => void socket.removeAllListeners("data").resume()),
    cut: () => each((socket) => socket.destroy()),
  };
}

type Addresses = Record<string, string>;
interface RouteBody {
  readonly brokerDatas: { cluster: string; brokerName: string; brokerAddrs: Addresses }[];
  readonly queueDatas: object[];
}

/** A name server with the routes of `namesrvAddr`, in which every broker is behind a relay; and `deadMaster`, to send to. */
export async function startRelayedNameServer(namesrvAddr: string, deadMaster?: string) {
  const [host, port] = namesrvAddr.split(":");
  const real = new RemotingClient(host!, Number(port));
  const relays = new Map<string, Relay>();
  const relayed = async (address: string): Promise<string> => {
    if (!relays.has(address)) relays.set(address, await relayTo(address));
    return relays.get(address)!.address;
  };
  const route = brokerProcessor(async ({ fields }) => {
    const asked = Object.fromEntries(fields);
    const { code, remark, body } = await real.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, asked, undefined, ANSWER_MS);
    if (code !== 0) return { code, remark };
    const { brokerDatas, queueDatas } = JSON.parse(body.toString()) as RouteBody;
    for (const { brokerAddrs } of brokerDatas)
      for (const [id, address] of Object.entries(brokerAddrs)) brokerAddrs[id] = await relayed(address);
    if (deadMaster !== undefined) {
      brokerDatas.push({ cluster: "c", brokerName: "a-dead-one", brokerAddrs: { "0": deadMaster } });
      queueDatas.push({ brokerName: "a-dead-one", readQueueNums: 4, writeQueueNums: 4, perm: 2, topicSysFlag: 0 });
    }
    return { code, body: Buffer.from(JSON.stringify({ brokerDatas, queueDatas })) };
  }, silentLogger);
  const processors = new Map([[RequestCode.GET_ROUTEINFO_BY_TOPIC as number, route]]);
  const server = new RemotingServer({ name: "relayed name server", processors });
  await server.listen();
  onCloseAll(async () => {
    await real.close();
    await server.close();
  });
  return { address: `127.0.0.1:${server.port}`, relays };
}
