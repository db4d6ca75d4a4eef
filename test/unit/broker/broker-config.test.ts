import { expect, test } from "vitest";
import { BrokerSettings, defaultBrokerConfig, readBrokerConfig } from "#src/server/broker/broker-config.js";
import { OPTIONS } from "#src/server/broker/broker-options.js";
import { FakeClock, TestBroker } from "./harness.js";

const UPDATE = 25;
const GET = 26;

test("a broker.conf of Apache's is read: known names count, harmless ones are told apart from unknown ones", () => {
  const { config, inert, unknownNames } = readBrokerConfig(`
# a comment
! another
brokerName = broker-b
listenPort:24100
autoCreateTopicEnable=FALSE
flushDiskType=SYNC_FLUSH
deleteWhen=04;16
namesrvAddr=127.0.0.1:9876;\\
            127.0.0.1:9877
waitTimeMillsInAdminBrokerQueue=1000
sendMessageThreadPoolNum=16
`);
  expect(config.brokerName).toBe("broker-b");
  expect(config.listenPort).toBe(24100);
  expect(config.autoCreateTopicEnable).toBe(false);
  expect(config.flushDiskType).toBe("SYNC_FLUSH");
  expect(config.deleteWhen).toBe("04;16");
  expect(config.namesrvAddr).toBe("127.0.0.1:9876;127.0.0.1:9877");
  expect(config.defaultTopicQueueNums).toBe(8);
  expect([...inert]).toEqual([["waitTimeMillsInAdminBrokerQueue", "1000"]]);
  expect(unknownNames).toEqual(["sendMessageThreadPoolNum"]);
});

test.each([
  ["listenPort=abc", "listenPort=abc: expected an integer from 0 to 65535."],
  ["listenPort=70000", "listenPort=70000: expected"],
  ["listenPort=1e3", "listenPort=1e3: expected"],
  ["autoCreateTopicEnable=yes", "autoCreateTopicEnable=yes: expected true or false."],
  ["flushDiskType=MAYBE", "flushDiskType=MAYBE: expected ASYNC_FLUSH or SYNC_FLUSH."],
  ["brokerName=../x", "brokerName=../x: expected"],
  ["brokerName=..", "brokerName=..: expected"],
  ["deleteWhen=25", "deleteWhen=25: expected"],
  ["maxMessageSize=999999999999999999", "maxMessageSize="],
  ["storePathRootDir=a\\u0000b", "storePathRootDir="],
  ["waitTimeMillsInAdminBrokerQueue=soon", "waitTimeMillsInAdminBrokerQueue=soon: expected an integer."],
  ["brokerRole=SLAVE", "brokerRole=SLAVE: CometMQ can only do ASYNC_MASTER."],
  ["autoMessageVersionOnTopicLen=false", "autoMessageVersionOnTopicLen=false: CometMQ can only do true."],
])("%s is refused by name", (line, message) => {
  expect(() => readBrokerConfig(line)).toThrow(message);
  try {
    readBrokerConfig(line);
  } catch (error) {
    expect((error as { code: string }).code).toBe("COMETMQ_CONFIG");
  }
});

test("names of a prototype are no properties", () => {
  const { config, unknownNames } = readBrokerConfig("__proto__=1\nconstructor=2\ntoString=3");
  expect(unknownNames).toEqual(["__proto__", "constructor", "toString"]);
  expect(Object.getPrototypeOf(config)).toBe(Object.prototype);
});

test("every default is a value that its own option takes", () => {
  for (const [name, option] of Object.entries(OPTIONS)) {
    expect([name, option.parse(String(option.initial))]).toEqual([name, option.initial]);
  }
});

test("a running broker takes all of an update or nothing", () => {
  const clock = new FakeClock();
  const settings = new BrokerSettings({ config: defaultBrokerConfig() }, clock);
  const before = settings.format();
  const told: (readonly string[])[] = [];
  settings.onChange = (names) => told.push(names);
  const update = (...entries: [string, string][]) => settings.update(new Map(entries));

  expect(update(["maxMessageSize", "1000"], ["listenPort", "1"])?.kind).toBe("fixed");
  expect(update(["maxMessageSize", "1000"], ["brokerConfigPath", "/etc/x"])?.kind).toBe("blacklisted");
  expect(update(["maxMessageSize", "1000"], ["rocketmqHome", "$(id)"])?.kind).toBe("blacklisted");
  expect(update(["maxMessageSize", "1000"], ["filterServerNums", "1"])?.kind).toBe("unknown");
  expect(update(["maxMessageSize", "-1"])?.kind).toBe("wrong");
  expect(settings.format()).toBe(before);
  expect(settings.dataVersion.counter).toBe(0);

  expect(update(["maxMessageSize", "1000"], ["traceOn", "false"])).toBeUndefined();
  expect(settings.config.maxMessageSize).toBe(1000);
  expect(settings.config.traceOn).toBe(false);
  expect(settings.dataVersion.counter).toBe(1);
  expect(told).toEqual([["maxMessageSize", "traceOn"]]);
});

test("some properties that set nothing here are shown all the same, and taken from tools that set them", () => {
  const reading = readBrokerConfig("transactionTimeOut=7000\nsendMessageThreadPoolNums=4\ncheckCRCOnRecover=false");
  const settings = new BrokerSettings(reading, new FakeClock());
  const lines = () => settings.format().trimEnd().split("\n");
  expect(lines()).toEqual(expect.arrayContaining(["transactionTimeOut=7000", "recallMessageEnable=false"]));
  expect(lines()).toEqual(expect.arrayContaining(["brokerRole=ASYNC_MASTER", "checkCRCOnRecover=false"]));
  expect(settings.update(new Map([["recallMessageEnable", "true"]]))).toBeUndefined();
  expect(settings.update(new Map([["transactionTimeOut", " 6543 "]]))).toBeUndefined();
  expect(settings.dataVersion.counter).toBe(2);
  expect(settings.update(new Map([["recallMessageEnable", "maybe"]]))?.kind).toBe("wrong");
  expect(settings.update(new Map([["sendMessageThreadPoolNums", "5"]]))?.kind).toBe("unknown");
  expect(settings.update(new Map([["brokerRole", "SLAVE"]]))?.kind).toBe("unknown");
  const shown = lines();
  expect(shown).toEqual(expect.arrayContaining(["transactionTimeOut=6543", "recallMessageEnable=true"]));
  expect(settings.shown("sendMessageThreadPoolNums")).toBe("4");
});

test("codes 25 and 26 change and show the configuration", () => {
  const broker = new TestBroker();
  expect(broker.ask(UPDATE, {}, "maxMessageSize=65536\nautoCreateTopicEnable=false\n").code).toBe(0);
  const shown = broker.ask(GET);
  const lines = shown.body.toString().trimEnd().split("\n");
  expect(lines).toContain("maxMessageSize=65536");
  expect(lines).toContain("autoCreateTopicEnable=false");
  expect(lines).toEqual([...lines].sort());
  expect(JSON.parse(shown.fields.version!)).toEqual({ counter: 1, stateVersion: 0, timestamp: broker.clock.nowMs() });

  expect(broker.ask(UPDATE, {}, "storePathRootDir=/tmp/x")).toMatchObject({ code: 16 });
  const blacklisted = broker.ask(UPDATE, {}, "configBlackList=");
  expect(blacklisted).toMatchObject({ code: 16, remark: "Can not update config in black list." });
  expect(broker.ask(UPDATE, {}, "__proto__=1")).toMatchObject({
    code: 29,
    remark: expect.stringContaining("__proto__"),
  });
  const wrong = broker.ask(UPDATE, {}, "brokerPermission=99");
  expect(wrong).toMatchObject({ code: 29, remark: expect.stringContaining("brokerPermission") });
  expect(broker.ask(UPDATE, {}, "x".repeat(65_537)).code).toBe(1);

  const version = broker.context.topics.dataVersion.counter;
  expect(broker.ask(UPDATE, {}, "brokerPermission=4").code).toBe(0);
  expect(broker.context.topics.dataVersion.counter).toBe(version + 1);
});
