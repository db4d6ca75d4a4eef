/** Clients and servers with access control: who signs gets in, and who does not is told so with Apache's code. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { ConfigError, ResponseError } from "#src/client/errors.js";
import { Producer } from "#src/client/producer.js";
import type { ProducerOptions } from "#src/client/sender-settings.js";
import { TransactionProducer } from "#src/client/transaction-producer.js";
import { ResponseCode } from "#src/remoting/codes.js";
import { closeAll, onCloseAll } from "../server/harness.js";
import {
  consumerOf,
  CREDENTIALS,
  createTopic,
  EXTERNAL,
  freshName,
  startSecuredServer,
  startServer,
  until,
} from "./harness.js";

const USER = CREDENTIALS ?? { accessKey: "root", secretKey: "root-secret-1" };
/** A server that is given asks only where the run says so. */
const skipped = EXTERNAL !== undefined && CREDENTIALS === undefined;
if (skipped) process.stderr.write("skipped: access control, the server given has none\n");

let namesrvAddr: string;

beforeAll(async () => {
  if (!skipped) namesrvAddr = CREDENTIALS === undefined ? await startSecuredServer(USER) : await startServer();
});
afterAll(closeAll);

async function producerAs(credentials: NonNullable<ProducerOptions["credentials"]> | undefined): Promise<Producer> {
  const producer = await Producer.start({
    namesrvAddr,
    group: freshName("P"),
    retryTimesWhenSendFailed: 0,
    ...(credentials && { credentials }),
  });
  onCloseAll(() => producer.close());
  return producer;
}

test.skipIf(skipped)("with its key a client sends, consumes, ends transactions and administers", async () => {
  const topic = await createTopic({ namesrvAddr, credentials: USER }, freshName("T"), 1);
  const got: string[] = [];
  await consumerOf({
    namesrvAddr,
    credentials: USER,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.push(message.text()),
  });
  const producer = await producerAs({ ...USER, securityToken: "lent for an hour" });
  await producer.send({ topic, body: "one" });
  await producer.sendOneway({ topic, body: "two" });
  await producer.sendBatch([{ topic, body: "three" }]);
  await using inTransaction = await TransactionProducer.start({
    namesrvAddr,
    credentials: USER,
    group: freshName("P"),
    checkTransaction: () => "unknown",
  });
  await inTransaction.sendInTransaction({ topic, body: "four" }, () => "commit");
  await until(() => got.length >= 4);
  expect(got.sort()).toEqual(["four", "one", "three", "two"]);
});

test.skipIf(skipped)("a wrong key, and none: NO_PERMISSION, which is not tried again", async () => {
  const topic = await createTopic({ namesrvAddr, credentials: USER }, freshName("T"), 1);
  for (const credentials of [{ ...USER, secretKey: "guessed" }, { ...USER, accessKey: "stranger" }, undefined]) {
    const producer = await producerAs(credentials);
    const refused = await producer.send({ topic, body: "x" }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ResponseError);
    expect(refused).toMatchObject({ responseCode: ResponseCode.NO_PERMISSION, responseName: "NO_PERMISSION" });
    await using admin = await Admin.start({ namesrvAddr, ...(credentials && { credentials }) });
    await expect(admin.createTopic(freshName("T"))).rejects.toMatchObject({ code: "COMETMQ_REMOTE" });
  }
});

test.skipIf(skipped)("keys that change: a function is asked each time", async () => {
  const topic = await createTopic({ namesrvAddr, credentials: USER }, freshName("T"), 1);
  let current = { ...USER, secretKey: "expired" };
  const producer = await producerAs(() => current);
  await expect(producer.send({ topic, body: "x" })).rejects.toMatchObject({ responseCode: ResponseCode.NO_PERMISSION });
  current = { ...USER };
  expect((await producer.send({ topic, body: "x" })).status).toBe("SEND_OK");
});

test("credentials without a secret are no credentials", async () => {
  const start = Producer.start({ namesrvAddr: "127.0.0.1:9876", credentials: { accessKey: "a", secretKey: "" } });
  await expect(start).rejects.toThrow(ConfigError);
});
