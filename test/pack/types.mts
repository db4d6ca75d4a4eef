/** What a user's compiler must take. */
import { Broker, type BrokerHooks, type BrokerOptions } from "cometmq";
import { Producer, type SendResult, TransactionProducer } from "cometmq/client";
import { MessageStore } from "cometmq/store";
import { TestBroker } from "cometmq/testing";

const hooks: BrokerHooks = { onSend: ({ topic }) => (topic === "secret" ? "not for you" : undefined) };
const options: BrokerOptions = { dataDir: "data", port: 0, hooks, config: { flushDiskType: "SYNC_FLUSH" } };
export const addresses = async (): Promise<string> => (await Broker.start(options)).namesrvAddr;
export const store = (): Promise<MessageStore> => MessageStore.open({ directory: "log" });
export const send = async (namesrvAddr: string): Promise<SendResult> =>
  (await Producer.start({ namesrvAddr })).send({ topic: "T", body: "hello" });
export const advance = async (): Promise<void> => (await TestBroker.start()).advance("10s");

/** The compiler widens the literal of an async function that might have been none. */
export const transactions = async (namesrvAddr: string): Promise<string[]> => {
  const options = { namesrvAddr, group: "payments" };
  await using later = await TransactionProducer.start({ ...options, checkTransaction: async () => "commit" });
  await using now = await TransactionProducer.start({ ...options, checkTransaction: () => "rollback" });
  const message = { topic: "T", body: "hello" };
  const sent = await later.sendInTransaction(message, async ({ messageId }) => {
    await advance();
    return messageId === "" ? "rollback" : "commit";
  });
  const only = await now.sendInTransaction(message, async () => "commit");
  const plain = await now.sendInTransaction(message, () => "unknown");
  return [sent.state, only.state, plain.state];
};
