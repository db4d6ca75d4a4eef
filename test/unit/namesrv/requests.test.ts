import { deflateSync, crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { type Fields, SerializeType } from "#src/remoting/types.js";
import { addressOfConnection } from "#src/server/namesrv/namesrv.js";
import { writeRegisterBrokerBody } from "#src/server/protocol/register-broker-body.js";
import type { TopicConfig } from "#src/server/protocol/topic-config.js";
import { type AskOptions, Bench, FakeConnection } from "./harness.js";

const BROKER = {
  clusterName: "C",
  brokerName: "a",
  brokerAddr: "10.0.0.1:10911",
  brokerId: 0,
  haServerAddr: "10.0.0.1:10912",
};

function topicConfig(topicName: string, more: Partial<TopicConfig> = {}): TopicConfig {
  const attributes = new Map<string, string>();
  const queues = { readQueueNums: 4, writeQueueNums: 4 };
  return {
    topicName,
    ...queues,
    perm: 6,
    topicFilterType: "SINGLE_TAG",
    topicSysFlag: 0,
    order: false,
    attributes,
    ...more,
  };
}

function registration(
  topics: TopicConfig[] = [topicConfig("T"), topicConfig("U")],
  compressed = false,
  counter = 1,
): Buffer {
  const dataVersion = { stateVersion: 0, timestamp: 5, counter };
  const topicConfigTable = new Map(topics.map((config) => [config.topicName, config]));
  const wrapper = {
    dataVersion,
    mappingDataVersion: dataVersion,
    topicConfigTable,
    topicQueueMappingInfoMap: new Map(),
  };
  return writeRegisterBrokerBody(wrapper, compressed);
}

function registered(bench: Bench, fields: Fields = {}, options: AskOptions = {}) {
  return bench.ask(RequestCode.REGISTER_BROKER, { ...BROKER, ...fields }, { body: registration(), ...options });
}

const json = (body: Buffer) => JSON.parse(body.toString()) as unknown;

describe.each(Object.entries(SerializeType))("with %s headers", (_name, serializeType) => {
  test("a registration, then the route, the lists and the cluster", () => {
    const bench = new Bench();
    const body = registration();
    const answer = registered(
      bench,
      { bodyCrc32: crc32(body) & 0x7fffffff, compressed: false },
      { body, serializeType },
    );
    expect(answer).toMatchObject({ opaque: 7, code: ResponseCode.SUCCESS, remark: "", fields: {} });
    expect(answer.body).toHaveLength(0);
    const route = bench.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: "T" }, { serializeType });
    expect(route.body.toString()).toBe(
      '{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"a","cluster":"C","enableActingMaster":false}],' +
        '"filterServerTable":{},"queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}',
    );
    const cluster = bench.ask(RequestCode.GET_BROKER_CLUSTER_INFO, {}, { serializeType });
    expect(cluster.body.toString()).toBe(
      '{"brokerAddrTable":{"a":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"a","cluster":"C",' +
        '"enableActingMaster":false}},"clusterAddrTable":{"C":["a"]}}',
    );
    const topics = bench.ask(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, {}, { serializeType });
    expect(json(topics.body)).toEqual({ topicList: ["T", "U"] });
    const system = bench.ask(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS, {}, { serializeType });
    expect(json(system.body)).toEqual({ brokerAddr: "10.0.0.1:10911", topicList: ["C", "a"] });
    const group = bench.ask(
      RequestCode.GET_BROKER_MEMBER_GROUP,
      { clusterName: "C", brokerName: "a" },
      { serializeType },
    );
    expect(group.body.toString()).toBe(
      '{"brokerMemberGroup":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"a","cluster":"C"}}',
    );
  });
});

describe("REGISTER_BROKER", () => {
  test("a compressed body is taken as well, its checksum is that of the compressed bytes", () => {
    const bench = new Bench();
    const body = registration([topicConfig("T", { perm: 4 }), topicConfig("U")], true);
    expect(registered(bench, { compressed: true, bodyCrc32: crc32(body) & 0x7fffffff }, { body }).code).toBe(0);
    expect(bench.table.topicRouteData("T")!.queueDatas[0]!.perm).toBe(4);
  });

  test("a compressed body that is said not to be is taken too: Apache 5.4.0 brokers send such", () => {
    const bench = new Bench();
    const body = registration(undefined, true);
    expect(registered(bench, { compressed: false, bodyCrc32: crc32(body) & 0x7fffffff }, { body }).code).toBe(0);
    expect(bench.table.allTopics().topicList).toEqual(["T", "U"]);
  });

  test("a wrong checksum is refused, 0 is none", () => {
    const bench = new Bench();
    expect(registered(bench, { bodyCrc32: 1 })).toMatchObject({
      code: ResponseCode.SYSTEM_ERROR,
      remark: "crc32 not match",
    });
    expect(bench.table.clusterInfo().brokerAddrTable.size).toBe(0);
    expect(registered(bench, { bodyCrc32: 0 }).code).toBe(ResponseCode.SUCCESS);
  });

  test.each(Object.keys(BROKER))("without %s it is refused", (name) => {
    const bench = new Bench();
    const answer = registered(bench, { [name]: undefined });
    expect(answer.code).toBe(ResponseCode.SYSTEM_ERROR);
    expect(answer.remark).toContain(`The field ${name} is missing.`);
    expect(bench.table.clusterInfo().brokerAddrTable.size).toBe(0);
  });

  test("without a body the broker counts, with no topics", () => {
    const bench = new Bench();
    expect(bench.ask(RequestCode.REGISTER_BROKER, BROKER).code).toBe(ResponseCode.SUCCESS);
    expect(bench.table.clusterInfo().brokerAddrTable.has("a")).toBe(true);
    expect(bench.table.allTopics().topicList).toEqual([]);
  });

  test.each([
    "[]",
    "null",
    "{",
    "\u0000",
    '{"topicConfigSerializeWrapper":[]}',
    '{"topicConfigSerializeWrapper":{"topicConfigTable":{"T":5}}}',
    '{"topicConfigSerializeWrapper":{"topicConfigTable":{"T":null}}}',
    '{"topicConfigSerializeWrapper":{"topicConfigTable":{"T":{"perm":"x"}}}}',
    '{"topicConfigSerializeWrapper":{"topicConfigTable":{"T":{"readQueueNums":2147483648}}}}',
    '{"topicConfigSerializeWrapper":{"dataVersion":{"counter":1e300}}}',
    '{"topicConfigSerializeWrapper":{"topicQueueMappingInfoMap":{"T":{"currIdMap":{"x":1}}}}}',
  ])("a body %j is refused and changes nothing", (body) => {
    const bench = new Bench();
    expect(registered(bench, {}, { body }).code).toBe(ResponseCode.SYSTEM_ERROR);
    expect(bench.table.clusterInfo().brokerAddrTable.size).toBe(0);
  });

  test("compressed bodies that lie about their lengths are refused", () => {
    const sound = [...Buffer.from("\x00\x00\x00\x02{}\x00\x00\x00\x00\x00\x00\x00\x02[]\x00\x00\x00\x00", "latin1")];
    const bench = new Bench();
    const send = (bytes: number[]) =>
      registered(bench, { compressed: true }, { body: deflateSync(Buffer.from(bytes)) }).code;
    expect(send(sound)).toBe(ResponseCode.SUCCESS);
    for (let length = 0; length < sound.length; length++) {
      expect(send(sound.slice(0, length))).toBe(ResponseCode.SYSTEM_ERROR);
    }
    expect(send([0x7f, 255, 255, 255, ...sound.slice(4)])).toBe(ResponseCode.SYSTEM_ERROR);
    expect(send([255, 255, 255, 255, ...sound.slice(4)])).toBe(ResponseCode.SYSTEM_ERROR);
    expect(registered(bench, { compressed: true }, { body: "no zlib" }).code).toBe(ResponseCode.SYSTEM_ERROR);
  });

  test("a body that unpacks beyond all reason is refused", () => {
    const bench = new Bench();
    const answer = registered(bench, { compressed: true }, { body: deflateSync(Buffer.alloc(65 * 1024 * 1024)) });
    expect(answer).toMatchObject({ code: ResponseCode.SYSTEM_ERROR });
    expect(answer.remark).toContain("cannot be unpacked");
  });

  test("a broker from before 3.0.11 sends its topics alone", () => {
    const bench = new Bench();
    const body = '{"dataVersion":{"counter":1,"timestamp":2},"topicConfigTable":{"T":{"topicName":"T"},"U":{}}}';
    expect(registered(bench, {}, { body, version: 20 }).code).toBe(ResponseCode.SUCCESS);
    expect(bench.table.topicRouteData("U")!.queueDatas[0]).toMatchObject({ readQueueNums: 16, perm: 6 });
  });

  test("the answer tells slaves their master, and everybody the order configuration", () => {
    const bench = new Bench();
    registered(bench);
    bench.state.kvConfig.put("ORDER_TOPIC_CONFIG", "T", "a:4");
    const slave = registered(bench, { brokerId: 1, brokerAddr: "10.0.0.2:1" });
    expect(slave.fields).toEqual({ haServerAddr: "10.0.0.1:10912", masterAddr: "10.0.0.1:10911" });
    expect(slave.body.toString()).toBe('{"table":{"T":"a:4"}}');
    bench.state.config.settings.returnOrderTopicConfigToBroker = false;
    expect(registered(bench).body).toHaveLength(0);
  });

  test("what the table refuses is an error with the reason", () => {
    const bench = new Bench();
    const answer = registered(bench, { brokerName: "x".repeat(1000) });
    expect(answer.code).toBe(ResponseCode.SYSTEM_ERROR);
    expect(answer.remark).toBe("register broker failed: brokerName is too long");
  });

  test("the zone and the heartbeat timeout come from the header", () => {
    const bench = new Bench();
    registered(bench, { __ZONE_NAME: "z1", heartbeatTimeoutMillis: 500, enableActingMaster: true });
    expect(bench.table.clusterInfo().brokerAddrTable.get("a")).toMatchObject({
      zoneName: "z1",
      enableActingMaster: true,
    });
    bench.clock.advance(501);
    bench.table.scanNotActiveBroker();
    expect(bench.table.clusterInfo().brokerAddrTable.size).toBe(0);
  });
});

describe("other requests of brokers", () => {
  const who = { clusterName: "C", brokerName: "a", brokerAddr: "10.0.0.1:10911", brokerId: 0 };

  test("QUERY_DATA_VERSION compares, and keeps the broker alive", () => {
    const bench = new Bench();
    const ask = (body?: string) => bench.ask(RequestCode.QUERY_DATA_VERSION, who, body === undefined ? {} : { body });
    const same = '{"counter":1,"stateVersion":0,"timestamp":5}';
    expect(ask(same)).toMatchObject({ code: 0, fields: { changed: "true" }, body: Buffer.alloc(0) });
    registered(bench);
    bench.clock.advance(119_000);
    expect(ask(same)).toMatchObject({ code: 0, fields: { changed: "false" }, body: Buffer.from(same) });
    expect(ask('{"counter":2,"timestamp":5}').fields).toEqual({ changed: "true" });
    expect(ask().fields).toEqual({ changed: "true" });
    expect(ask("[]").code).toBe(ResponseCode.SYSTEM_ERROR);
    bench.clock.advance(119_000);
    bench.table.scanNotActiveBroker();
    expect(bench.table.topicRouteData("T")).toBeDefined();
  });

  test("BROKER_HEARTBEAT keeps the broker alive, UNREGISTER_BROKER ends it", () => {
    const bench = new Bench();
    registered(bench);
    bench.clock.advance(119_000);
    expect(bench.ask(RequestCode.BROKER_HEARTBEAT, who).code).toBe(0);
    bench.clock.advance(119_000);
    bench.table.scanNotActiveBroker();
    expect(bench.table.topicRouteData("T")).toBeDefined();
    expect(bench.ask(RequestCode.UNREGISTER_BROKER, { ...who, brokerAddr: "10.9.9.9:1" }).code).toBe(0);
    expect(bench.table.topicRouteData("T")).toBeDefined();
    expect(bench.ask(RequestCode.UNREGISTER_BROKER, who).code).toBe(0);
    expect(bench.table.topicRouteData("T")).toBeUndefined();
  });

  test("write permission is wiped and given back, the counts are the topics", () => {
    const bench = new Bench();
    registered(bench);
    expect(bench.ask(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: "a" }).fields).toEqual({
      wipeTopicCount: "2",
    });
    expect(bench.table.topicRouteData("T")!.queueDatas[0]!.perm).toBe(4);
    expect(bench.ask(RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName: "a" }).fields).toEqual({ addTopicCount: "2" });
    expect(bench.table.topicRouteData("T")!.queueDatas[0]!.perm).toBe(6);
    expect(bench.ask(RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: "b" }).fields).toEqual({
      wipeTopicCount: "0",
    });
  });
});

describe("GET_ROUTEINFO_BY_TOPIC", () => {
  const ask = (bench: Bench, fields: Fields, options: AskOptions = {}) =>
    bench.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, fields, options);

  test("an unknown topic is TOPIC_NOT_EXIST with a remark that helps, however long its name", () => {
    const bench = new Bench();
    const answer = ask(bench, { topic: "Nobody" });
    expect(answer.code).toBe(ResponseCode.TOPIC_NOT_EXIST);
    expect(answer.remark).toMatch(
      /^No topic route info in name server for the topic: Nobody\n.*https:\/\/rocketmq\.apache\.org/,
    );
    expect(ask(bench, { topic: "x".repeat(30_000) }).remark.length).toBeLessThan(600);
    expect(ask(bench, { topic: "__proto__" }).code).toBe(ResponseCode.TOPIC_NOT_EXIST);
    expect(ask(bench, { topic: "" }).code).toBe(ResponseCode.TOPIC_NOT_EXIST);
    expect(ask(bench, {}).code).toBe(ResponseCode.TOPIC_NOT_EXIST);
  });

  test("old clients get fastjson's bare keys unless they ask for standard JSON", () => {
    const bench = new Bench();
    registered(bench);
    expect(ask(bench, { topic: "T" }, { version: 400 }).body.toString()).toContain('{0:"10.0.0.1:10911"}');
    expect(ask(bench, { topic: "T" }, { version: 401 }).body.toString()).toContain('{"0":"10.0.0.1:10911"}');
    const asked = ask(bench, { topic: "T", acceptStandardJsonOnly: true }, { version: 0 });
    expect(asked.body.toString()).toContain('{"0":"10.0.0.1:10911"}');
  });

  test("the order configuration comes with the route where that is configured", () => {
    const bench = new Bench();
    registered(bench);
    bench.state.kvConfig.put("ORDER_TOPIC_CONFIG", "T", "a:4");
    expect(json(ask(bench, { topic: "T" }).body)).not.toHaveProperty("orderTopicConf");
    bench.state.config.settings.orderMessageEnable = true;
    expect(json(ask(bench, { topic: "T" }).body)).toHaveProperty("orderTopicConf", "a:4");
    expect(json(ask(bench, { topic: "U" }).body)).not.toHaveProperty("orderTopicConf");
  });

  test("in zone mode the brokers of other zones are left out, but for those without a master", () => {
    const bench = new Bench();
    registered(bench, { __ZONE_NAME: "Near" });
    registered(bench, { __ZONE_NAME: "far", brokerName: "b", brokerAddr: "b:1" });
    registered(bench, {
      __ZONE_NAME: "far",
      brokerName: "c",
      brokerAddr: "c:1",
      brokerId: 1,
      enableActingMaster: true,
    });
    const names = (fields: Fields) => {
      const route = json(ask(bench, { topic: "T", ...fields }).body) as Record<string, { brokerName: string }[]>;
      const brokers = route["brokerDatas"]!.map((data) => data.brokerName);
      expect(route["queueDatas"]!.map((data) => data.brokerName)).toEqual(brokers);
      return brokers;
    };
    expect(names({})).toEqual(["a", "b", "c"]);
    expect(names({ __ZONE_MODE: "true", __ZONE_NAME: "near" })).toEqual(["a", "c"]);
    expect(names({ __ZONE_MODE: "false", __ZONE_NAME: "near" })).toEqual(["a", "b", "c"]);
    expect(names({ __ZONE_MODE: "true", __ZONE_NAME: " " })).toEqual(["a", "b", "c"]);
  });

  test("a name server that waits for its brokers says so", () => {
    const bench = new Bench({ settings: { needWaitForService: true, waitSecondsForService: 45 } });
    registered(bench);
    expect(ask(bench, { topic: "T" })).toMatchObject({
      code: ResponseCode.SYSTEM_ERROR,
      remark: "name server not ready",
    });
    bench.clock.advance(45_000);
    expect(ask(bench, { topic: "T" }).code).toBe(ResponseCode.SUCCESS);
  });

  test("a broker of this process is told at the host the client came by", () => {
    const bench = new Bench({ addressFor: addressOfConnection(10_911) });
    const dataVersion = { stateVersion: 0, timestamp: 1, counter: 0 };
    bench.table.register({ ...BROKER, dataVersion, topicConfigTable: new Map([["T", topicConfig("T")]]) });
    const told = (host: string) => ask(bench, { topic: "T" }, { connection: new FakeConnection(host) }).body.toString();
    expect(told("192.168.1.5")).toContain('"192.168.1.5:10911"');
    expect(told("fe80::1")).toContain('"[fe80::1]:10911"');
  });
});

describe("topics at the name server", () => {
  test("lists can be switched off", () => {
    const bench = new Bench({ settings: { enableAllTopicList: false, enableTopicList: false } });
    const codes = [
      RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
      RequestCode.GET_TOPICS_BY_CLUSTER,
      RequestCode.GET_UNIT_TOPIC_LIST,
      RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST,
      RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
    ];
    for (const code of codes) {
      expect(bench.ask(code, { cluster: "C" })).toMatchObject({ code: ResponseCode.SYSTEM_ERROR, remark: "disable" });
    }
  });

  test("lists by cluster and by unit flag", () => {
    const bench = new Bench();
    const topics = [0, 1, 2, 3].map((topicSysFlag) => topicConfig(`F${topicSysFlag}`, { topicSysFlag }));
    registered(bench, {}, { body: registration(topics) });
    const list = (code: number, fields: Fields = {}) =>
      (json(bench.ask(code, fields).body) as { topicList: string[] }).topicList;
    expect(list(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: "C" })).toEqual(["F0", "F1", "F2", "F3"]);
    expect(list(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: "D" })).toEqual([]);
    expect(list(RequestCode.GET_UNIT_TOPIC_LIST)).toEqual(["F1", "F3"]);
    expect(list(RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST)).toEqual(["F2", "F3"]);
    expect(list(RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST)).toEqual(["F2"]);
  });

  test("a topic is registered alone and deleted again", () => {
    const bench = new Bench();
    registered(bench);
    const body = '{"queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":2,"writeQueueNums":3}]}';
    expect(bench.ask(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: "N" }, { body }).code).toBe(0);
    expect(bench.table.topicRouteData("N")!.queueDatas[0]).toMatchObject({ readQueueNums: 2, writeQueueNums: 3 });
    expect(bench.ask(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: "M" }, { body: '{"queueDatas":[{}]}' }).code).toBe(
      0,
    );
    expect(bench.ask(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: "M" }, { body: '{"queueDatas":[1]}' }).code).toBe(
      1,
    );
    expect(bench.ask(RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: "M" }).code).toBe(0);
    expect(bench.table.topicRouteData("M")).toBeUndefined();
    expect(bench.ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: "N", clusterName: "D" }).code).toBe(0);
    expect(bench.table.topicRouteData("N")).toBeDefined();
    expect(bench.ask(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: "N", clusterName: "" }).code).toBe(0);
    expect(bench.table.topicRouteData("N")).toBeUndefined();
  });
});

describe("key-value settings", () => {
  const put = (bench: Bench, key: string, value: string) =>
    bench.ask(RequestCode.PUT_KV_CONFIG, { namespace: "N", key, value });

  test("put, get, list, delete", () => {
    const bench = new Bench();
    const get = (key: string) => bench.ask(RequestCode.GET_KV_CONFIG, { namespace: "N", key });
    expect(get("k")).toMatchObject({
      code: ResponseCode.QUERY_NOT_FOUND,
      remark: "No config item, Namespace: N Key: k",
    });
    expect(bench.ask(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: "N" }).code).toBe(ResponseCode.QUERY_NOT_FOUND);
    expect(bench.ask(RequestCode.GET_KVLIST_BY_NAMESPACE, {}).code).toBe(ResponseCode.QUERY_NOT_FOUND);
    for (const [name, fields] of Object.entries({ namespace: { key: "k" }, key: { namespace: "N" } })) {
      const answer = bench.ask(RequestCode.GET_KV_CONFIG, fields);
      expect(answer).toMatchObject({ code: ResponseCode.QUERY_NOT_FOUND, remark: `The field ${name} is missing.` });
    }
    expect(put(bench, "k", "v").code).toBe(0);
    expect(put(bench, "__proto__", "").code).toBe(0);
    expect(get("k")).toMatchObject({ code: 0, fields: { value: "v" } });
    expect(get("toString").code).toBe(ResponseCode.QUERY_NOT_FOUND);
    const list = bench.ask(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: "N" });
    expect(list.body.toString()).toBe('{"table":{"k":"v","__proto__":""}}');
    expect(bench.ask(RequestCode.DELETE_KV_CONFIG, { namespace: "N", key: "k" }).code).toBe(0);
    expect(bench.ask(RequestCode.DELETE_KV_CONFIG, { namespace: "?", key: "k" }).code).toBe(0);
    expect(get("k").code).toBe(ResponseCode.QUERY_NOT_FOUND);
    expect(bench.ask(RequestCode.PUT_KV_CONFIG, { namespace: "N", key: "k" }).code).toBe(ResponseCode.SYSTEM_ERROR);
  });
});

describe("the name server's configuration", () => {
  const update = (bench: Bench, body: string) => bench.ask(RequestCode.UPDATE_NAMESRV_CONFIG, {}, { body });

  test("is told as properties, and changed where that is allowed", () => {
    const bench = new Bench();
    const told = () => bench.ask(RequestCode.GET_NAMESRV_CONFIG).body.toString().split("\n");
    expect(told()).toContain("orderMessageEnable=false");
    expect(update(bench, "orderMessageEnable=true\nwaitSecondsForService = 30\n").code).toBe(0);
    expect(told()).toContain("orderMessageEnable=true");
    expect(told()).toContain("waitSecondsForService=30");
    expect(update(bench, "clusterTest=false").code).toBe(0);
    expect(told()).toContain("clusterTest=false");
    expect(update(bench, "").code).toBe(0);
  });

  test.each([
    "kvConfigPath",
    "configStorePath",
    "rocketmqHome",
    "configBlackList",
    "listenPort",
    "__proto__",
    "toString",
  ])("%s cannot be changed, and what comes with it is not changed either", (name) => {
    const bench = new Bench();
    const answer = update(bench, `orderMessageEnable=true\n${name}=/etc/x\n`);
    expect(answer.code).toBe(ResponseCode.NO_PERMISSION);
    expect(answer.remark).toContain(name);
    expect(bench.state.config.settings.orderMessageEnable).toBe(false);
  });

  test.each([
    "orderMessageEnable=yes",
    "scanNotActiveBrokerInterval=0",
    "scanNotActiveBrokerInterval=1e3",
    "waitSecondsForService=-1",
    "waitSecondsForService=99999999999",
    "clusterTest=true",
  ])("%s does not fit", (body) => {
    const bench = new Bench();
    const before = bench.state.config.format();
    expect(update(bench, body).code).toBe(ResponseCode.SYSTEM_ERROR);
    expect(bench.state.config.format()).toBe(before);
  });

  test("a huge text is not read", () => {
    expect(update(new Bench(), `a=${"b".repeat(70_000)}`).remark).toBe("The configuration is too long.");
  });
});

test("every request of a name server has a handler", () => {
  const codes = [
    100, 101, 102, 103, 104, 105, 106, 205, 206, 216, 217, 219, 224, 304, 311, 312, 313, 318, 319, 322, 327,
  ];
  expect(new Bench().codes().sort((a, b) => a - b)).toEqual([...codes, 901, 904]);
});
