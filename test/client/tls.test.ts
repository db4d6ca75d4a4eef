/** Clients over TLS: to servers whose certificate they judge, and with one of their own. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { NoNameServerError } from "#src/client/errors.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { readFile } from "#src/io/read-file.js";
import { makeLoopbackCertificate } from "#src/remoting/tls-certificate.js";
import { closeAll, startBroker, startNameServer, temporaryDirectory } from "../server/harness.js";
import { consumerOf, createTopic, PATIENCE_MS, producerOf, until } from "./harness.js";

afterEach(closeAll);

function certificateIn(directory: string, name: string) {
  const [keyPath, certPath] = [join(directory, `${name}.key`), join(directory, `${name}.pem`)];
  const { key, cert } = makeLoopbackCertificate(Date.now());
  writeFileSync(keyPath, key);
  writeFileSync(certPath, cert);
  return { keyPath, certPath };
}

test("name server, broker and clients speak TLS only, each with a certificate", async () => {
  const directory = temporaryDirectory();
  const server = certificateIn(directory, "server");
  const own = certificateIn(directory, "client");
  const other = certificateIn(directory, "other");
  const trust = {
    trustCertPath: own.certPath,
    mode: "enforcing",
    needClientAuth: "require",
    authClient: true,
  } as const;
  const nameServer = await startNameServer({ tls: { ...server, ...trust, readFile } });
  const namesrvAddr = `127.0.0.1:${nameServer.port}`;
  await startBroker({
    config: {
      namesrvAddr,
      brokerIP1: "127.0.0.1",
      "tls.server.mode": "enforcing",
      "tls.server.keyPath": server.keyPath,
      "tls.server.certPath": server.certPath,
      "tls.server.trustCertPath": own.certPath,
      "tls.server.need.client.auth": "require",
      "tls.server.authClient": true,
      "tls.enable": true,
      "tls.client.keyPath": own.keyPath,
      "tls.client.certPath": own.certPath,
    },
  });
  const tls = { ...own, trustCertPath: server.certPath, authServer: true };
  const topic = await createTopic({ namesrvAddr, tls }, "T", 1);
  const options = { namesrvAddr, subscriptions: { [topic]: "*" }, consumeFrom: "first" } as const;
  const got: string[] = [];
  const consumer = {
    ...options,
    tls,
    group: "G",
    onMessage: (message: { text(): string }) => void got.push(message.text()),
  };
  await consumerOf(consumer);
  const producer = await producerOf({ namesrvAddr, tls });
  await producer.send({ topic, body: "secret" });
  await using simple = await SimpleConsumer.start({ ...options, tls, group: "S" });
  const [popped] = await simple.receive({ waitMs: PATIENCE_MS });
  await popped!.ack();
  await until(() => got.length > 0);
  expect([got, popped!.message.text()]).toEqual([["secret"], "secret"]);

  const strangers = [undefined, { authServer: true, trustCertPath: server.certPath }, { ...tls, ...other }];
  for (const strange of [...strangers, { ...tls, trustCertPath: other.certPath }]) {
    const lost = await producerOf({ namesrvAddr, requestTimeoutMs: 1000, ...(strange && { tls: strange }) });
    await expect(lost.send({ topic, body: "x" })).rejects.toThrow(NoNameServerError);
  }
  const nowhere = join(directory, "absent.pem");
  const wrong = await producerOf({ namesrvAddr, tls: { authServer: true, trustCertPath: nowhere } });
  const error = await wrong.send({ topic, body: "x" }).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "COMETMQ_CONFIG", message: expect.stringContaining(nowhere) });
});
