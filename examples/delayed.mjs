/** A message for tomorrow, without waiting: a broker in this process, whose clock is moved by hand. */
import { TestBroker } from "cometmq/testing";

const broker = await TestBroker.start({ topics: ["reminders"] });
const show = () => {
  const bodies = broker.messages("reminders").map(({ body }) => body.toString());
  process.stdout.write(`${new Date(broker.clock.nowMs()).toISOString()}  ${JSON.stringify(bodies)}\n`);
};

await broker.send("reminders", "tea", { delayMs: 5 * 60_000 });
await broker.send("reminders", "dentist", { delayMs: 24 * 3_600_000 });
show();
await broker.advance("5m");
show();
await broker.advance("1d");
show();
await broker.close();
