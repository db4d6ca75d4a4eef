/**
 * CVE-2019-17572: a topic called ../../../../x became a directory. Names that are paths, in every field and in every
 * member of a body, with every request code there is, to broker and name server: what they keep stays where it was told
 * to be, under names of its own.
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { formatProperties } from "#src/record/properties.js";
import { frameOf, goldenRequests } from "../fuzz/mutations.js";
import { closeAll, send, startBroker, startNameServer, temporaryDirectory, treeOf } from "../server/harness.js";
import { BareSocket, requestBytes, until } from "../unit/remoting/peers.js";

afterEach(closeAll);

const MARK = "escaped-by-name";
const SENTINEL = 0x7ffffff0;

/** Codes that a client or a tool sends nowhere, and numbers that are none, are sent as well. */
const CODES = [...new Set([...Object.values(RequestCode), 0, 1, 9999, 32767])];

function pathNames(outside: string): string[] {
  const deep = "../".repeat(12);
  return [
    `../../${MARK}`,
    `${deep}${outside.slice(1)}/${MARK}`,
    `${outside}/${MARK}`,
    `..\\..\\${MARK}`,
    `%RETRY%../../${MARK}`,
    `%DLQ%../${MARK}`,
    `%LMQ%../../${MARK}`,
    `x/../../../${MARK}`,
    `x\0/../${MARK}`,
    "..",
    ".",
  ];
}

/** Fields of the golden requests of a code; of all of them where there is none. */
function fieldsOf(code: number, known: ReadonlyMap<number, Set<string>>): readonly string[] {
  const own = known.get(code);
  if (own !== undefined) return [...own];
  return [...new Set([...known.values()].flatMap((names) => [...names]))];
}

function bodies(name: string): (string | undefined)[] {
  const queue = { topic: name, brokerName: name, queueId: 0 };
  const members = {
    ...{
      topic: name,
      topicName: name,
      group: name,
      groupName: name,
      consumerGroup: name,
      clientId: name,
      clientID: name,
    },
    ...{ topicConfigList: [{ topicName: name }], groupConfigList: [{ groupName: name }] },
    ...{ mqSet: [queue], username: name, password: "x", subject: `User:${name}`, brokerName: name, path: name },
    consumerDataSet: [{ groupName: name, subscriptionDataSet: [{ topic: name, subString: "*" }] }],
    producerDataSet: [{ groupName: name }],
    policies: [{ entries: [{ resource: `Topic:${name}`, actions: ["All"], decision: "Allow" }] }],
    topicConfigTable: { [name]: { topicName: name, readQueueNums: 1, writeQueueNums: 1, perm: 6 } },
    topicConfigSerializeWrapper: { topicConfigTable: { [name]: { topicName: name } }, dataVersion: { counter: 1 } },
    offsetTable: { [`${name}@${name}`]: { 0: 1 } },
    subscriptionData: { topic: name, subString: "*" },
  };
  const settings = ["storePathRootDir", "configStorePath", "kvConfigPath", "rocketmqHome", "maxMessageSize"];
  return [undefined, JSON.stringify(members), settings.map((key) => `${key}=${name}`).join("\n"), "x"];
}

const TEXTS =
  /topic|group|name|namespace|key|value|b$|^[ab]$|broker|cluster|path|dir|file|client|subject|type|expr|sub/i;

function* frames(names: readonly string[]): Generator<Buffer> {
  const known = new Map<number, Set<string>>();
  const sound = new Map<number, Readonly<Record<string, string>>>();
  for (const { code, fields } of goldenRequests()) {
    const own = known.get(code) ?? new Set();
    for (const name of Object.keys(fields)) own.add(name);
    known.set(code, own);
    sound.set(code, fields);
  }
  let opaque = 0;
  for (const code of CODES) {
    const base = { ...sound.get(code), suspendTimeoutMillis: "0", pollTime: "0", timeoutMillis: "0" };
    const texts = fieldsOf(code, known).filter((field) => TEXTS.test(field));
    for (const name of names) {
      const every = Object.fromEntries(texts.map((field) => [field, name]));
      for (const body of bodies(name)) yield frameOf(code, { ...base, ...every }, Buffer.from(body ?? ""), ++opaque);
      // Few codes have more than some of these; the rest of the fields is sound then.
      if (!known.has(code)) continue;
      for (const field of texts) yield frameOf(code, { ...base, [field]: name }, Buffer.from(""), ++opaque);
    }
  }
}

async function tell(port: number, sentinel: number, all: Iterable<Buffer>): Promise<number> {
  let sent = 0;
  let batch: Buffer[] = [];
  const deliver = async () => {
    const peer = (await BareSocket.open(port)).readFrames();
    peer.socket.write(Buffer.concat([...batch, requestBytes({ code: sentinel, opaque: SENTINEL })]));
    sent += batch.length;
    batch = [];
    let closed = false;
    void peer.closed.then(() => {
      closed = true;
    });
    await until(() => closed || peer.frames.some(({ opaque }) => opaque === SENTINEL), "the end of a batch");
    expect(closed).toBe(false);
    peer.socket.destroy();
  };
  for (const frame of all) {
    batch.push(frame);
    if (batch.length === 500) await deliver();
  }
  await deliver();
  return sent;
}

test("no name from the wire becomes a path", { timeout: 60_000 }, async () => {
  const parent = temporaryDirectory();
  const outside = join(parent, "outside");
  mkdirSync(outside);
  const directory = join(parent, "a", "b", "store");
  const names = pathNames(outside);
  const kvConfigPath = join(parent, "names", "kvConfig.json");
  const nameServer = await startNameServer({ disk: new FileDisk("file"), kvConfigPath });
  const { broker, log, client } = await startBroker({ directory, config: { autoCreateTopicEnable: true } });
  const own = client();
  for (const name of names) {
    const lmq = formatProperties([["INNER_MULTI_DISPATCH", `%LMQ%${name},${name}`]]);
    await send(own, { topic: "T", properties: lmq }, "x");
    await send(
      own,
      {
        topic: "T",
        properties: formatProperties([
          ["RETRY_TOPIC", name],
          ["REAL_TOPIC", name],
        ]),
      },
      "x",
    );
  }
  const count = await tell(broker.port, RequestCode.GET_BROKER_CONFIG, frames(names));
  expect(count).toBeGreaterThan(CODES.length * names.length * 4);
  await tell(nameServer.port, RequestCode.GET_NAMESRV_CONFIG, frames(names));
  expect((await send(own, { topic: "T" }, "after")).code).toBe(ResponseCode.SUCCESS);
  await broker.store.settled();
  expect(log.at("error", /./)).toEqual([]);
  await broker.close();
  await nameServer.close();

  const tree = treeOf(parent);
  expect(tree.filter((path) => path.includes(MARK) || path.includes("\\") || path.includes("outside/"))).toEqual([]);
  const roots = new Set(tree.map((path) => path.split("/").slice(0, 3).join("/")));
  expect([...roots].filter((path) => !/^(a|a\/b|a\/b\/store|outside|names.*)$/.test(path))).toEqual([]);
  for (const above of [parent, dirname(parent), dirname(dirname(parent)), "/", process.cwd()]) {
    expect([above, existsSync(join(above, MARK))]).toEqual([above, false]);
  }
});
