/**
 * A message that is seen only when the local transaction was committed, also when the producer died before it could say so:
 * the broker asks any producer of the group. Here the clock is moved by hand, so nobody waits for the question.
 */
import { LitePullConsumer, TransactionProducer } from "cometmq/client";
import { TestBroker } from "cometmq/testing";

// A broker in this process; with servers of your own, namesrvAddr is theirs.
const broker = await TestBroker.start({ topics: { payments: { queues: 1, type: "TRANSACTION" } } });
const { namesrvAddr } = broker;

// What the application's database would hold.
const paid = new Set();
const isPaid = (order) => (paid.has(order) ? "commit" : "rollback");

const options = { namesrvAddr, group: "till", checkTransaction: (message) => isPaid(message.text()) };
const producer = await TransactionProducer.start(options);
const pay = (order, transaction) => producer.sendInTransaction({ topic: "payments", body: order }, transaction);

await pay("1: in cash", () => {
  paid.add("1: in cash");
  return "commit";
});
await pay("2: not enough money", () => "rollback");
// This one is paid, but the till loses power before anybody hears of it; and this one's customer ran away.
await pay("3: by card", () => {
  paid.add("3: by card");
  return "unknown";
});
await pay("4: nobody there", () => "unknown");
await producer.close();

const consumer = await LitePullConsumer.start({
  namesrvAddr,
  group: "accounts",
  subscriptions: { payments: "*" },
  consumeFrom: "first",
});
const seen = async () => (await consumer.poll({ timeoutMs: 1000 })).map((message) => message.text());
process.stdout.write(`seen at once: ${await seen()}\n`);

// The till is open again: `topics` are those whose brokers may ask it before it sends anything.
const second = await TransactionProducer.start({ ...options, topics: ["payments"] });
for (let later = []; later.length === 0; ) {
  await broker.advance("30s");
  later = await seen();
  if (later.length > 0) process.stdout.write(`seen after the broker asked: ${later}\n`);
}
await second.close();
await consumer.close();
await broker.close();
