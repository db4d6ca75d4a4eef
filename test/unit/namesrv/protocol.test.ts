import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseFastjson, toFastjson } from "#src/remoting/fastjson.js";
import {
  brokerMemberGroupJson,
  clusterInfoJson,
  readBrokerMemberGroup,
  readClusterInfo,
} from "#src/server/protocol/cluster-info.js";
import { formatProperties, parseProperties } from "#src/server/protocol/java-properties.js";
import { kvTableJson, readKvTable } from "#src/server/protocol/kv-table.js";
import { asLong, booleanMember, intMember, parseBody, textMember } from "#src/server/protocol/members.js";
import { readRegisterBrokerBody, writeRegisterBrokerBody } from "#src/server/protocol/register-broker-body.js";
import { parseTopicConfigLine, readTopicConfig, topicConfigLine } from "#src/server/protocol/topic-config.js";
import { readTopicList, topicListJson } from "#src/server/protocol/topic-list.js";
import { readTopicRouteData, topicRouteDataJson } from "#src/server/protocol/topic-route-data.js";

/** fastjson2's output for the same values in Apache's classes. */
const ROUTE =
  '{"brokerDatas":[{"brokerAddrs":{0:"h:1",2:"h:2",10:"é<>()&\'\\"\\\\\\n"},"brokerName":"b","cluster":"c",' +
  '"enableActingMaster":true,"zoneName":"z"}],"filterServerTable":{},"orderTopicConf":"b:4","queueDatas":[{"brokerName":"b",' +
  '"perm":0,"readQueueNums":0,"topicSysFlag":0,"writeQueueNums":0}],"topicQueueMappingByBroker":{"b":{"bname":"b",' +
  '"currIdMap":{1:0,2:0,10:1},"dirty":false,"epoch":7,"scope":"__global__","topic":"t","totalQueues":4}}}';

const mapping = {
  topic: "t",
  scope: "__global__",
  totalQueues: 4,
  bname: "b",
  epoch: 7,
  dirty: false,
  currIdMap: new Map([
    [10, 1],
    [2, 0],
    [1, 0],
  ]),
};

describe("TopicRouteData", () => {
  const route = {
    orderTopicConf: "b:4",
    queueDatas: [{ brokerName: "b", readQueueNums: 0, writeQueueNums: 0, perm: 0, topicSysFlag: 0 }],
    brokerDatas: [
      {
        cluster: "c",
        brokerName: "b",
        brokerAddrs: new Map([
          [10, "é<>()&'\"\\\n"],
          [2, "h:2"],
          [0, "h:1"],
        ]),
        zoneName: "z",
        enableActingMaster: true,
      },
    ],
    topicQueueMappingByBroker: new Map([["b", mapping]]),
  };

  test("is written as fastjson2 does, and as standard JSON", () => {
    expect(toFastjson(topicRouteDataJson(route, false))).toBe(ROUTE);
    expect(toFastjson(topicRouteDataJson(route, true))).toBe(ROUTE.replaceAll(/([{,])(\d+):/g, '$1"$2":'));
  });

  test("is read from either", () => {
    for (const standard of [false, true]) {
      const read = readTopicRouteData(parseBody(toFastjson(topicRouteDataJson(route, standard)), "route"));
      expect(read).toEqual(route);
    }
  });
});

test("ClusterInfo, BrokerMemberGroup, TopicList and KVTable are read as they are written", () => {
  const data = {
    cluster: "c",
    brokerName: "1",
    brokerAddrs: new Map([[0, "h"]]),
    zoneName: undefined,
    enableActingMaster: false,
  };
  const info = { brokerAddrTable: new Map([["1", data]]), clusterAddrTable: new Map([["__proto__", ["1"]]]) };
  const text = toFastjson(clusterInfoJson(info));
  expect(text).toContain('{"1":{"brokerAddrs":{0:"h"},');
  expect(readClusterInfo(parseBody(text, "info"))).toEqual(info);
  const group = { cluster: "c", brokerName: "b", brokerAddrs: new Map([[3, "x"]]) };
  expect(readBrokerMemberGroup(parseBody(toFastjson(brokerMemberGroupJson(group)), "group"))).toEqual(group);
  const list = { topicList: ["a", "__proto__"], brokerAddr: "h:1" };
  expect(readTopicList(parseBody(toFastjson(topicListJson(list)), "list"))).toEqual(list);
  const table = new Map([
    ["2", "b"],
    ["constructor", ""],
    ["1", "a"],
  ]);
  const kv = toFastjson(kvTableJson(table));
  expect(kv).toBe('{"table":{"2":"b","constructor":"","1":"a"}}');
  expect(readKvTable(parseBody(kv, "table"))).toEqual(table);
});

describe("RegisterBrokerBody", () => {
  /** Made by Apache's RegisterBrokerBody.encode(true): a topic T 4/4 perm 6 with an attribute that holds a blank, `mapping`, a filter server. */
  const APACHE_COMPRESSED =
    "78da2d8ecd0ac2301084e3cdb7b0ccd51cacf803b97910115410c58b4848e3aa85b6a9497a90d277772bb20c2c1f33b32b84902dac6baa481e6a2211a28974211f7257fd40cc4b" +
    "6258d650f34e0831608dcec98c67919cb687cd6eadcfab4dd2626ca0902516bd6d78c523a814b77fe4dd22ab4c49bd0512b6f17e7bdf1b6e6d533e3365a513957612f7dcc70fd4" +
    "c3148124a876f605b5e4cfacabfbb8d6cfc265a6d09a7ba2ab73cb30fef6688a63430d05a859f70547ec3d5f";
  const read = readRegisterBrokerBody(Buffer.from(APACHE_COMPRESSED, "hex"), true, 493);

  test("Apache's compressed one is read; an attribute with a blank is lost, as at Apache's", () => {
    expect(read.dataVersion).toEqual({ stateVersion: 0, timestamp: 5, counter: 0 });
    expect([...read.topicConfigTable]).toEqual([
      [
        "T",
        {
          topicName: "T",
          readQueueNums: 4,
          writeQueueNums: 4,
          perm: 6,
          topicFilterType: "SINGLE_TAG",
          topicSysFlag: 0,
          order: false,
          attributes: new Map(),
        },
      ],
    ]);
    expect(read.topicQueueMappingInfoMap).toEqual(new Map([["t", mapping]]));
  });

  test("brokers from before 5.0 have no mappings", () => {
    expect(readRegisterBrokerBody(Buffer.from(APACHE_COMPRESSED, "hex"), true, 412).topicQueueMappingInfoMap.size).toBe(
      0,
    );
  });

  test("both forms are read as they are written", () => {
    const plain = readRegisterBrokerBody(writeRegisterBrokerBody(read, false), false, 493);
    expect(plain).toEqual({ ...read, mappingDataVersion: read.mappingDataVersion });
    expect(readRegisterBrokerBody(writeRegisterBrokerBody(read, true), true, 493)).toEqual(read);
    expect(writeRegisterBrokerBody(read, false).toString()).toBe(
      '{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":0,"stateVersion":0,"timestamp":5},' +
        '"mappingDataVersion":{"counter":0,"stateVersion":0,"timestamp":0},"topicConfigTable":{"T":{"attributes":{},' +
        '"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,' +
        '"writeQueueNums":4}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{"t":{"bname":"b",' +
        '"currIdMap":{1:0,2:0,10:1},"dirty":false,"epoch":7,"scope":"__global__","topic":"t","totalQueues":4}}}}',
    );
  });

  test("no bytes whatever do more than be refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, compressed) => {
        try {
          readRegisterBrokerBody(Buffer.from(bytes), compressed, 493);
        } catch (error) {
          expect(error).toHaveProperty("code", "COMETMQ_BAD_REQUEST");
        }
      }),
    );
  });

  test("nor does any JSON", () => {
    const names = fc.constantFrom(
      "topicConfigSerializeWrapper",
      "topicConfigTable",
      "dataVersion",
      "counter",
      "T",
      "perm",
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 5 }, fc.jsonValue(), fc.dictionary(names, tie("value"))),
    }));
    fc.assert(
      fc.property(value, (body) => {
        try {
          readRegisterBrokerBody(Buffer.from(JSON.stringify(body)), false, 493);
        } catch (error) {
          expect(error).toHaveProperty("code", "COMETMQ_BAD_REQUEST");
        }
      }),
    );
  });
});

describe("TopicConfig", () => {
  test("its line is Apache's", () => {
    const config = parseTopicConfigLine('T 4 8 6 MULTI_TAG {"+message.type":"FIFO"}');
    expect(config).toMatchObject({ topicName: "T", readQueueNums: 4, writeQueueNums: 8, topicFilterType: "MULTI_TAG" });
    expect(config.attributes).toEqual(new Map([["+message.type", "FIFO"]]));
    expect(topicConfigLine(config)).toBe('T 4 8 6 MULTI_TAG {"+message.type":"FIFO"}');
    for (const line of ["", "T", "T 4 4", "T x 4 6 SINGLE_TAG", "T 4 4 99999999999 SINGLE_TAG"]) {
      expect(() => parseTopicConfigLine(line)).toThrow(expect.objectContaining({ code: "COMETMQ_BAD_REQUEST" }));
    }
  });

  test("what an object leaves out is as in a new one, and texts are converted", () => {
    const read = (text: string) => readTopicConfig(parseBody(text, "topic"), "K");
    expect(read("{}")).toMatchObject({ topicName: "K", readQueueNums: 16, writeQueueNums: 16, perm: 6, order: false });
    expect(
      read('{"topicName":"N","perm":"4","order":"true","topicFilterType":"BOGUS","attributes":{"x":1,"y":null}}'),
    ).toEqual({
      topicName: "N",
      readQueueNums: 16,
      writeQueueNums: 16,
      perm: 4,
      topicFilterType: "SINGLE_TAG",
      topicSysFlag: 0,
      order: true,
      attributes: new Map([["x", "1"]]),
    });
  });
});

describe("members", () => {
  const body = parseBody(
    '{"n":null,"i":7,"f":1.9,"s":"-12","l":2147483648,"t":"x","b":1,"o":{},"a":[],"big":1e300}',
    "b",
  );

  test("are converted as fastjson2 does", () => {
    expect(intMember(body, "i", 1)).toBe(7);
    expect(intMember(body, "f", 1)).toBe(1);
    expect(intMember(body, "s", 1)).toBe(-12);
    expect(intMember(body, "n", 1)).toBe(1);
    expect(intMember(body, "absent", 1)).toBe(1);
    expect(textMember(body, "i")).toBe("7");
    expect(textMember(body, "n")).toBeUndefined();
    expect(booleanMember(body, "b", false)).toBe(true);
    expect(asLong("9007199254740991", "x")).toBe(9_007_199_254_740_991);
  });

  test("of another type are refused by name", () => {
    for (const name of ["t", "o", "a", "l", "big"]) {
      expect(() => intMember(body, name, 0)).toThrow(new RegExp(`^${name} is not a`));
    }
    for (const name of ["o", "a"]) expect(() => textMember(body, name)).toThrow(`${name} is not a text`);
    for (const name of ["o", "a", "t", "i"]) expect(() => booleanMember(body, name, false)).toThrow("not a boolean");
    expect(() => parseBody("[]", "b")).toThrow("not a JSON object");
  });

  test("an integer key is a name", () => {
    expect(parseFastjson('{1:"a","2":"b"}')).toEqual(
      new Map<string | number, string>([
        [1, "a"],
        ["2", "b"],
      ]),
    );
  });
});

describe("properties", () => {
  test("are read as java.util.Properties reads them", () => {
    const text = "# c\n! c\n\n  a = 1\nb:2\nc 3\nd\ne=x\\\n   y\nf\\=g=h\\u0041\\t\\q\n\\ i=j\r\nk=l\\\\\nm==n\no=p\\";
    expect(Object.fromEntries(parseProperties(text))).toEqual({
      a: "1",
      b: "2",
      c: "3",
      d: "",
      e: "xy",
      "f=g": "hA\tq",
      " i": "j",
      k: "l\\",
      m: "=n",
      o: "p",
    });
  });

  test("are written sorted", () => {
    expect(
      formatProperties(
        new Map<string, string | number | boolean>([
          ["b", 1],
          ["a", true],
          ["c", "x"],
        ]),
      ),
    ).toBe("a=true\nb=1\nc=x\n");
  });

  test("hostile texts take no long time and do not throw", () => {
    expect(parseProperties("\\".repeat(65_535)).size).toBe(1);
    expect(parseProperties(`${"\\".repeat(65_535)}x`).size).toBe(1);
    expect(parseProperties(" ".repeat(65_535)).size).toBe(0);
    fc.assert(fc.property(fc.string(), (text) => void parseProperties(text)));
  });
});
