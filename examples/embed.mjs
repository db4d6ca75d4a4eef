/** Name server, broker and gRPC endpoint in your process, with an eye on every message: `node examples/embed.mjs ./data`. */
import { Broker } from "cometmq";

const sentByTopic = new Map();
const broker = await Broker.start({
  dataDir: process.argv[2] ?? "./data",
  port: 0,
  config: { flushDiskType: "SYNC_FLUSH", mappedFileSizeCommitLog: 64 * 1024 * 1024 },
  hooks: {
    onSend: ({ topic, client }) => (topic === "secret" ? `${client} may not write to it` : undefined),
    onSent: ({ topic }, { code }) => {
      if (code === 0) sentByTopic.set(topic, (sentByTopic.get(topic) ?? 0) + 1);
    },
  },
});
process.stdout.write(`namesrv ${broker.namesrvAddr}, gRPC ${broker.endpoints}\n`);

async function stop() {
  await broker.close();
  for (const [topic, count] of sentByTopic) process.stdout.write(`${topic}: ${count} sent\n`);
}
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);
