/** Access control over real sockets: name server, broker and gRPC endpoint as they stand together. */
import { createHmac } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { requestSigner } from "#src/remoting/request-signer.js";
import type { Fields } from "#src/remoting/types.js";
import { openAccess } from "#src/server/auth/open-access.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { TestClock } from "#src/testing/test-clock.js";
import { FakeLog } from "../unit/broker/harness.js";
import { connectTo, encoded, gather, open, startEndpoint } from "./grpc-client.js";
import { ANSWER_MS, clientOf, closeAll, startBroker, startNameServer } from "./harness.js";

afterEach(closeAll);

const NO_PERMISSION = 16;
const UNAUTHORIZED = 40100;
const ROOT = { accessKey: "root", secretKey: "root-secret" };
const SECURED: Partial<BrokerConfig> = {
  authenticationEnabled: true,
  authorizationEnabled: true,
  initAuthenticationUser: '{"username":"root","password":"root-secret"}',
};
const INNER = '{"accessKey":"inner","secretKey":"inner-secret"}';

function securedNameServer() {
  const config = defaultBrokerConfig({ ...SECURED, innerClientAuthenticationCredentials: INNER });
  const access = openAccess({ reading: { config } });
  return startNameServer({ access, openCodes: new Set(["105", "106"]) });
}

test("a broker registers with a secured name server as its inner client, and not without", async () => {
  const names = await securedNameServer();
  const namesrvAddr = `127.0.0.1:${names.port}`;
  const config = { namesrvAddr, registerBrokerTimeoutMills: ANSWER_MS };
  const stranger = await startBroker({ config: { ...config, brokerName: "stranger" } });
  const refused = stranger.log.at("warn", /a name server refused the registration/);
  expect(refused).toMatchObject([{ code: NO_PERMISSION }]);
  await startBroker({ config: { ...config, brokerName: "ours", innerClientAuthenticationCredentials: INNER } });
  const answer = await clientOf(names.port).call(106, {}, undefined, ANSWER_MS);
  expect(answer.body.toString()).toContain('"ours"');
  expect(answer.body.toString()).not.toContain('"stranger"');
});

test("a secured name server tells routes to anybody, and all else to those who may", async () => {
  const names = await securedNameServer();
  const anybody = clientOf(names.port);
  const root = clientOf(names.port, { signer: requestSigner(ROOT) });
  const code = async (client: typeof anybody, request: number, body?: string) =>
    (await client.call(request, {}, body === undefined ? undefined : Buffer.from(body), ANSWER_MS)).code;
  expect(await code(anybody, 106)).toBe(0);
  for (const request of [206, 100, 103, 104, 205, 216, 217, 318, 319]) {
    expect(await code(anybody, request)).toBe(NO_PERMISSION);
  }
  expect(await code(root, 318, "orderMessageEnable=true\n")).toBe(0);
  expect(names.config.settings.orderMessageEnable).toBe(true);
});

test("gRPC calls are let in by the signature of their date, and told Apache's code otherwise", async () => {
  const { endpoint, log } = await startEndpoint({ config: SECURED });
  const session = connectTo(endpoint);
  const date = "20260102T030405Z";
  const sign = (user: string, secret: string, algorithm = "MQv2-HMAC-SHA1") => {
    const signature = createHmac("sha1", secret).update(date).digest("hex").toUpperCase();
    return `${algorithm} Credential=${user}, SignedHeaders=x-mq-date-time, Signature=${signature}`;
  };
  const ask = async (headers: Record<string, string>) => {
    const bytes = encoded("QueryRoute", { topic: { name: "t" }, endpoints: { scheme: 1, addresses: [] } });
    const { messages } = await gather(open(session, "QueryRoute", headers), "QueryRoute", bytes);
    return messages[0]!.status as { code: number; message: string };
  };
  const stamped = { "x-mq-date-time": date };
  const good = sign("root", "root-secret");
  expect((await ask({ ...stamped, authorization: good })).code).not.toBe(UNAUTHORIZED);
  expect(
    (await ask({ ...stamped, authorization: good.replace("Credential=root", "Credential=root/region/x") })).code,
  ).not.toBe(UNAUTHORIZED);
  for (const headers of [
    {},
    stamped,
    { authorization: good },
    { "x-mq-date-time": "20260102T030406Z", authorization: good },
    { ...stamped, authorization: sign("root", "wrong") },
    { ...stamped, authorization: sign("nobody", "root-secret") },
    { ...stamped, authorization: good.replace("Signature=", "Signature=zz") },
    { ...stamped, authorization: good.slice(0, -2) },
    { ...stamped, authorization: "MQv2-HMAC-SHA1" },
    { ...stamped, authorization: "MQv2-HMAC-SHA1 Credential" },
    { ...stamped, authorization: `MQv2-HMAC-SHA1 ${"Credential=x,".repeat(500)}` },
  ]) {
    expect((await ask(headers)).code, JSON.stringify(headers).slice(0, 100)).toBe(UNAUTHORIZED);
  }
  expect(JSON.stringify(log.lines)).not.toContain("root-secret");
});

test("who listens for more than this machine without access control is told once", async () => {
  const told = async (config: Partial<BrokerConfig>) => {
    const { log } = await startBroker({ config });
    await closeAll();
    return log.at("warn", /access control is off/);
  };
  expect(await told({ bindAddress: "0.0.0.0" })).toEqual([{ bindAddress: "0.0.0.0" }]);
  expect(await told({ bindAddress: "0.0.0.0", ...SECURED })).toEqual([]);
  expect(await told({})).toEqual([]);
  expect(defaultBrokerConfig().bindAddress).toBe("127.0.0.1");
});

test("a class that is not Apache's keeps the broker from starting", () => {
  const reading = {
    config: defaultBrokerConfig(SECURED),
    inert: new Map([["authenticationProvider", "com.acme.Mine"]]),
  };
  expect(() => openAccess({ reading, log: new FakeLog() })).toThrow("authenticationProvider=com.acme.Mine");
});

/** Refuses to write users and policies while it is told to. */
class RefusingDisk extends MemoryDisk {
  refuses = false;
  saveCount = 0;

  override async replace(...[path, ...rest]: Parameters<MemoryDisk["replace"]>): Promise<void> {
    if (/\/(users|acls)\.json$/.test(path)) {
      if (this.refuses) throw new CometError("COMETMQ_IO", "The disk is broken.");
      this.saveCount++;
    }
    await super.replace(path, ...rest);
  }
}

test("users and policies whose saving failed are on the disk when the broker is closed, and nothing comes later", async () => {
  const disk = new RefusingDisk();
  const clock = new TestClock();
  const started = await startBroker({ disk, clock, config: SECURED });
  const root = started.client({ signer: requestSigner(ROOT) });
  disk.refuses = true;
  const policies = [{ entries: [{ resource: "Topic:T", actions: ["Pub"], decision: "Allow" }] }];
  const changes: [code: number, fields: Fields, body: object][] = [
    [3001, { username: "late" }, { password: "late-secret" }],
    [3006, { subject: "User:late" }, { policies }],
  ];
  for (const [code, fields, body] of changes) {
    const answer = await root.call(code, fields, Buffer.from(JSON.stringify(body)), ANSWER_MS);
    expect(answer.remark).toContain("Changed, but not saved yet");
  }
  disk.refuses = false;
  await started.broker.close();
  expect(disk.saveCount).toBe(3);
  const { users, acls } = openAccess({ reading: { config: started.broker.context.config }, disk })!.control;
  expect(users.get("late")?.password).toBe("late-secret");
  expect(acls.get("late")).toBeDefined();
  await clock.advance("1h");
  expect(disk.saveCount).toBe(3);
});
