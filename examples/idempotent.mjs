/**
 * Paid once, however often the message comes: ProcessedKeys writes the message's key in the very SQL transaction that does
 * the work. It takes any driver: `sqliteDatabase(new DatabaseSync("shop.db"))` of node:sqlite or a connection of
 * better-sqlite3, `postgresDatabase(new Pool())` of pg. Here it is SQLite in WebAssembly
 * (`npm install node-sqlite3-wasm`), which every Node runs.
 */
import { ProcessedKeys, Producer, PushConsumer, sqliteDatabase } from "cometmq/client";
import { TestBroker } from "cometmq/testing";
import sqlite from "node-sqlite3-wasm";

// A broker in this process; with servers of your own, namesrvAddr is theirs.
const broker = await TestBroker.start({ topics: ["orders"] });
const { namesrvAddr } = broker;

const database = new sqlite.Database(process.argv[2] ?? ":memory:");
database.exec("CREATE TABLE payments (order_id TEXT NOT NULL, cents INTEGER NOT NULL)");
const connection = {
  exec: (sql) => database.exec(sql),
  prepare: (sql) => ({ run: (...values) => database.run(sql, values) }),
};

const processed = await ProcessedKeys.open(sqliteDatabase(connection));
const pay = processed.handler(
  "till",
  (message, db) => {
    const { order, cents } = message.json();
    db.prepare("INSERT INTO payments (order_id, cents) VALUES (?, ?)").run(order, cents);
  },
  // The shop may repeat an order: its number is what counts. Without this, it is the message id.
  { keyOf: (message) => message.keys[0] },
);

let deliveries = 0;
const consumer = await PushConsumer.start({
  namesrvAddr,
  group: "till",
  subscriptions: { orders: "*" },
  consumeFrom: "first",
  async onMessage(message, context) {
    await pay(message, context);
    deliveries++;
    // The transaction is committed, but the broker never hears of it: it delivers the message again.
    if (deliveries === 1) throw new Error("the power went");
  },
});

const producer = await Producer.start({ namesrvAddr, group: "shop" });
const order = (id, cents) => ({ topic: "orders", keys: id, body: JSON.stringify({ order: id, cents }) });
await producer.send(order("A-7", 1250));
await producer.send(order("A-7", 1250));
await producer.send(order("B-1", 300));
// Two orders, one of them sent twice, one message delivered twice: the retry comes after ten seconds of the broker's clock.
while (deliveries < 4) await broker.advance("10s");

process.stdout.write(`${deliveries} deliveries\n`);
for (const row of database.all("SELECT * FROM payments ORDER BY order_id")) {
  process.stdout.write(`${row.order_id}: paid ${row.cents / 100}\n`);
}
await producer.close();
await consumer.close();
await processed.close();
await broker.close();
database.close();
