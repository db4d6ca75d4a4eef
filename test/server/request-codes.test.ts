/** The list of request codes says what is served; and the codes that a group's reading of a topic is governed by. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { RemotingClient } from "#src/remoting/client.js";
import type { Fields } from "#src/remoting/types.js";
import { heartbeatBody } from "../unit/broker/harness.js";
import { ANSWER_MS, clientOf, closeAll, pull, send, startBroker, startNameServer } from "./harness.js";

const PAGE = join(import.meta.dirname, "../../docs/reference/request-codes.md");
const ROW = /^\| (\d+) \| ([A-Z_0-9]+) \| ([a-z, ]+|–) \| (.*) \|$/;

afterEach(closeAll);

test("docs/reference/request-codes.md says what broker and name server answer", async () => {
  const { broker } = await startBroker();
  const nameServer = clientOf((await startNameServer()).port);
  const rows = readFileSync(PAGE, "utf8")
    .split("\n")
    .flatMap((line) => [ROW.exec(line) ?? []].filter(({ length }) => length));
  const listed = new Map(rows.map(([, code, name, served, remark]) => [Number(code), { name, served, remark }]));
  expect(listed.size).toBe(rows.length);
  for (const [name, code] of Object.entries(RequestCode)) {
    const byNameServer = (await nameServer.call(code, {}, undefined, ANSWER_MS)).code !== 3;
    const served = [broker.processors.has(code) ? "broker" : "", byNameServer ? "name server" : ""].filter(Boolean);
    expect(listed.get(code), name).toMatchObject({ name, served: served.join(", ") || "–" });
    if (served.length === 0) expect(listed.get(code)!.remark, name).not.toBe("");
  }
  expect(listed.size).toBe(Object.keys(RequestCode).length);
});

async function ok(client: RemotingClient, code: number, fields: Fields, body?: string): Promise<string> {
  const answer = await client.call(code, fields, body === undefined ? undefined : Buffer.from(body), ANSWER_MS);
  expect(answer).toMatchObject({ code: ResponseCode.SUCCESS });
  return answer.body.toString();
}

test("a group that is forbidden a topic is refused there and nowhere else, also after a restart", async () => {
  const { broker, client, directory } = await startBroker();
  let consumer = client();
  await send(consumer, { topic: "T" }, "x");
  await send(consumer, { topic: "U" }, "x");
  const heartbeat = () =>
    ok(
      consumer,
      RequestCode.HEART_BEAT,
      {},
      heartbeatBody("c", "G", [
        ["T", "*"],
        ["U", "*"],
      ]),
    );
  const codeOf = async (topic: string) => (await pull(consumer, { topic, sysFlag: 0, queueOffset: 9 })).code;
  const change = (topic: string, readable?: boolean) =>
    ok(consumer, RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, { group: "G", topic, readable });
  await heartbeat();
  expect(await change("T")).toBe('{"group":"G","readable":true,"topic":"T"}');
  expect(await change("T", false)).toBe('{"group":"G","readable":false,"topic":"T"}');
  await change("U", false);
  await change("U", true);
  expect(await codeOf("T")).toBe(ResponseCode.NO_PERMISSION);
  expect(await codeOf("U")).not.toBe(ResponseCode.NO_PERMISSION);
  await broker.close();
  consumer = (await startBroker({ directory })).client();
  await heartbeat();
  expect(await codeOf("T")).toBe(ResponseCode.NO_PERMISSION);
  expect(await change("T", true)).toBe('{"group":"G","readable":true,"topic":"T"}');
  expect(await codeOf("T")).not.toBe(ResponseCode.NO_PERMISSION);
});

test.each<[Fields, number, RegExp]>([
  [{ topic: "T" }, ResponseCode.SYSTEM_ERROR, /group/],
  [{ group: "G" }, ResponseCode.SYSTEM_ERROR, /topic/],
  [{ group: "G", topic: "Unknown", readable: false }, ResponseCode.TOPIC_NOT_EXIST, /Unknown/],
  [{ group: "../x", topic: "T", readable: false }, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, /\.\.\/x/],
])("forbidding %o is refused", async (fields, code, remark) => {
  const client = (await startBroker()).client();
  await send(client, { topic: "T" }, "x");
  const answer = await client.call(RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, fields, undefined, ANSWER_MS);
  expect(answer).toMatchObject({ code, remark: expect.stringMatching(remark) });
});

test("a question for correction offsets leaves groups out and does not delete their offsets", async () => {
  const client = (await startBroker()).client();
  for (let i = 0; i < 9; i++) await send(client, { topic: "T", queueId: 0 }, "x");
  const commit = (consumerGroup: string, commitOffset: number) =>
    ok(client, RequestCode.UPDATE_CONSUMER_OFFSET, { consumerGroup, topic: "T", queueId: 0, commitOffset });
  for (const [group, offset] of [
    ["A", 3],
    ["B", 5],
    ["C", 7],
  ] as const) {
    await ok(client, RequestCode.HEART_BEAT, {}, heartbeatBody("c", group, [["T", "*"]]));
    await commit(group, offset);
  }
  const ask = (compareGroup: string, filterGroups?: string) =>
    ok(client, RequestCode.QUERY_CORRECTION_OFFSET, { topic: "T", compareGroup, filterGroups });
  expect(await ask("C")).toBe('{"correctionOffsets":{0:3}}');
  expect(await ask("C", "A")).toBe('{"correctionOffsets":{0:5}}');
  expect(await ask("A", "A")).toBe('{"correctionOffsets":{0:9223372036854775807}}');
  expect(await ask("C")).toBe('{"correctionOffsets":{0:3}}');
  const uncompared = ok(client, RequestCode.QUERY_CORRECTION_OFFSET, { topic: "T" });
  expect(await uncompared).toBe('{"correctionOffsets":{0:3}}');
  const unknown = ok(client, RequestCode.QUERY_CORRECTION_OFFSET, { topic: "Unknown", compareGroup: "C" });
  expect(await unknown).toBe('{"correctionOffsets":{}}');
});

test("without a controller, copies or RocksDB, tools hear so", async () => {
  const client = (await startBroker()).client();
  const codeOf = async (code: number, fields: Fields) => (await client.call(code, fields, undefined, ANSWER_MS)).code;
  expect(await codeOf(RequestCode.RESET_MASTER_FLUSH_OFFSET, { masterFlushOffset: 5 })).toBe(ResponseCode.SUCCESS);
  expect(await codeOf(RequestCode.GET_BROKER_EPOCH_CACHE, {})).toBe(ResponseCode.SYSTEM_ERROR);
  const another = { minBrokerId: 1, brokerName: "b", minBrokerAddr: "10.0.0.1:10911" };
  expect(await codeOf(RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE, another)).toBe(ResponseCode.SUCCESS);
  const roles = { masterBrokerId: 1, masterEpoch: 1, syncStateSetEpoch: 1 };
  expect(await codeOf(RequestCode.NOTIFY_BROKER_ROLE_CHANGED, roles)).toBe(ResponseCode.SUCCESS);
  const master = { masterHaAddress: "10.0.0.1:10912", masterAddress: "10.0.0.1:10911", masterFlushOffset: 0 };
  expect(await codeOf(RequestCode.EXCHANGE_BROKER_HA_INFO, master)).toBe(ResponseCode.SUCCESS);
  const slave = await client.call(RequestCode.EXCHANGE_BROKER_HA_INFO, {}, undefined, ANSWER_MS);
  expect(slave).toMatchObject({
    code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
    remark: expect.stringContaining("no slaves"),
  });
  expect(await codeOf(RequestCode.SWITCH_TIMER_ENGINE, { E_T: "F" })).toBe(ResponseCode.SUCCESS);
  expect(await codeOf(RequestCode.SWITCH_TIMER_ENGINE, { E_T: "R" })).toBe(ResponseCode.INVALID_PARAMETER);
  expect(await codeOf(RequestCode.SWITCH_TIMER_ENGINE, {})).toBe(ResponseCode.INVALID_PARAMETER);
  expect(await codeOf(RequestCode.EXPORT_ROCKSDB_CONFIG_TO_JSON, { configType: "topics" })).toBe(ResponseCode.SUCCESS);
  expect(await codeOf(RequestCode.POP_ROLLBACK, {})).toBe(ResponseCode.SUCCESS);
  const checked = await ok(client, RequestCode.CHECK_ROCKSDB_CQ_WRITE_PROGRESS, { topic: "T" });
  expect(JSON.parse(checked)).toMatchObject({ checkStatus: 0 });
});
