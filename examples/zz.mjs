import { SimpleConsumer } from "cometmq/client";
import { TestBroker } from "cometmq/testing";
const broker = await TestBroker.start({ topics: { jobs: { queues: 1 } } });
for (const job of ["one", "two"]) await broker.send("jobs", job);
const consumer = await SimpleConsumer.start({
  namesrvAddr: broker.namesrvAddr, group: "workers", subscriptions: { jobs: "*" }, consumeFrom: "first", invisibleMs: 30_000,
});
const messages = await consumer.receive({ maxCount: 2 });
for (const m of messages) {
  if (m.message.text() === "one") await m.ack(); else await m.changeInvisible(60_000);
}
await broker.advance("61s");
console.log(broker.messages("%RETRY%workers_jobs").length);
const t=Date.now();
const [again] = await consumer.receive();
console.log(Date.now()-t, again?.message.text(), again?.message.reconsumeTimes);
await again?.ack();
await consumer.close(); await broker.close();
