/**
 * The first message: a producer, a consumer, nothing else. Needs a running server, CometMQ or Apache RocketMQ:
 *
 *   cometmq start
 *   node examples/hello-client.mjs [HOST:PORT of the name server]
 */
import { randomUUID } from "node:crypto";
import { Admin, Producer, PushConsumer } from "cometmq/client";

const namesrvAddr = process.argv[2] ?? "127.0.0.1:9876";
const topic = `hello-${randomUUID().slice(0, 8)}`;

const admin = await Admin.start({ namesrvAddr });
await admin.createTopic(topic);
await admin.close();

let arrived;
const received = new Promise((resolve) => {
  arrived = resolve;
});
const consumer = await PushConsumer.start({
  namesrvAddr,
  group: "hello-consumer",
  subscriptions: { [topic]: "*" },
  consumeFrom: "first",
  onMessage(message) {
    process.stdout.write(`received ${message.text()} (${message.messageId})\n`);
    arrived();
  },
});

const producer = await Producer.start({ namesrvAddr, group: "hello-producer" });
const { status, messageId } = await producer.send({ topic, body: "hello, world", tags: "greeting" });
process.stdout.write(`sent: ${status} (${messageId})\n`);

await received;
await producer.close();
await consumer.close();
