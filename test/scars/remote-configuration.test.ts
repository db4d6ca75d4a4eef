/**
 * CVE-2023-33246: rocketmqHome and filterServerNums, changed by code 25, ran a shell. CVE-2023-37582: the name server's
 * code 318 changed configStorePath, and with it where it writes. CVE-2024-23321: any user read administrators' passwords
 * with the configuration. What can be changed is an allow-list, and it has no path, no address and no secret in it.
 */
import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { OPTIONS } from "#src/server/broker/broker-options.js";
import { NamesrvConfig } from "#src/server/namesrv/namesrv-config.js";
import { TestBroker } from "../unit/broker/harness.js";
import { Bench } from "../unit/namesrv/harness.js";

const NO_PERMISSION = 16;
const UPDATE_BROKER_CONFIG = 25;
const UPDATE_NAMESRV_CONFIG = 318;

const DANGEROUS = [
  "rocketmqHome=-c $@|sh . echo touch /tmp/x;",
  "filterServerNums=1",
  "brokerConfigPath=/etc/cron.d/x",
  "configBlackList=x",
  "storePathRootDir=/tmp/x",
  "storePathCommitLog=/tmp/x",
  "authConfigPath=/tmp/x",
  "bindAddress=0.0.0.0",
  "listenPort=1",
  "namesrvAddr=1.2.3.4:9876",
  "authenticationEnabled=false",
  "authorizationEnabled=false",
  "aclEnable=false",
  "authenticationWhitelist=25",
  "authorizationWhitelist=25",
  'initAuthenticationUser={"username":"x","password":"x"}',
  'innerClientAuthenticationCredentials={"accessKey":"x","secretKey":"x"}',
  "tls.server.mode=disabled",
  "tls.server.keyPath=/etc/shadow",
];

test.each(DANGEROUS)("a broker does not take %s", (line) => {
  const disk = new MemoryDisk();
  const broker = new TestBroker({}, { reading: { config: defaultBrokerConfig(), path: "/etc/broker.conf" } }, disk);
  const before = JSON.stringify(broker.context.config);
  const answer = broker.ask(UPDATE_BROKER_CONFIG, {}, `maxMessageSize=5000\n${line}\n`);
  expect([NO_PERMISSION, 29]).toContain(answer.code);
  expect(JSON.stringify(broker.context.config)).toBe(before);
  expect(disk.sizeOf("/etc/broker.conf")).toBe(-1);
});

test("nothing that a running broker takes is a path, an address, a secret or a switch of access control", () => {
  const runtime = Object.entries(OPTIONS).filter(([, option]) => option.runtime);
  const names = runtime.map(([name]) => name);
  expect(
    names.filter((name) => /path|dir|home|addr|address|host|port$|ip\d?$|auth|^acl|tls|secret|class/i.test(name)),
  ).toEqual([]);
  expect(runtime.filter(([, option]) => typeof option.initial === "string").map(([name]) => name)).toEqual([
    "deleteWhen",
  ]);
});

test.each(["configStorePath", "configStorePathName", "kvConfigPath", "rocketmqHome", "configBlackList", "bindAddress"])(
  "a name server does not take %s",
  (name) => {
    const bench = new Bench();
    const answer = bench.ask(UPDATE_NAMESRV_CONFIG, {}, { body: `orderMessageEnable=true\n${name}=/tmp/x\n` });
    expect(answer.code).toBe(NO_PERMISSION);
    expect(bench.state.config.settings.orderMessageEnable).toBe(false);
  },
);

test("all that a name server takes are switches and two numbers", () => {
  expect([...new Set(Object.values(new NamesrvConfig().settings).map((value) => typeof value))].sort()).toEqual([
    "boolean",
    "number",
  ]);
});

test("the configuration that a broker tells has no secret in it", () => {
  const secrets = Object.entries(OPTIONS).flatMap(([name, option]) => ("secret" in option ? [name] : []));
  expect(secrets.sort()).toEqual([
    "initAuthenticationUser",
    "innerClientAuthenticationCredentials",
    "tls.client.keyPassword",
    "tls.server.keyPassword",
  ]);
  const broker = new TestBroker(Object.fromEntries(secrets.map((name) => [name, "s3cr3t"])));
  expect(broker.ask(26).body.toString()).not.toContain("s3cr3t");
});
