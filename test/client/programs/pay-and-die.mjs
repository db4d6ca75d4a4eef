/** Consumes one message with ProcessedKeys and dies once its transaction is committed, before anybody hears of it. */
import { ProcessedKeys, PushConsumer, sqliteDatabase } from "cometmq/client";
import { openSqlite } from "../sqlite.mjs";

const { path, topic, ...options } = JSON.parse(process.argv[2]);
const keys = await ProcessedKeys.open(sqliteDatabase(openSqlite(path)));
const pay = keys.handler(options.group, (message, connection) =>
  connection.prepare("INSERT INTO payments VALUES (?)").run(message.text()),
);
await PushConsumer.start({
  ...options,
  subscriptions: { [topic]: "*" },
  consumeFrom: "first",
  async onMessage(message, context) {
    await pay(message, context);
    process.kill(process.pid, "SIGKILL");
  },
});
