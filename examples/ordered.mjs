/** Messages of one order in order, those of different orders side by side: `orderKey` on one end, `orderly` on the other. */
import { Producer, PushConsumer } from "cometmq/client";
import { TestBroker } from "cometmq/testing";

// A broker in this process; with servers of your own, namesrvAddr is theirs.
const broker = await TestBroker.start({ topics: { orders: { queues: 4, type: "FIFO" } } });
const { namesrvAddr } = broker;

const STEPS = ["placed", "paid", "packed", "sent"];
const histories = new Map();
let failed = false;
let finish;
const finished = new Promise((resolve) => {
  finish = resolve;
});

const consumer = await PushConsumer.start({
  namesrvAddr,
  group: "warehouse",
  subscriptions: { orders: "*" },
  consumeFrom: "first",
  orderly: true,
  suspendCurrentQueueTimeMs: 10,
  onMessage(message) {
    // What fails is tried again before anything that comes after it in its queue.
    if (message.orderKey === "order 2" && message.text() === "paid" && !failed) {
      failed = true;
      throw new Error("the till was closed for a moment");
    }
    const history = histories.get(message.orderKey) ?? [];
    histories.set(message.orderKey, [...history, message.text()]);
    if ([...histories.values()].flat().length === 3 * STEPS.length) finish();
  },
});

const producer = await Producer.start({ namesrvAddr, group: "shop" });
for (const body of STEPS) {
  // A step of an order is sent when the one before it is stored; the orders themselves need not wait for each other.
  await Promise.all([1, 2, 3].map((n) => producer.send({ topic: "orders", body, orderKey: `order ${n}` })));
}

await finished;
for (const [order, history] of [...histories].sort()) process.stdout.write(`${order}: ${history.join(", ")}\n`);
await producer.close();
await consumer.close();
await broker.close();
