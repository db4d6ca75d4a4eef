/**
 * A server for the client's tests: a broker with its name server in this process, or the one that
 * COMETMQ_CLIENT_NAMESRV=host:port names, Apache's for instance. The suite is the same. With
 * COMETMQ_CLIENT_CREDENTIALS={"accessKey","secretKey"} every client says who it is, and a server of our own asks.
 */
import { randomUUID } from "node:crypto";
import { afterAll, expect } from "vitest";
import { Admin } from "#src/client/admin.js";
import type { ClientOptions } from "#src/client/options.js";
import { type Credentials, requestSigner } from "#src/remoting/request-signer.js";
import { openAccess } from "#src/server/auth/open-access.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { Producer } from "#src/client/producer.js";
import type { ProducerOptions } from "#src/client/sender-settings.js";
import { PushConsumer } from "#src/client/push-consumer.js";
import type { PushConsumerOptions } from "#src/client/push-options.js";
import { TestBroker } from "#src/testing/test-broker.js";
import { onCloseAll, startBroker, startNameServer } from "../server/harness.js";

/** Of a server that runs already; undefined for one of our own. */
export const EXTERNAL: string | undefined = process.env.COMETMQ_CLIENT_NAMESRV || undefined;

const given = process.env.COMETMQ_CLIENT_CREDENTIALS || undefined;
export const CREDENTIALS: Credentials | undefined = given === undefined ? undefined : JSON.parse(given);

/** Part of each client's options. */
export const AS_USER: { readonly credentials?: Credentials } = (CREDENTIALS && { credentials: CREDENTIALS }) || {};

/** Part of the options of a client of requests. */
export const SIGNED = (CREDENTIALS && { signer: requestSigner(CREDENTIALS) }) || {};

/** No test waits that long for what does not come. */
export const PATIENCE_MS = 40_000;

/** Transactions are asked for sooner than after Apache's 30 s. */
const BROKER: Partial<BrokerConfig> = {
  brokerIP1: "127.0.0.1",
  enablePropertyFilter: true,
  transactionTimeOut: 100,
  transactionCheckInterval: 200,
};

/** An address of a name server. */
export async function startServer(): Promise<string> {
  if (EXTERNAL !== undefined) return EXTERNAL;
  if (CREDENTIALS !== undefined) return startSecuredServer(CREDENTIALS);
  const nameServer = await startNameServer();
  const namesrvAddr = `127.0.0.1:${nameServer.port}`;
  await startBroker({ config: { namesrvAddr, ...BROKER } });
  return namesrvAddr;
}

/** A server of our own that lets nobody in but `user`. */
export async function startSecuredServer({ accessKey, secretKey }: Credentials): Promise<string> {
  const secured: Partial<BrokerConfig> = {
    authenticationEnabled: true,
    authorizationEnabled: true,
    initAuthenticationUser: JSON.stringify({ username: accessKey, password: secretKey }),
    innerClientAuthenticationCredentials: '{"accessKey":"inner","secretKey":"inner-secret"}',
  };
  const access = openAccess({ reading: { config: defaultBrokerConfig(secured) } });
  const nameServer = await startNameServer({ access, openCodes: new Set(["105", "106"]) });
  const namesrvAddr = `127.0.0.1:${nameServer.port}`;
  await startBroker({ config: { namesrvAddr, ...BROKER, ...secured } });
  return namesrvAddr;
}

/** A broker of the file that calls this, on memory, with a clock of its own; closed when the file's tests are done. */
export async function memoryBroker() {
  const broker = await TestBroker.start({ grpc: false });
  afterAll(() => broker.close());
  /** A new one. */
  const topicOf = (queues = 1): string => {
    const topic = freshName("T");
    broker.createTopic(topic, { queues });
    return topic;
  };
  return { broker, namesrvAddr: broker.namesrvAddr, topicOf };
}

/** Nobody has used it before, on whatever server. */
export function freshName(prefix: string): string {
  return `${prefix}-${randomUUID().slice(0, 8)}`;
}

export async function createTopic(options: ClientOptions, topic: string, queues = 4): Promise<string> {
  await using admin = await Admin.start({ ...AS_USER, ...options });
  await admin.createTopic(topic, { readQueueNums: queues, writeQueueNums: queues });
  await until(async () => (await admin.topicRoute(topic)) !== undefined);
  return topic;
}

/** Closed with the rest. */
export async function producerOf(options: ProducerOptions): Promise<Producer> {
  const producer = await Producer.start({ ...AS_USER, ...options });
  onCloseAll(() => producer.close());
  return producer;
}

export async function consumerOf(options: PushConsumerOptions): Promise<PushConsumer> {
  const consumer = await PushConsumer.start({ ...AS_USER, ...options });
  onCloseAll(() => consumer.close());
  return consumer;
}

/** Asks again and again until `condition` holds. */
export async function until(condition: () => unknown, patienceMs = PATIENCE_MS): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > deadline) expect.fail(`not within ${patienceMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
