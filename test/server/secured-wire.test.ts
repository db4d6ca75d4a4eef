/**
 * A broker and a name server with access control, over sockets: each request code that there is from those who may not,
 * and what is told in the logs of a life with passwords.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, requestCodeName } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { openAccess } from "#src/server/auth/open-access.js";
import { requestSigner } from "#src/remoting/request-signer.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { FakeLog } from "../unit/broker/harness.js";
import { ANSWER_MS, clientOf, closeAll, send, startBroker, startNameServer, temporaryDirectory } from "./harness.js";

afterEach(closeAll);

const NO_PERMISSION = 16;
const NOT_SUPPORTED = 3;
const SECURED: Partial<BrokerConfig> = {
  authenticationEnabled: true,
  authorizationEnabled: true,
  initAuthenticationUser: '{"username":"root","password":"pass-of-root"}',
  innerClientAuthenticationCredentials: '{"accessKey":"inner","secretKey":"pass-of-inner"}',
};
const CODES = [...new Set([...Object.values(RequestCode), 0, 1, 99, 9999, 32767])];
/** What every user may, without a right of his own. */
const ANY_USERS: ReadonlySet<number> = new Set([
  RequestCode.SEND_REPLY_MESSAGE,
  RequestCode.SEND_REPLY_MESSAGE_V2,
  // It names no group.
  RequestCode.UNREGISTER_CLIENT,
]);

/** With what the body of any request names. */
const BODY = json({
  ...{
    consumerGroup: "g",
    group: "g",
    groupName: "g",
    topic: "T",
    acks: [{ c: "g", t: "T" }],
    mqSet: [{ topic: "T" }],
  },
  ...{ groupConfigList: [{ groupName: "g" }], topicConfigList: [{ topicName: "T" }] },
  consumerDataSet: [{ groupName: "g", subscriptionDataSet: [{ topic: "T" }] }],
});

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

test("each request code is refused to strangers, also those that there are not", { timeout: 60_000 }, async () => {
  const { broker, client, log } = await startBroker({ config: SECURED });
  const access = openAccess({ reading: { config: defaultBrokerConfig(SECURED) } });
  const names = await startNameServer({ access });
  const signedBy = (accessKey: string, secretKey: string) => ({ signer: requestSigner({ accessKey, secretKey }) });
  const root = client(signedBy("root", "pass-of-root"));
  await root.call(RequestCode.AUTH_CREATE_USER, { username: "user" }, json({ password: "pass-of-user" }), ANSWER_MS);
  const strangers = [{}, signedBy("root", "wrong"), signedBy("nobody", "pass-of-root"), signedBy("inner", "")];
  const topics = broker.context.topics.size;
  for (const code of CODES) {
    for (const port of [broker.port, names.port]) {
      for (const [index, stranger] of strangers.entries()) {
        const answer = await clientFor(port, index, stranger).call(code, { topic: "T", b: "T" }, undefined, ANSWER_MS);
        expect([requestCodeName(code), index, answer.code]).toEqual([requestCodeName(code), index, NO_PERMISSION]);
        expect(answer.body.length).toBe(0);
      }
    }
    if (ANY_USERS.has(code)) continue;
    const user = clientFor(broker.port, 9, signedBy("user", "pass-of-user"));
    const { code: told } = await user.call(code, { topic: "T", b: "T" }, BODY, ANSWER_MS);
    expect([requestCodeName(code), told]).toEqual([
      requestCodeName(code),
      broker.processors.has(code) ? NO_PERMISSION : NOT_SUPPORTED,
    ]);
  }
  expect(broker.context.topics.size).toBe(topics);
  expect(log.at("error", /./)).toEqual([]);
});

const clients = new Map<string, RemotingClient>();

function clientFor(port: number, index: number, options: object): RemotingClient {
  const key = `${port} ${index}`;
  const found = clients.get(key) ?? clientOf(port, options);
  clients.set(key, found);
  return found;
}

test("no password is in any log line, answer or file but that of users", async () => {
  const folder = temporaryDirectory();
  const directory = join(folder, "store");
  const files = join(folder, "auth");
  const { client, broker, log } = await startBroker({ directory, config: { ...SECURED, authConfigPath: files } });
  const signed = (accessKey: string, secretKey: string) => client({ signer: requestSigner({ accessKey, secretKey }) });
  const root = signed("root", "pass-of-root");
  const remarks: string[] = [];
  const ask = async (who: RemotingClient, code: number, fields: Fields, body?: Buffer) => {
    const answer = await who.call(code, fields, body, ANSWER_MS);
    remarks.push(answer.remark ?? "", JSON.stringify(answer.fields));
    return answer;
  };
  const { AUTH_CREATE_USER, AUTH_UPDATE_USER, UPDATE_BROKER_CONFIG } = RequestCode;
  for (const body of [
    { password: "pass-of-a" },
    { password: "pass-again" },
    { password: "pass-x", userType: "pass-type" },
    { password: ["pass-list"] },
    { password: { "pass-key": "pass-value" } },
    { password: `pass-${"x".repeat(5000)}` },
  ]) {
    await ask(root, AUTH_CREATE_USER, { username: "a" }, json(body));
    await ask(root, AUTH_UPDATE_USER, { username: "a" }, json(body));
    await ask(root, AUTH_CREATE_USER, { username: "../b" }, json(body));
  }
  for (const broken of ['{"password":"pass-broken', "pass-plain", '["pass-array"]', '{"password":"pass-nul\0"}']) {
    await ask(root, AUTH_CREATE_USER, { username: "c" }, Buffer.from(broken));
  }
  for (const line of [
    'initAuthenticationUser={"username":"x","password":"pass-line"}',
    "tls.server.keyPassword=pass-key",
    "secretKey=pass-unheard",
  ]) {
    await ask(root, UPDATE_BROKER_CONFIG, {}, Buffer.from(line));
    await ask(signed("a", "pass-wrong"), UPDATE_BROKER_CONFIG, {}, Buffer.from(line));
  }
  await send(signed("a", "pass-wrong"), { topic: "T" }, "x");
  await send(signed("pass-as-name", "pass-wrong"), { topic: "T" }, "x");
  expect((await ask(root, RequestCode.GET_BROKER_CONFIG, {})).body.toString()).not.toContain("pass-");
  await broker.close();
  const again = await startBroker({ directory, config: { ...SECURED, authConfigPath: files } });
  await again.broker.close();
  writeFileSync(join(files, "users.json"), '{"users":{"a":{"password":"pass-torn"');
  writeFileSync(join(files, "users.json.bak"), '{"users":{"a":{"password":["pass-torn"]},"b":"pass-torn"}}');
  const torn = await startBroker({ directory, config: { ...SECURED, authConfigPath: files } });

  const said = [log, again.log, torn.log].flatMap(({ lines }) => lines).map(written);
  expect(said.length).toBeGreaterThan(20);
  // Who signs with a password for a name has told it to everybody by then.
  expect(said.filter((line) => line.replaceAll("pass-as-name", "").includes("pass-"))).toEqual([]);
  expect(remarks.filter((text) => text.includes("pass-"))).toEqual([]);
  for (const file of filesBelow(directory)) expect([file, readFileSync(file).includes("pass-")]).toEqual([file, false]);
});

test("no secret of a plain_acl.yml that can not be read is told", () => {
  for (const text of [
    "accounts:\n- accessKey: pass-key\n  secretKey: pass-secret\n  : pass-broken\n",
    "accounts:\n- accessKey: a\n  secretKey: [pass-list]\n",
    "accounts: pass-text\n",
    "accounts:\n- accessKey: aaaaaaa\n  secretKey: pass-secret\n  topicPerms:\n  - pass-perm\n",
    "globalWhiteRemoteAddresses: [x]\naccounts:\n\t- secretKey: pass-tab\n",
  ]) {
    const folder = temporaryDirectory();
    const path = join(folder, "broker.conf");
    writeFileSync(join(folder, "plain_acl.yml"), text);
    const log = new FakeLog();
    let told = "";
    try {
      const config = defaultBrokerConfig({ aclEnable: true, storePathRootDir: folder });
      openAccess({ reading: { config, path }, disk: new FileDisk("file"), log });
    } catch (error) {
      told = written({ error });
    }
    expect(told + log.lines.map(written).join("\n")).not.toMatch(/pass-(secret|list|text|tab|broken)/);
  }
});

/** As a log line would have it: errors with their causes and stacks. */
function written(line: object): string {
  const seen = (_key: string, value: unknown): unknown =>
    value instanceof Error ? { ...value, message: value.message, stack: value.stack, cause: value.cause } : value;
  return JSON.stringify(line, seen);
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !/commitlog|index/.test(file));
}
