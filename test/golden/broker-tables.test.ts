/** The configuration files a real broker wrote, loaded, written back and compared; and its answers, against ours. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { type FastjsonKey, type FastjsonMap, type FastjsonValue, parseFastjson } from "#src/remoting/fastjson.js";
import type { Fields } from "#src/remoting/types.js";
import { readBrokerConfig } from "#src/server/broker/broker-config.js";
import { ConfigText } from "#src/server/broker/config-text.js";
import { JsonConfigFile } from "#src/server/broker/json-config-file.js";
import { FakeConnection, TestBroker } from "../unit/broker/harness.js";
import { extractStore } from "./golden-store.js";

const golden = extractStore("broker");
const configDirectory = join(golden.dir, "store", "config");

function readJson(path: string): FastjsonValue {
  return parseFastjson(readFileSync(path)) as FastjsonValue;
}

/** Maps and lists without their order, which is Java's hash order. */
function unordered(value: FastjsonValue): unknown {
  if (Array.isArray(value))
    return value
      .map(unordered)
      .map((item) => JSON.stringify(item))
      .sort();
  if (!(value instanceof Map)) return value;
  const entries = [...value].map(([key, item]) => [keyText(key), unordered(item)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Tells a bare integer from a quoted one, and keys that are objects from both. */
function keyText(key: FastjsonKey): string {
  return key instanceof Map ? `object ${JSON.stringify(unordered(key))}` : `${typeof key} ${key}`;
}

describe("config files", () => {
  test.each([
    "topics.json",
    "subscriptionGroup.json",
    "consumerOffset.json",
    "delayOffset.json",
    "consumerFilter.json",
    "messageRequestMode.json",
    "consumerOrderInfo.json",
  ])("%s is laid out as Apache lays it out, byte for byte", (name) => {
    const bytes = readFileSync(join(configDirectory, name), "utf8");
    expect(new ConfigText().write(parseFastjson(bytes) as never).toString()).toBe(bytes);
  });

  test("the broker's own configuration is taken", () => {
    const { unknownNames, config } = readBrokerConfig(readFileSync(join(golden.dir, "broker.conf"), "utf8"));
    expect(unknownNames).toEqual([]);
    expect(config.enablePropertyFilter).toBe(true);
    expect(config.flushConsumerOffsetInterval).toBe(1000);
  });

  test("topics, groups and offsets are read whole, and written back they say the same", async () => {
    const disk = new FileDisk("file");
    const broker = new TestBroker({ storePathRootDir: join(golden.dir, "store"), traceTopicEnable: true }, {}, disk);
    const found = broker.reports.map(({ path, outcome, problems }) => [basename(path), outcome, problems]);
    expect(found).toEqual([
      ["topics.json", "loaded", []],
      ["subscriptionGroup.json", "loaded", []],
      ["consumerOffset.json", "loaded", []],
      ["messageRequestMode.json", "loaded", []],
      ["topicQueueMapping.json", "missing", []],
      ["queueLocks.json", "missing", []],
      ["transactionMetrics", "loaded", []],
      ["timermetrics", "loaded", []],
      ["delayOffset.json", "loaded", []],
      ["consumerFilter.json", "loaded", []],
    ]);
    const { consumerFilters, groups, offsets, requestModes, topics } = broker.context;
    expect(requestModes.get("GoldenPop", "golden-pop")).toMatchObject({ mode: "POP", popShareQueueNum: 8 });
    expect(topics.get("GoldenOrder")).toMatchObject({ order: true, writeQueueNums: 2 });
    expect(topics.get("GoldenOrder")!.attributes.get("message.type")).toBe("FIFO");
    expect(groups.get("golden-push")!.retryMaxTimes).toBe(3);
    expect(offsets.queryOffset("golden-sql", "GoldenTopic", 0)).toBe(2);
    expect(offsets.queryOffset("CID_RMQ_SYS_TRANS", "RMQ_SYS_TRANS_HALF_TOPIC", 0)).toBe(114);

    const filter = consumerFilters.get("GoldenTopic", "golden-sql")!;
    expect(consumerFilters.filterOf(filter)).toBeDefined();

    for (const [name, saver] of [
      ["topics.json", topics.saver],
      ["subscriptionGroup.json", groups.saver],
      ["consumerOffset.json", offsets.saver],
      ["messageRequestMode.json", requestModes.saver],
      ["consumerFilter.json", consumerFilters.saver],
    ] as const) {
      const path = join(configDirectory, name);
      const before = readJson(path);
      expect(await saver.save()).toBeUndefined();
      expect(unordered(readJson(path))).toEqual(unordered(before));
      expect(readJson(`${path}.bak`)).toEqual(before);
    }
  });

  test("the topics of a new broker are those that Apache makes, with Apache's settings", () => {
    const fresh = new TestBroker({ traceTopicEnable: true });
    const file = readJson(join(configDirectory, "topics.json")) as Map<string, Map<string, FastjsonValue>>;
    const theirs = file.get("topicConfigTable")!;
    for (const topic of fresh.context.topics.values()) {
      const saved = theirs.get(topic.name) as Map<string, FastjsonValue>;
      expect([topic.name, topic.readQueueNums, topic.writeQueueNums, topic.perm, topic.order]).toEqual(
        ["topicName", "readQueueNums", "writeQueueNums", "perm", "order"].map((member) => saved.get(member)),
      );
    }
    expect(fresh.context.topics.size).toBe(16);
    const groupFile = new JsonConfigFile(new FileDisk("file"), join(configDirectory, "subscriptionGroup.json"));
    groupFile.load((content) => {
      const saved = content.get("subscriptionGroupTable") as Map<string, FastjsonValue>;
      for (const group of fresh.context.groups.values()) expect(saved.has(group.name)).toBe(true);
    });
  });
});

interface Frame {
  readonly name: string;
  readonly hex: string;
  readonly header: { readonly extFields: Record<string, string | null> | null; readonly remark: string | null };
}

const frames = new Map<string, Frame>(
  readFileSync(join(import.meta.dirname, "data/frames/json.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Frame)
    .map((frame) => [frame.name, frame]),
);

function bytesOf(name: string): Buffer {
  return Buffer.from(frames.get(name)!.hex, "hex");
}

function bodyOf(name: string): Buffer {
  const bytes = bytesOf(name);
  return bytes.subarray(8 + (bytes.readInt32BE(4) & 0xffffff));
}

/** Which keys of which types lie where, whatever names stand in maps whose keys are data. */
function shape(value: FastjsonValue): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0]!)];
  if (!(value instanceof Map)) return typeof value;
  const keys = [...value.keys()];
  const isTable = keys.some((key) => typeof key !== "string" || /[^a-zA-Z0-9]|^Golden|^[A-Z]/.test(key));
  if (isTable) return { [`[${typeof keys[0]}]`]: shape([...value.values()].at(-1)!) };
  return Object.fromEntries([...value].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, shape(item)]));
}

describe("answers", () => {
  const disk = new FileDisk("file");
  const broker = new TestBroker(
    { storePathRootDir: join(extractStore("broker").dir, "store"), enablePropertyFilter: true },
    {},
    disk,
  );
  const queueTimes = [17, 18, 17, 19].map((count) =>
    Array.from({ length: count }, (_, i) => 1_795_250_611_000 + i * 10),
  );
  queueTimes.forEach((times, queueId) => {
    broker.store.queue("GoldenTopic", queueId).times = times;
  });
  const push = new FakeConnection();
  const producer = new FakeConnection();
  broker.askFrame(bytesOf("HEART_BEAT(34).request"), producer);
  broker.askFrame(bytesOf("HEART_BEAT(34).request#2"), push);
  const subscription = (
    bodyJson("QUERY_SUBSCRIPTION_BY_CONSUMER(345).response.SUCCESS") as Map<string, FastjsonValue>
  ).get("subscriptionData") as Map<string, FastjsonValue>;
  broker.ask(
    34,
    {},
    JSON.stringify({
      clientID: "192.0.2.2@push",
      consumerDataSet: [
        {
          groupName: "golden-push",
          consumeType: "CONSUME_PASSIVELY",
          messageModel: "CLUSTERING",
          consumeFromWhere: "CONSUME_FROM_FIRST_OFFSET",
          subscriptionDataSet: [Object.fromEntries(subscription)],
        },
      ],
      producerDataSet: [],
    }),
    push,
  );

  const goldenTopic = broker.context.topics.get("GoldenTopic")!;
  broker.context.stats.recordPut(goldenTopic, 71, 20_000);
  broker.context.stats.sample([goldenTopic]);

  function bodyJson(name: string): FastjsonValue {
    return parseFastjson(bodyOf(name)) as FastjsonValue;
  }

  test("consume statistics of the whole broker have the shape of Apache's", async () => {
    const name = "GET_BROKER_CONSUME_STATS(317)";
    const ours = parseFastjson((await broker.askFrameLate(bytesOf(`${name}.request`))).body) as FastjsonMap;
    const theirs = bodyJson(`${name}.response.SUCCESS`) as FastjsonMap;
    expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
    expect(ours.get("brokerAddr")).toBe(theirs.get("brokerAddr"));
    const ofGroup = (stats: FastjsonMap, group: string) =>
      (stats.get("consumeStatsList") as FastjsonMap[]).find((groups) => groups.has(group))!.get(group)!;
    expect(ofGroup(ours, "CID_ONSAPI_OWNER")).toEqual([]);
    expect(shape(ofGroup(ours, "golden-push"))).toEqual(shape(ofGroup(theirs, "golden-push")));
  });

  test("what the broker asks a consumer, and what it answers the tool, is Apache's to the byte of the bodies", async () => {
    const asked: [number, Fields, Buffer][] = [];
    push.answer = (code, fields, body) => {
      asked.push([code, fields, Buffer.from(body ?? [])]);
      const name = code === 221 ? "GET_CONSUMER_STATUS_FROM_CLIENT(221)" : "GET_CONSUMER_RUNNING_INFO(307)";
      const golden = frames.get(`${name}.response.SUCCESS`)!;
      return { code: 0, remark: golden.header.remark!, fields: {}, body: bodyOf(golden.name) };
    };
    const info = await broker.askFrameLate(bytesOf("GET_CONSUMER_RUNNING_INFO(307).request"));
    const theirInfo = frames.get("GET_CONSUMER_RUNNING_INFO(307).response.SUCCESS#2")!;
    expect([info.code, info.remark]).toEqual([0, theirInfo.header.remark]);
    expect(info.body).toEqual(bodyOf(theirInfo.name));
    const status = await broker.askFrameLate(bytesOf("INVOKE_BROKER_TO_GET_CONSUMER_STATUS(223).request"));
    const theirStatus = frames.get("INVOKE_BROKER_TO_GET_CONSUMER_STATUS(223).response.SUCCESS")!;
    expect([status.code, status.remark]).toEqual([0, theirStatus.header.remark]);
    expect(status.body.toString()).toBe(bodyOf(theirStatus.name).toString());
    expect(asked.map(([code, fields, body]) => [code, { ...fields }, body.length])).toEqual([
      [307, frames.get("GET_CONSUMER_RUNNING_INFO(307).request#2")!.header.extFields, 0],
      [221, frames.get("GET_CONSUMER_STATUS_FROM_CLIENT(221).request")!.header.extFields, 0],
    ]);
  });

  test("a message is sent to the consumer that is to consume it, with the fields that Apache adds", async () => {
    const golden = frames.get("CONSUME_MESSAGE_DIRECTLY(309).request")!;
    const record = bodyOf(golden.name);
    const phyOffset = Number(record.readBigInt64BE(28));
    broker.store.records.set(phyOffset, record);
    const asked: [number, Fields, Buffer][] = [];
    push.answer = (code, fields, body) => {
      asked.push([code, fields, Buffer.from(body ?? [])]);
      return { code: 0, remark: "", fields: {}, body: bodyOf("CONSUME_MESSAGE_DIRECTLY(309).response.SUCCESS") };
    };
    const { clientId, msgId, topic, consumerGroup } = golden.header.extFields!;
    const fields = { clientId: clientId!, msgId: msgId!, topic: topic!, consumerGroup: consumerGroup! };
    const answer = await broker.askLate(309, fields);
    expect(answer.body).toEqual(bodyOf("CONSUME_MESSAGE_DIRECTLY(309).response.SUCCESS"));
    const [[code, sent, body]] = asked as [[number, Record<string, unknown>, Buffer]];
    expect(code).toBe(309);
    expect(Object.fromEntries(Object.entries(sent).map(([name, value]) => [name, String(value)]))).toEqual(
      golden.header.extFields,
    );
    expect(body).toEqual(record);
  });

  test.each([
    "GET_ALL_TOPIC_CONFIG(21)",
    "GET_TOPIC_CONFIG(351)",
    "GET_ALL_SUBSCRIPTIONGROUP_CONFIG(201)",
    "GET_TOPIC_STATS_INFO(202)",
    "GET_CONSUMER_CONNECTION_LIST(203)",
    "GET_PRODUCER_CONNECTION_LIST(204)",
    "GET_CONSUME_STATS(208)",
    "GET_ALL_CONSUMER_OFFSET(43)",
    "GET_ALL_PRODUCER_INFO(328)",
    "GET_CONSUMER_LIST_BY_GROUP(38)",
    "QUERY_TOPIC_CONSUME_BY_WHO(300)",
    "QUERY_TOPICS_BY_CONSUMER(343)",
    "QUERY_SUBSCRIPTION_BY_CONSUMER(345)",
    "LOCK_BATCH_MQ(41)",
    "QUERY_CONSUME_TIME_SPAN(303)",
    "QUERY_CONSUME_QUEUE(321)",
    "GET_BROKER_HA_STATUS(907)",
    "GET_ALL_MESSAGE_REQUEST_MODE(402)",
    "VIEW_BROKER_STATS_DATA(315)",
    "INVOKE_BROKER_TO_RESET_OFFSET(222)",
  ])("%s has the shape of Apache's", async (name) => {
    const ours = await broker.askFrameLate(bytesOf(`${name}.request`), new FakeConnection());
    expect(ours.code).toBe(0);
    expect(shape(parseFastjson(ours.body) as FastjsonValue)).toEqual(shape(bodyJson(`${name}.response.SUCCESS`)));
    const theirFields = frames.get(`${name}.response.SUCCESS`)!.header.extFields ?? {};
    expect(Object.keys(ours.fields).sort()).toEqual(Object.keys(theirFields).sort());
  });

  test("what one consumer subscribes to comes back as Apache has it", () => {
    const name = "QUERY_SUBSCRIPTION_BY_CONSUMER(345)";
    const ours = parseFastjson(broker.askFrame(bytesOf(`${name}.request`)).body) as FastjsonValue;
    expect(unordered(ours)).toEqual(unordered(bodyJson(`${name}.response.SUCCESS`)));
  });

  test.each([
    "HEART_BEAT(34)",
    "GET_MAX_OFFSET(30)",
    "GET_MIN_OFFSET(31)",
    "GET_EARLIEST_MSG_STORETIME(32)",
    "SEARCH_OFFSET_BY_TIMESTAMP(29)",
    "QUERY_CONSUMER_OFFSET(14)",
    "UPDATE_CONSUMER_OFFSET(15)",
    "CHECK_CLIENT_CONFIG(46)",
    "UNLOCK_BATCH_MQ(42)",
    "UNREGISTER_CLIENT(35)",
    "UPDATE_AND_CREATE_TOPIC(17)",
    "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP(200)",
    "DELETE_TOPIC_IN_BROKER(215)",
    "DELETE_SUBSCRIPTIONGROUP(207)",
    "UPDATE_BROKER_CONFIG(25)",
    "GET_BROKER_CONFIG(26)",
    "CLONE_GROUP_OFFSET(314)",
    "SET_MESSAGE_REQUEST_MODE(401)",
    "CLEAN_UNUSED_TOPIC(316)",
  ])("%s has the code, the remark and the fields of Apache's", async (name) => {
    const ours = await broker.askFrameLate(bytesOf(`${name}.request`), new FakeConnection());
    const { extFields, remark } = frames.get(`${name}.response.SUCCESS`)!.header;
    expect(ours).toMatchObject({ code: 0, remark: remark ?? "" });
    expect(Object.keys(ours.fields).sort()).toEqual(Object.keys(extFields ?? {}).sort());
  });

  test("a group that has never committed is answered in Apache's words", () => {
    const refused = frames.get("QUERY_CONSUMER_OFFSET(14).response.QUERY_NOT_FOUND")!.header.remark;
    const ours = broker.ask(14, { consumerGroup: "nobody", topic: "GoldenDelay", queueId: 0 });
    expect(ours).toMatchObject({ code: 22, remark: refused });
    const first = broker.ask(14, { consumerGroup: "nobody", topic: "GoldenTopic", queueId: 0 });
    expect(first).toMatchObject({ code: 0, fields: { offset: "0" } });
  });

  test("runtime information has Apache's keys, and numbers where Apache has numbers", () => {
    const table = (map: FastjsonValue) => (map as Map<string, Map<string, string>>).get("table")!;
    const theirs = table(bodyJson("GET_BROKER_RUNTIME_INFO(28).response.SUCCESS"));
    const ours = table(parseFastjson(broker.ask(28).body) as FastjsonValue);
    const named = (keys: Iterable<string>) =>
      [...keys].filter((key) => !/^scheduleMessageOffset_|^commitLogDiskRatio_/.test(key)).sort();
    expect(named(ours.keys())).toEqual(named(theirs.keys()));
    expect(ours.get("commitLogDiskRatio_/data/store/commitlog")).toBe("0.21");
    for (const key of named(theirs.keys())) {
      if (theirs.get(key)!.trim() === "" || Number.isNaN(Number(theirs.get(key)))) continue;
      expect([key, Number.isNaN(Number(ours.get(key)!.split(" ")[0]))]).toEqual([key, false]);
    }
  });
});
