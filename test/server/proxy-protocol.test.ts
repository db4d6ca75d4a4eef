/** A broker, its name server and its gRPC endpoint behind a proxy that says in a PROXY header whom it speaks for. */
import { connect, createServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { hostOf } from "#src/remoting/address-range.js";
import { RequestCode } from "#src/remoting/codes.js";
import { requestSigner } from "#src/remoting/request-signer.js";
import { proxyTrustOf } from "#src/server/auth/proxy-trust.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { IPV4_BLOCK, tlv, v1, v2 } from "../unit/remoting/proxy-headers.js";
import { call, connectTo, message, startEndpoint, type StartedEndpoint } from "./grpc-client.js";
import { ANSWER_MS, clientOf, closeAll, onCloseAll, sendFields, startBroker, waitingPull } from "./harness.js";

afterEach(closeAll);

const V1 = v1("203.0.113.9", 4444);
const V2 = v2(1, 0x11, IPV4_BLOCK, tlv(0xe0, 300));
const SECURED: Partial<BrokerConfig> = {
  authenticationEnabled: true,
  authorizationEnabled: true,
  initAuthenticationUser: '{"username":"root","password":"pass-of-root"}',
};

/** Passes everything on to `port`, with `header` before it; answers its own port. */
async function proxyTo(port: number, header: Buffer): Promise<number> {
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1", () => {
      far.write(header);
      near.pipe(far).pipe(near);
    });
    for (const socket of [near, far]) socket.on("error", () => {});
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
    onCloseAll(() => void near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onCloseAll(() => void server.close());
  return (server.address() as { port: number }).port;
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Who sends messages to the queues 0, 1, … is in the lists of clients and in the records: both addresses of each. */
async function seenBehind({ broker, client, endpoint }: StartedEndpoint) {
  const direct = client();
  const heartbeat = (clientID: string) =>
    json({ clientID, producerDataSet: [{ groupName: "P" }], consumerDataSet: [] });
  const seen: (string | undefined)[] = [];
  for (const [queueId, [header, tls]] of ([[V1], [V2], [V2, {}]] as const).entries()) {
    const proxied = clientOf(await proxyTo(broker.port, header), { tls });
    expect((await proxied.call(RequestCode.HEART_BEAT, {}, heartbeat("c"), ANSWER_MS)).code).toBe(0);
    const sent = await proxied.call(RequestCode.SEND_MESSAGE, sendFields({ queueId }), Buffer.from("x"), ANSWER_MS);
    expect(sent.code).toBe(0);
    const code = RequestCode.GET_PRODUCER_CONNECTION_LIST;
    const list = await direct.call(code, { producerGroup: "P" }, undefined, ANSWER_MS);
    const addresses = JSON.parse(list.body.toString()).connectionSet.map(
      ({ clientAddr }: { clientAddr: string }) => clientAddr,
    );
    const [stored] = decodeRecords((await waitingPull(direct, { queueId })).body);
    seen.push([...addresses, stored!.bornHost].map(hostOf).join(", born at "));
    const unregister = { clientID: "c", producerGroup: "P" };
    expect((await proxied.call(RequestCode.UNREGISTER_CLIENT, unregister, undefined, ANSWER_MS)).code).toBe(0);
  }
  const sizes = { readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 };
  for (const [topicName, header, scheme] of [
    ["G1", V1, "http"],
    ["G2", V2, "https"],
  ] as const) {
    const topic = { topicName, ...sizes, order: false, topicFilterType: "SINGLE_TAG" as const };
    broker.context.topics.update(topic, new Map([["+message.type", "NORMAL"]]));
    const session = connectTo({ port: await proxyTo(endpoint.port, header) }, scheme);
    const sent = await call(session, "SendMessage", { messages: [message({ topic: { name: topicName } })] });
    expect(sent.status.code).toBe(20000);
    const [stored] = decodeRecords((await waitingPull(direct, { topic: topicName })).body);
    seen.push(hostOf(stored!.bornHost));
  }
  return seen;
}

test("clients behind a header are known by it; records of Remoting clients are born at the proxy, as in Apache", async () => {
  const remoting = "203.0.113.9, born at 127.0.0.1";
  expect(await seenBehind(await startEndpoint())).toEqual([
    ...[remoting, remoting, remoting],
    ...["203.0.113.9", "203.0.113.9"],
  ]);
});

test("who is not believed is known by his own address", async () => {
  const started = await startEndpoint({ config: { proxyProtocolTrustedAddresses: "10.0.0.1" } });
  const remoting = "127.0.0.1, born at 127.0.0.1";
  expect(await seenBehind(started)).toEqual([...[remoting, remoting, remoting], ...["127.0.0.1", "127.0.0.1"]]);
  expect(started.log.at("warn", /PROXY header is not believed/)).toHaveLength(2);
});

test("a gRPC client may send the header in pieces, and a malformed one ends the connection", async () => {
  const { endpoint, log } = await startEndpoint();
  const socket = connect(endpoint.port, "127.0.0.1");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  let answer = "";
  socket.setNoDelay(true).on("data", (chunk: Buffer) => {
    answer += chunk;
  });
  for (const byte of V1) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.write("GET / HTTP/1.1\r\n\r\n");
  await closed;
  expect(answer).toMatch(/400 Bad Request/);
  expect(log.at("warn", /HTTP\/1 request came in/)).toMatchObject([{ remote: "203.0.113.9:4444" }]);
  for (const junk of ["PROXY TCP4 x\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n", `${V1}${V1}PRI * HTTP/2.0`]) {
    const stranger = connect(endpoint.port, "127.0.0.1", () => stranger.write(junk));
    stranger.on("error", () => {});
    stranger.resume();
    await new Promise((resolve) => stranger.once("close", resolve));
  }
  expect(log.at("warn", /PROXY header is malformed/)).toHaveLength(2);
});

/** What the owner of a password is told who may come from one address only. */
async function answersBehind(headers: (Buffer | undefined)[], config: Partial<BrokerConfig>) {
  const { broker, client } = await startBroker({ config: { ...SECURED, ...config } });
  const root = client({ signer: requestSigner({ accessKey: "root", secretKey: "pass-of-root" }) });
  const make = async (code: number, fields: Record<string, string>, body: object) =>
    expect((await root.call(code, fields, json(body), ANSWER_MS)).code).toBe(0);
  await make(RequestCode.AUTH_CREATE_USER, { username: "shop" }, { password: "pass-of-shop" });
  const entries = [{ resource: "Topic:*", actions: ["Pub"], sourceIps: ["203.0.113.9"], decision: "Allow" }];
  const policies = [{ policyType: "Custom", entries }];
  await make(RequestCode.AUTH_CREATE_ACL, { subject: "User:shop" }, { policies });
  const answers = [];
  for (const header of headers) {
    const port = header === undefined ? broker.port : await proxyTo(broker.port, header);
    const shop = clientOf(port, { signer: requestSigner({ accessKey: "shop", secretKey: "pass-of-shop" }) });
    const { code, remark } = await shop.call(RequestCode.SEND_MESSAGE, sendFields(), Buffer.from("x"), ANSWER_MS);
    answers.push(`${code} ${/from [\d.]+/.exec(remark ?? "")?.[0] ?? ""}`);
  }
  return answers;
}

test("once access control is on nobody is believed, unless his address is given", async () => {
  const refused = "16 from 127.0.0.1";
  expect(await answersBehind([undefined, V1, V2], {})).toEqual([refused, refused, refused]);
  const config = { proxyProtocolTrustedAddresses: "10.0.0.1, 127.0.0.0/8" };
  expect(await answersBehind([undefined, V1, V2], config)).toEqual([refused, "0 ", "0 "]);
});

test.each([
  ["", {}, ["1.2.3.4", "::1"], []],
  ["", { authenticationEnabled: true }, [], ["1.2.3.4", "127.0.0.1", "::1"]],
  ["", { aclEnable: true }, [], ["127.0.0.1"]],
  ["*", { aclEnable: true }, ["1.2.3.4", "::1"], []],
  [" 10.0.0.0/8 , ::1", {}, ["10.9.8.7", "::1"], ["11.0.0.1", "::2", "127.0.0.1", ""]],
] as const)("proxyProtocolTrustedAddresses=%s, %j", (text, config, believed, doubted) => {
  const trust = proxyTrustOf(defaultBrokerConfig({ ...config, proxyProtocolTrustedAddresses: text }));
  for (const host of believed) expect([host, trust(host)]).toEqual([host, true]);
  for (const host of doubted) expect([host, trust(host)]).toEqual([host, false]);
});

test.each(["10.0.0.0/33", "proxy.example", "10.0.0.1,", "*,10.0.0.1"])("%s is no list of addresses", (text) => {
  const config = defaultBrokerConfig({ proxyProtocolTrustedAddresses: text });
  expect(() => proxyTrustOf(config)).toThrow(/^proxyProtocolTrustedAddresses: /);
});
