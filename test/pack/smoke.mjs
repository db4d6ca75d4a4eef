/**
 * Runs in a project that has nothing but the installed package: every entry is used once, the command too. Without `await using`,
 * which Node 20 does not have.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { Broker } from "cometmq";
import { Producer } from "cometmq/client";
import { chooseBackend, MessageStore, PutStatus } from "cometmq/store";
import { TestBroker } from "cometmq/testing";

const directory = mkdtempSync(path.join(tmpdir(), "cometmq-smoke-"));
const command = path.join(import.meta.dirname, "node_modules", ".bin", "cometmq");
const cometmq = async (...args) => (await promisify(execFile)(process.execPath, [command, ...args])).stdout;
const check = (what, isTrue) => {
  if (!isTrue) throw new Error(`${what} is not as it should be`);
};

try {
  {
    const store = await MessageStore.open({ directory: path.join(directory, "log"), segmentBytes: 2 ** 24 });
    check("the store", store.maxPhyOffset === 0 && PutStatus.PUT_OK === 0);
    await store.close();
  }
  {
    const config = { mappedFileSizeCommitLog: 2 ** 24, mappedFileSizeTimerLog: 2 ** 20 };
    const broker = await Broker.start({ dataDir: path.join(directory, "broker"), port: 0, config });
    const flags = ["--namesrv", broker.namesrvAddr];
    await cometmq("topic", "create", "T", ...flags);
    await cometmq("produce", "T", "hello", ...flags);
    check("what is consumed", (await cometmq("consume", "T", ...flags)) === "hello\n");
    const producer = await Producer.start({ namesrvAddr: broker.namesrvAddr });
    check("the client", (await producer.send({ topic: "T", body: "again" })).status === "SEND_OK");
    await producer.close();
    check("the gRPC endpoint", broker.endpoints !== undefined);
    await broker.close();
  }
  const test = await TestBroker.start({ topics: ["T"] });
  await test.advance("1h");
  await test.close();
  check("the help", (await cometmq("--help")).includes("produce"));
  process.stdout.write(`node ${process.version}: works, backend ${chooseBackend("auto")}\n`);
} finally {
  rmSync(directory, { recursive: true });
}
