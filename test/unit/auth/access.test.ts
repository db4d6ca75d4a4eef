/** Access control in front of a broker's own processors: every request code, and five kinds of senders. */
import { afterEach, describe, expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { requestCodeName } from "#src/remoting/codes.js";
import type { Fields, Processor } from "#src/remoting/types.js";
import { guarded } from "#src/server/auth/guard.js";
import { openAccess } from "#src/server/auth/open-access.js";
import { readPlainAcl } from "#src/server/auth/plain-acl.js";
import { knownCodes } from "#src/server/auth/request-needs.js";
import { requestSigner } from "#src/remoting/request-signer.js";
import { defaultBrokerConfig, readBrokerConfig } from "#src/server/broker/broker-config.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { namesrvProcessors } from "#src/server/namesrv/namesrv.js";
import { closeAll, startBroker } from "../../server/harness.js";
import { FakeClock, FakeConnection, FakeLog, TestBroker } from "../broker/harness.js";
import { Bench } from "../namesrv/harness.js";

afterEach(closeAll);

const NO_PERMISSION = 16;
const ROOT = { accessKey: "root", secretKey: "root-secret" };
const ON: Partial<BrokerConfig> = {
  brokerClusterName: "DefaultCluster",
  storePathRootDir: "/data/store",
  authenticationEnabled: true,
  authorizationEnabled: true,
  initAuthenticationUser: '{"username":"root","password":"root-secret"}',
};

type Who = { readonly accessKey: string; readonly secretKey: string } | undefined;

class Secured extends TestBroker {
  readonly control;

  constructor(config: Partial<BrokerConfig> = {}, disk = new MemoryDisk(), path?: string) {
    const log = new FakeLog();
    const reading = { config: defaultBrokerConfig({ ...ON, ...config }), ...(path === undefined ? {} : { path }) };
    const access = openAccess({ reading, disk, clock: new FakeClock(), log })!;
    super({ ...ON, ...config }, { access, log }, disk);
    this.control = access.control;
    for (const [code, processor] of guarded(this.processors, access.control)) this.processors.set(code, processor);
  }

  as(who: Who, code: number, fields: Fields = {}, body?: string) {
    return this.ask(code, signed(who, fields, body), body);
  }

  async asLate(who: Who, code: number, fields: Fields = {}, body?: string) {
    return this.askLate(code, signed(who, fields, body), body);
  }

  async user(name: string, ...policies: [resource: string, actions: string, decision?: string][]): Promise<Who> {
    const made = await this.asLate(ROOT, 3001, { username: name }, JSON.stringify({ password: `${name}-secret` }));
    expect(made.code).toBe(0);
    for (const [resource, actions, decision = "Allow"] of policies) {
      const entries = [{ resource, actions: actions.split(","), decision }];
      const acl = JSON.stringify({ policies: [{ entries }] });
      expect((await this.asLate(ROOT, 3006, { subject: `User:${name}` }, acl)).code).toBe(0);
    }
    return { accessKey: name, secretKey: `${name}-secret` };
  }
}

function signed(who: Who, fields: Fields, body?: string): Fields {
  return who === undefined ? fields : requestSigner(who)(fields, body === undefined ? undefined : Buffer.from(body));
}

/** Names in every field that any request has, so that handlers get as far as they may. */
const FIELDS: Fields = {
  topic: "t",
  b: "t",
  group: "g",
  consumerGroup: "g",
  groupName: "g",
  srcGroup: "g",
  destGroup: "h",
  clusterName: "c",
  username: "root",
  subject: "User:root",
  queueId: 0,
};

/** Answered for every user who is one: what they name is optional, or told to the one who asked for it. */
const ANY_USERS = new Set(["SEND_REPLY_MESSAGE", "SEND_REPLY_MESSAGE_V2"]);

describe("every request code of a broker and of a name server", async () => {
  const { broker } = await startBroker();
  const names = new Bench();
  const codes = [...new Set([...broker.processors.keys(), ...namesrvProcessors(names.state).keys()])].sort(
    (a, b) => a - b,
  );
  await closeAll();

  test("has its line in the table", () => {
    expect(codes.filter((code) => !knownCodes().has(code)).map(requestCodeName)).toEqual([]);
    expect(codes.length).toBeGreaterThan(80);
  });

  const secured = new Secured();
  const reached = new Set<number>();
  const stubs = new Map<number, Processor>(
    codes.map((code) => [
      code,
      (request, connection) => {
        reached.add(code);
        connection.writer.response(request.header.opaque, request.header.serializeType, 0);
      },
    ]),
  );
  for (const [code, processor] of guarded(stubs, secured.control)) secured.processors.set(code, processor);
  const body = JSON.stringify({
    consumerGroup: "g",
    group: "g",
    groupName: "g",
    topic: "t",
    consumerDataSet: [{ groupName: "g", subscriptionDataSet: [{ topic: "t" }] }],
    mqSet: [{ topic: "t" }],
    acks: [{ c: "g", t: "t" }],
    groupConfigList: [{ groupName: "g" }],
    topicConfigList: [{ topicName: "t" }],
  });
  const nobody: Who = { accessKey: "foreign", secretKey: "foreign-secret" };
  const ask = (who: Who, code: number) => {
    reached.delete(code);
    const answer = secured.as(who, code, FIELDS, body);
    expect(answer.code === 0).toBe(reached.has(code));
    return answer.code;
  };

  test.each(codes.map((code): [string, number] => [requestCodeName(code), code]))("%s", async (name, code) => {
    if (secured.control.users.get("foreign") === undefined) {
      const { User } = await import("#src/server/auth/user.js");
      secured.control.users.set(new User("foreign", "foreign-secret", "Normal"));
    }
    expect(ask(undefined, code)).toBe(NO_PERMISSION);
    expect(ask({ ...ROOT, secretKey: "wrong" }, code)).toBe(NO_PERMISSION);
    expect(ask({ ...ROOT, accessKey: "nobody" }, code)).toBe(NO_PERMISSION);
    expect(ask(nobody, code)).toBe(ANY_USERS.has(name) ? 0 : NO_PERMISSION);
    expect(ask(ROOT, code)).toBe(0);
  });
});

test("a producer, a consumer and an administrator may what theirs is", async () => {
  const broker = new Secured();
  const pub = await broker.user("pub", ["Topic:t", "Pub"]);
  const sub = await broker.user("sub", ["Topic:t", "Sub"], ["Group:g", "Sub"]);
  const admin = await broker.user("admin", ["Cluster:DefaultCluster", "Update,Get"]);
  const refused = (who: Who, code: number, fields: Fields, body?: string) =>
    broker.as(who, code, fields, body).code === NO_PERMISSION;
  const beat = (group: string, topic: string) =>
    JSON.stringify({ clientID: "c", consumerDataSet: [{ groupName: group, subscriptionDataSet: [{ topic }] }] });
  expect(refused(pub, 30, { topic: "t", queueId: 0 })).toBe(true);
  expect(refused(sub, 30, { topic: "t", queueId: 0 })).toBe(false);
  expect(refused(sub, 30, { topic: "u", queueId: 0 })).toBe(true);
  expect(refused(sub, 34, {}, beat("g", "t"))).toBe(false);
  expect(refused(sub, 34, {}, beat("h", "t"))).toBe(true);
  expect(refused(sub, 34, {}, beat("g", "u"))).toBe(true);
  expect(refused(sub, 34, {}, beat("g", "%RETRY%g"))).toBe(false);
  expect(refused(sub, 34, {}, beat("g", "%RETRY%h"))).toBe(true);
  expect(refused(pub, 26, {})).toBe(true);
  expect(refused(admin, 26, {})).toBe(false);
  expect(refused(admin, 26, { topic: "t" })).toBe(false);
  expect(refused(admin, 215, { topic: "t" })).toBe(true);
  expect(refused(pub, 34, {}, "no json")).toBe(true);
});

test("a request that names no cluster but an empty one asks for more than this cluster's right", async () => {
  const secured = new Secured();
  const processors = namesrvProcessors(new Bench().state);
  for (const [code, processor] of guarded(processors, secured.control)) secured.processors.set(code, processor);
  const own = await secured.user("own", ["Cluster:DefaultCluster", "Update"]);
  const prefixed = await secured.user("prefixed", ["Cluster:Default*", "Update"]);
  const all = await secured.user("all", ["Cluster:*", "Update"]);
  // What deletes a topic from every cluster's routes.
  const codeOf = (who: Who, fields: Fields) => secured.as(who, 216, { topic: "t", ...fields }).code;
  for (const who of [own, prefixed]) {
    expect(codeOf(who, { clusterName: "" })).toBe(NO_PERMISSION);
    expect(codeOf(who, { clusterName: "other" })).toBe(NO_PERMISSION);
    expect(codeOf(who, { clusterName: "DefaultCluster" })).toBe(0);
    expect(codeOf(who, {})).toBe(0);
  }
  expect(codeOf(all, { clusterName: "" })).toBe(0);
});

test("no password, no super user and no new right for those who may not", async () => {
  const broker = new Secured();
  const admin = await broker.user("admin", ["Cluster:*", "Update,Get"]);
  const told = broker.as(admin, 3004, { username: "root" });
  expect(told.code).toBe(0);
  expect(told.body.toString()).not.toContain("secret");
  expect(broker.as(admin, 3005).body.toString()).not.toContain("secret");
  expect(broker.as(ROOT, 3004, { username: "admin" }).body.toString()).toContain('"password":"admin-secret"');
  const evil = JSON.stringify({ password: "x", userType: "Super" });
  expect(broker.as(admin, 3001, { username: "evil" }, evil).remark).toBe(
    "The super user can only be create by super user",
  );
  expect(broker.as(admin, 3002, { username: "admin" }, evil).remark).toBe(
    "The super user can only be update by super user",
  );
  expect(broker.as(admin, 3002, { username: "root" }, '{"password":"mine"}').code).toBe(NO_PERMISSION);
  expect(broker.as(admin, 3003, { username: "root" }).code).toBe(NO_PERMISSION);
  for (const who of [admin, ROOT]) {
    const again = broker.as(who, 3001, { username: "root" }, '{"password":"mine"}');
    expect(again).toMatchObject({ code: NO_PERMISSION, remark: "The user is existed" });
  }
  expect(broker.as(ROOT, 26).body.toString()).not.toContain("secret");
  expect(JSON.stringify(broker.log.lines)).not.toContain("secret");
});

test("codes of the white lists are anybody's, and a user's name alone proves nothing there", async () => {
  const broker = new Secured({ authenticationWhitelist: "30, 3001", authorizationWhitelist: "30" });
  await broker.user("someone");
  const queue = { topic: "t", queueId: 0 };
  expect(broker.as(undefined, 30, queue).code).not.toBe(NO_PERMISSION);
  expect(broker.as(undefined, 31, queue).code).toBe(NO_PERMISSION);
  const claimed = broker.ask(3001, { username: "evil", AccessKey: "root" }, '{"password":"x","userType":"Super"}');
  expect(claimed.code).toBe(NO_PERMISSION);
});

test("over-long and odd credentials are refused, and what is told quotes little of them", () => {
  const broker = new Secured();
  const long = "x".repeat(100_000);
  for (const accessKey of [long, "", "__proto__", "constructor", "root\u0000", "ROOT", " root"]) {
    const answer = broker.as({ accessKey, secretKey: "root-secret" }, 26);
    expect(answer.code).toBe(NO_PERMISSION);
    expect(answer.remark.length).toBeLessThan(600);
  }
  for (const Signature of ["", long, "====", "\u0000", "TthXP52+y9BXjTDNSFuzYLlnlhA="]) {
    expect(broker.ask(26, { AccessKey: "root", Signature }).code).toBe(NO_PERMISSION);
  }
  expect(broker.ask(26, { AccessKey: "root" }).remark).toBe("check signature failed.");
  expect(broker.ask(26, {}).remark).toBe("username cannot be null.");
  expect(broker.log.lines.every((line) => JSON.stringify(line).length < 2000)).toBe(true);
});

test("the log says once a minute who is refused, and how often since", () => {
  const log = new FakeLog();
  const clock = new FakeClock();
  const access = openAccess({ reading: { config: defaultBrokerConfig(ON) }, clock, log })!;
  const broker = new TestBroker({}, { access });
  const processors = guarded(broker.processors, access.control);
  for (const [code, processor] of processors) broker.processors.set(code, processor);
  for (let i = 0; i < 50; i++) broker.ask(26, { AccessKey: "root", Signature: "x" }, undefined, new FakeConnection());
  expect(log.at("warn", /a request was refused/)).toEqual([
    { request: "GET_BROKER_CONFIG", host: "127.0.0.1", cause: "the signature is not that of root" },
  ]);
  clock.advance(60_000);
  broker.ask(26, {});
  expect(log.at("warn", /as many more/)).toEqual([{ repeated: 49 }]);
});

test("users and policies are there after a restart, readable by their owner only, also from the backup", async () => {
  const disk = new MemoryDisk();
  const modes: (number | undefined)[] = [];
  const { replace } = disk;
  disk.replace = (path: string, content: Uint8Array | string, keepAs?: string, mode?: number) => {
    if (/users|acls/.test(path)) modes.push(mode);
    return replace.call(disk, path, content, keepAs);
  };
  const first = new Secured({}, disk);
  await first.user("pub", ["Topic:t", "Pub"]);
  expect(modes.length).toBeGreaterThan(1);
  expect(new Set(modes)).toEqual(new Set([0o600]));
  const path = "/data/store/config/users.json";
  const again = new Secured({}, disk);
  expect(again.control.users.get("pub")?.password).toBe("pub-secret");
  expect(again.control.acls.get("pub")?.Custom).toHaveLength(1);
  await again.user("another");
  disk.writeAtomically(path, disk.readFile(path)!.subarray(0, 40));
  const torn = new Secured({}, disk);
  expect(torn.control.users.get("pub")?.password).toBe("pub-secret");
  expect(torn.control.users.get("root")?.isSuper).toBe(true);
});

test("a policy that can not be read takes the user's others with it", () => {
  const disk = new MemoryDisk();
  const entry = { resource: "Topic:*", actions: ["All"], decision: "Allow" };
  const bad = { resource: "Topic:secret", actions: ["All"], decision: "Denny" };
  const acls = {
    u: { policies: [{ policyType: "Custom", entries: [entry, bad] }] },
    v: { policies: [{ entries: [entry] }] },
  };
  disk.writeAtomically("/data/store/config/acls.json", JSON.stringify({ acls }));
  const { control } = new Secured({}, disk);
  expect(control.acls.get("u")).toBeUndefined();
  expect(control.acls.get("v")?.Custom).toHaveLength(1);
});

test("4.x's plain_acl.yml rules where aclEnable is on", () => {
  const disk = new MemoryDisk();
  const yaml = `
globalWhiteRemoteAddresses:
- 10.10.103.*
accounts:
- accessKey: RocketMQ
  secretKey: 12345678
  whiteRemoteAddress:
  admin: false
  defaultTopicPerm: DENY
  defaultGroupPerm: SUB
  topicPerms:
  - topicA=DENY
  - topicB=PUB|SUB
  - topicC=SUB
  - topicD=NONSENSE
  groupPerms:
  - groupA=DENY
- accessKey: rocketmq2
  secretKey: "12345678"
  whiteRemoteAddress: 192.168.1.*
  admin: true
`;
  disk.writeAtomically("/etc/rocketmq/plain_acl.yml", yaml);
  const off = { authenticationEnabled: false, authorizationEnabled: false, initAuthenticationUser: "" };
  const broker = new Secured({ ...off, aclEnable: true }, disk, "/etc/rocketmq/broker.conf");
  const user = { accessKey: "RocketMQ", secretKey: "12345678" };
  const code = (topic: string, consumerGroup: string) => broker.as(user, 14, { topic, consumerGroup, queueId: 0 }).code;
  expect(code("topicC", "groupB")).not.toBe(NO_PERMISSION);
  for (const [topic, group] of [
    ["topicA", "groupB"],
    ["topicC", "groupA"],
    ["topicD", "groupB"],
    ["other", "groupB"],
  ]) {
    expect(code(topic!, group!)).toBe(NO_PERMISSION);
  }
  expect(broker.as(user, 26).code).toBe(NO_PERMISSION);
  expect(broker.as({ ...user, accessKey: "rocketmq2" }, 26).code).toBe(0);
  expect(broker.ask(26).code).toBe(NO_PERMISSION);
  const from = (remoteAddress: string) => Object.assign(new FakeConnection(), { remoteAddress });
  expect(broker.ask(26, {}, undefined, from("10.10.103.7:5000")).code).toBe(0);
  expect(broker.ask(26, { AccessKey: "rocketmq2" }, undefined, from("192.168.1.7:5000")).code).toBe(0);
  expect(broker.ask(26, { AccessKey: "RocketMQ" }, undefined, from("192.168.1.7:5000")).code).toBe(NO_PERMISSION);
});

test.each([
  ["accounts:\n- accessKey: a\n  secretKey: [s3cr3t", "it is not YAML"],
  ["accounts: s3cr3t", "accounts or globalWhiteRemoteAddresses is no list"],
  ["accounts:\n- s3cr3t", "account 1: it is no map"],
  ["accounts:\n- accessKey: a\n  secretKey: s3cr3t\n  topicPerms: x", "account 1: topicPerms is no list"],
  ["accounts:\n- secretKey: s3cr3t", "account 1: accessKey can not be blank"],
  ["globalWhiteRemoteAddresses:\n- nowhere", "nowhere is no address"],
])("a wrong plain_acl.yml keeps the broker from starting and is not quoted: %j", (text, message) => {
  const disk = new MemoryDisk();
  disk.writeAtomically("/etc/plain_acl.yml", text);
  try {
    new Secured({ aclEnable: true }, disk, "/etc/broker.conf");
    expect.unreachable();
  } catch (error) {
    expect(String(error)).toContain(message);
    expect(String(error)).not.toContain("s3cr3t");
  }
});

test("values of a plain_acl.yml are text, and nothing of it is printed", () => {
  const printed: unknown[] = [];
  const onWarning = process.emitWarning;
  process.emitWarning = (...given: unknown[]) => void printed.push(given);
  const passwordOf = (text: string) => {
    const content = Buffer.from(`accounts:\n- accessKey: a\n  admin: yes\n  secretKey: ${text}\n`);
    const { user } = readPlainAcl(content, "plain_acl.yml").accounts[0]!;
    expect(user.isSuper).toBe(true);
    return user.password;
  };
  try {
    const asTheyStand = ["12345678901234567890", "0123", "1.50", "1e3", "0x1F", "true", "2026-01-02"];
    expect(asTheyStand.map(passwordOf)).toEqual(asTheyStand);
    expect(passwordOf("'quoted: #1'")).toBe("quoted: #1");
    // A tag to YAML, whatever was meant.
    expect(() => passwordOf("!secret1")).toThrow("secretKey can not be blank");
    expect(() => passwordOf("!secret1 secret2")).not.toThrow();
    expect(() => passwordOf("~")).toThrow("secretKey can not be blank");
    for (const empty of ["", "accounts:\n", "accounts: ~\nglobalWhiteRemoteAddresses:\n", "# nothing"]) {
      expect(readPlainAcl(Buffer.from(empty), "plain_acl.yml")).toEqual({ accounts: [], globalWhite: [] });
    }
  } finally {
    process.emitWarning = onWarning;
  }
  expect(printed).toEqual([]);
});

test("credentials in the configuration are never quoted", () => {
  for (const name of ["initAuthenticationUser", "innerClientAuthenticationCredentials"]) {
    expect(() => new Secured({ [name]: '{"username":"s3cr3t"' })).toThrow(`${name}: expected`);
    try {
      new Secured({ [name]: '{"username":"s3cr3t"' });
    } catch (error) {
      expect(String(error)).not.toContain("s3cr3t");
    }
    expect(() => readBrokerConfig(`${name}=s3cr3t\\u0001`)).toThrow(`${name}: expected`);
    expect(() => readBrokerConfig(`${name}=s3cr3t\\u0001`)).not.toThrow("s3cr3t");
  }
});

test("with access control off there are no users to be asked for", () => {
  const broker = new TestBroker();
  for (const code of [3001, 3004, 3005, 3006, 3010]) expect(broker.ask(code).code).toBe(1);
});
