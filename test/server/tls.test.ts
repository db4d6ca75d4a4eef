import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { RequestCode } from "#src/remoting/codes.js";
import { makeLoopbackCertificate } from "#src/remoting/tls-certificate.js";
import { freeBrokerPort } from "../clients/ports.mjs";
import { clientOf, closeAll, onCloseAll, startBroker, startNameServer, temporaryDirectory } from "./harness.js";

afterEach(closeAll);

const CONFIG = RequestCode.GET_BROKER_CONFIG;
const CLUSTER = RequestCode.GET_BROKER_CLUSTER_INFO;

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  onCloseAll(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return server;
}

async function codeFrom(port: number, tls?: object): Promise<number | string> {
  const client = clientOf(port, { tls });
  return client.call(CONFIG, {}, undefined, 5000).then(
    ({ code }) => code,
    (error: { code: string }) => error.code,
  );
}

test("a broker serves its port and the one 2 below, each in plain text and over TLS", async () => {
  const port = await freeBrokerPort();
  const { broker } = await startBroker({ config: { listenPort: port } });
  expect(broker.port).toBe(port);
  for (const each of [port, port - 2]) {
    expect([each, await codeFrom(each)]).toEqual([each, 0]);
    expect([each, await codeFrom(each, {})]).toEqual([each, 0]);
  }
  await broker.close();
  expect(await codeFrom(port - 2)).toBe("COMETMQ_CONNECT");
});

test("a broker whose second port is taken warns and serves", async () => {
  const port = await freeBrokerPort();
  await listen(port - 2);
  const { log } = await startBroker({ config: { listenPort: port } });
  expect(await codeFrom(port)).toBe(0);
  const warnings = log.lines.filter(({ message }) => message.includes("second port"));
  expect(warnings.map(({ level, message }) => `${level} ${message}`)).toEqual([
    `warn the broker does without its second port, ${port - 2}`,
  ]);
});

test("a port that was chosen freely has no second one", async () => {
  const { broker } = await startBroker({ config: { listenPort: 0 } });
  expect(await codeFrom(broker.port)).toBe(0);
  expect(await codeFrom(broker.port - 2)).toBe("COMETMQ_CONNECT");
});

test("broker and name server know each other by certificates, and a stranger gets no answer", async () => {
  const directory = temporaryDirectory();
  const path = (name: string) => join(directory, name);
  for (const name of ["namesrv", "broker"]) {
    const { key, cert } = makeLoopbackCertificate(Date.now());
    writeFileSync(path(`${name}.key`), key);
    writeFileSync(path(`${name}.pem`), cert);
  }
  const disk = new FileDisk("file");
  const readFile = (file: string) => disk.readFile(file);
  const nameServer = await startNameServer({
    tls: {
      mode: "enforcing",
      keyPath: path("namesrv.key"),
      certPath: path("namesrv.pem"),
      trustCertPath: path("broker.pem"),
      needClientAuth: "require",
      authClient: true,
      readFile,
    },
  });
  const { broker } = await startBroker({
    config: {
      namesrvAddr: `127.0.0.1:${nameServer.port}`,
      "tls.enable": true,
      "tls.client.keyPath": path("broker.key"),
      "tls.client.certPath": path("broker.pem"),
      "tls.client.trustCertPath": path("namesrv.pem"),
      "tls.client.authServer": true,
      "tls.server.mode": "enforcing",
      "tls.server.keyPath": path("broker.key"),
      "tls.server.certPath": path("broker.pem"),
    },
  });
  const known = { keyPath: path("broker.key"), certPath: path("broker.pem"), readFile };
  const { body } = await clientOf(nameServer.port, { tls: known }).call(CLUSTER, {}, undefined, 5000);
  expect(body.toString()).toContain(`127.0.0.1:${broker.port}`);
  const stranger = clientOf(nameServer.port, { tls: {} }).call(CLUSTER, {}, undefined, 5000);
  await expect(stranger).rejects.toMatchObject({ code: expect.stringMatching(/^COMETMQ_(REMOTE|CONNECT)$/) as string });
  expect(await codeFrom(broker.port)).toBe("COMETMQ_REMOTE");
  const trusting = { authServer: true, trustCertPath: path("broker.pem"), readFile };
  expect(await codeFrom(broker.port, trusting)).toBe(0);
});

test("a broker with a certificate that is not there does not start, and lets go of its store", async () => {
  const directory = join(temporaryDirectory(), "store");
  const files = { "tls.server.keyPath": "/nowhere/key.pem", "tls.server.certPath": "/nowhere/cert.pem" };
  await expect(startBroker({ directory, config: files })).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
  const { broker } = await startBroker({ directory });
  expect(await codeFrom(broker.port)).toBe(0);
});
