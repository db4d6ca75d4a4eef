/**
 * A broker and a name server in this process are sent golden requests that were changed at random, over sockets, in
 * batches that end with a sound request. What must hold: the sound one is answered or the connection ends, nothing is
 * thrown that a processor did not mean to, no file is made outside of the store, and at the end both servers serve and
 * the doctor finds nothing wrong with the store.
 *
 * `npm test` has a short turn; `npm run test:fuzz` sends a million frames. COMETMQ_SEED repeats a run, though what the
 * servers have by then depends on timing as well; COMETMQ_FUZZ_FRAMES and COMETMQ_FUZZ_SECONDS bound it.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { findStore } from "#src/cli/store-facts.js";
import { ReadOnlyDisk } from "#src/io/read-only-disk.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { bodiesOf, closeAll, pull, send, startBroker, startNameServer, temporaryDirectory } from "../server/harness.js";
import { FakeLog } from "../unit/broker/harness.js";
import { examine } from "../unit/recovery/doctor-fixture.js";
import { BareSocket, requestBytes, until } from "../unit/remoting/peers.js";
import { Dice, goldenRequests, mutated } from "./mutations.js";

const FRAMES = Number(process.env["COMETMQ_FUZZ_FRAMES"] ?? 1_000_000);
const SECONDS = Number(process.env["COMETMQ_FUZZ_SECONDS"] ?? 8);
const BATCH = 40;
const CONNECTIONS = 6;
/** A connection is given up after so many batches, with all that waits on it. */
const BATCHES_A_CONNECTION = 40;
const SENTINEL = 0x7ffffff0;

afterAll(closeAll);

/** One connection after the other, to one port. */
class Peer {
  readonly #port: number;
  readonly #sentinel: Buffer;
  #socket: BareSocket | undefined;
  #batches = 0;

  constructor(port: number, code: number) {
    this.#port = port;
    this.#sentinel = requestBytes({ code, opaque: SENTINEL });
  }

  async send(frames: readonly Buffer[]): Promise<void> {
    const peer = await this.#open();
    let closed = false;
    void peer.closed.then(() => {
      closed = true;
    });
    peer.frames.length = 0;
    peer.socket.write(Buffer.concat([...frames, this.#sentinel]));
    const answered = () => peer.frames.some(({ opaque }) => opaque === SENTINEL);
    // A frame whose length was changed may wait for more than there is: then the server waits as well.
    const deadline = systemClock.monotonicMs() + 300;
    while (!closed && !answered() && systemClock.monotonicMs() < deadline) await new Promise(setImmediate);
    if (closed || !answered() || ++this.#batches % BATCHES_A_CONNECTION === 0) this.close();
  }

  async #open(): Promise<BareSocket> {
    this.#socket ??= (await BareSocket.open(this.#port)).readFrames();
    return this.#socket;
  }

  close(): void {
    this.#socket?.socket.destroy();
    this.#socket = undefined;
  }
}

test("a storm of requests that no client would send", { timeout: SECONDS * 1000 + 120_000 }, async () => {
  const seed = Number(process.env["COMETMQ_SEED"] ?? Date.now() % 1e9);
  process.stderr.write(`fuzz: frames, seed ${seed}\n`);
  const parent = temporaryDirectory();
  const bounds = { topicCountMax: 300, groupCountMax: 300, topicQueueCountMax: 16 };
  const started = await startBroker({ directory: join(parent, "deep", "store"), config: bounds });
  const { broker, log, directory } = started;
  const nameLog = new FakeLog();
  const nameServer = await startNameServer({ log: nameLog });
  const client = started.client();
  expect((await send(client, { topic: "Healthy" }, "before")).code).toBe(ResponseCode.SUCCESS);

  const dice = new Dice(seed);
  const golden = goldenRequests();
  const targets = [
    {
      peers: peersOf(broker.port, RequestCode.GET_BROKER_CONFIG),
      requests: golden.filter(({ server }) => server === "broker"),
    },
    {
      peers: peersOf(nameServer.port, RequestCode.GET_NAMESRV_CONFIG),
      requests: golden.filter(({ server }) => server === "namesrv"),
    },
  ];
  const deadline = systemClock.monotonicMs() + SECONDS * 1000;
  let sent = 0;
  let longestMs = 0;
  while (sent < FRAMES && systemClock.monotonicMs() < deadline) {
    const { peers, requests } = targets[dice.rarely(5) ? 1 : 0]!;
    const frames = Array.from({ length: BATCH }, (_, index) => mutated(dice, requests, sent + index));
    const beginMs = systemClock.monotonicMs();
    await dice.one(peers).send(frames);
    longestMs = Math.max(longestMs, systemClock.monotonicMs() - beginMs);
    sent += BATCH;
    expect(thrown(log), `seed ${seed}, within ${sent} frames`).toEqual([]);
    expect(thrown(nameLog), `seed ${seed}, within ${sent} frames`).toEqual([]);
    log.lines.length = 0;
    nameLog.lines.length = 0;
  }
  for (const { peers } of targets) for (const peer of peers) peer.close();
  process.stderr.write(`fuzz: ${sent} frames sent, the longest batch took ${longestMs.toFixed(0)} ms\n`);

  // The storm may have set the bound on messages, as any administrator may.
  const settings = { code: RequestCode.UPDATE_BROKER_CONFIG, opaque: 1, body: "maxMessageSize=4194304" };
  const administrator = (await BareSocket.open(broker.port)).readFrames();
  administrator.socket.write(requestBytes(settings));
  await until(() => administrator.frames.length > 0, "the answer to the administrator");
  administrator.socket.destroy();
  const after = await send(client, { topic: "Healthy" }, "after");
  expect(after).toMatchObject({ code: ResponseCode.SUCCESS });
  await broker.store.settled();
  expect(bodiesOf(await pull(client, { topic: "Healthy", consumerGroup: "Healthy" }))).toEqual(["before", "after"]);
  const peer = (await BareSocket.open(nameServer.port)).readFrames();
  peer.socket.write(requestBytes({ code: RequestCode.GET_BROKER_CLUSTER_INFO, opaque: 1 }));
  await until(() => peer.frames.length > 0, "the name server's answer");
  expect(peer.frames[0]!.code).toBe(ResponseCode.SUCCESS);
  peer.socket.destroy();
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  expect(Object.keys(Object.prototype)).toEqual([]);

  await broker.close();
  expect([readdirSync(parent), readdirSync(dirname(directory))]).toEqual([["deep"], ["store"]]);
  const conf = join(parent, "broker.conf");
  writeFileSync(conf, "maxHashSlotNum=1000\nmaxIndexNum=4000\n");
  const { findings } = examine(findStore(new ReadOnlyDisk(), directory, conf).facts);
  expect(findings.filter(({ severity }) => severity !== "info")).toEqual([]);
});

function peersOf(port: number, code: number): Peer[] {
  return Array.from({ length: CONNECTIONS }, () => new Peer(port, code));
}

/** What was logged as an error: nothing that a client sends is one. */
function thrown(log: FakeLog): unknown[] {
  return log.at("error", /./);
}
