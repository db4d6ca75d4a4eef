/**
 * After a fault: three readers who know nothing of each other look for what was acknowledged. The server itself over the
 * wire; `cometmq store verify` on the closed store; Apache's own store on a copy of it, where there is a JDK.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { apacheDump, apacheMissing } from "../golden/apache.js";
import { pullFields } from "../server/harness.js";
import { type CheckOptions, checkHistory, checkLost, hashOf, type History, type Seen } from "./history.js";
import { LONG, pause, skipAloud } from "./scratch.js";
import type { Server } from "./server.js";

const COMETMQ = join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const PULL_MS = 20_000;
const SHOWN = 5;
const CAUGHT_UP_MS = 10_000;

/** All of the queues that anybody has sent to, from their first message to the last. */
export async function readAll(port: number, history: History, reader = "all"): Promise<void> {
  const client = new RemotingClient("127.0.0.1", port);
  try {
    const deadline = performance.now() + CAUGHT_UP_MS;
    for (const queue of new Set(history.sent.map((one) => one.queue)))
      await readQueue(client, queue, history, reader, deadline);
  } finally {
    await client.close();
  }
}

/** Where the queue ends, once what was acknowledged last can be read: dispatch is some way behind. */
async function endOf(client: RemotingClient, queue: string, { sent }: History, deadline: number): Promise<number> {
  const [topic = "", queueId = ""] = queue.split("/");
  let wanted = 0;
  for (const one of sent)
    if (one.queue === queue && one.outcome === "acked") wanted = Math.max(wanted, one.queueOffset + 1);
  for (; ; await pause(50)) {
    const max = await client.call(RequestCode.GET_MAX_OFFSET, { topic, queueId }, undefined, PULL_MS);
    const end = max.code === ResponseCode.SUCCESS ? Number(max.fields.offset) : 0;
    if (end >= wanted || performance.now() > deadline) return end;
  }
}

async function readQueue(
  client: RemotingClient,
  queue: string,
  history: History,
  reader: string,
  deadline: number,
): Promise<void> {
  const [topic = "", queueId = ""] = queue.split("/");
  const end = await endOf(client, queue, history, deadline);
  for (let queueOffset = 0; queueOffset < end; ) {
    const fields = pullFields({ consumerGroup: "READER", topic, queueId, queueOffset, maxMsgNums: 1000 });
    const answer = await client.call(RequestCode.PULL_MESSAGE, fields, undefined, PULL_MS);
    const next = Number(answer.fields.nextBeginOffset);
    if (answer.code !== ResponseCode.SUCCESS && !(next > queueOffset)) return;
    if (answer.code === ResponseCode.SUCCESS) {
      for (const { queueOffset: at, properties, body } of decodeRecords(answer.body)) {
        const key = properties.get("UNIQ_KEY") ?? "";
        history.seen.push({ reader, queue, queueOffset: at, key, hash: hashOf(body), atMs: performance.now() });
      }
    }
    queueOffset = next;
  }
}

/** What `cometmq store verify` says of a closed store, each finding that is more than worth knowing a line. */
export function doctorFindings(directory: string): string[] {
  const args = [
    COMETMQ,
    "store",
    "verify",
    "--json",
    join(directory, "store"),
    "--conf",
    join(directory, "broker.conf"),
  ];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; severity?: string });
  expect(lines.at(-1)?.type, `status ${status}: ${stderr}`).toBe("summary");
  return lines
    .filter(({ severity }) => severity === "error" || severity === "warning")
    .map((one) => JSON.stringify(one));
}

/** What Apache's store has after its own recovery; undefined, said aloud, where it cannot be asked. */
export async function apacheSees(directory: string): Promise<Seen[] | undefined> {
  if (apacheMissing !== undefined) {
    skipAloud("Apache's store as a reader", apacheMissing);
    return undefined;
  }
  const seen: Seen[] = [];
  for (const line of await apacheDump(directory)) {
    if (!line.startsWith('{"type":"message"')) continue;
    const { topic, queueId, queueOffset, properties, bodySha256 } = JSON.parse(line);
    const queue = `${topic}/${queueId}`;
    seen.push({ reader: "apache", queue, queueOffset, key: properties?.UNIQ_KEY ?? "", hash: bodySha256, atMs: 0 });
  }
  return seen;
}

export interface VerifyOptions extends CheckOptions {
  /** Of what the doctor says, this is as it should be. */
  readonly expectedFinding?: RegExp;
  /** Whether Apache's store is asked, which takes seconds; in the short cut only where this says so. */
  readonly apache?: boolean;
}

export interface Verified {
  readonly acked: number;
  /** Sent, and never answered. */
  readonly unknown: number;
  readonly kills: number;
  readonly apache: "agrees" | "was not asked";
}

/** Reads everything, ends the server in order, has the store judged, and fails the test for whatever is wrong. */
export async function verifyAll(server: Server, history: History, options: VerifyOptions = {}): Promise<Verified> {
  await readAll(server.port, history);
  expect(await server.stop(), server.stderr).toBe("0");
  return verifyClosed(server.directory, history, options);
}

export async function verifyClosed(
  directory: string,
  history: History,
  options: VerifyOptions = {},
): Promise<Verified> {
  expect(checkHistory(history, { finalReader: "all", commitsKeptAfterMs: 2000, ...options }).slice(0, SHOWN)).toEqual(
    [],
  );
  const findings = doctorFindings(directory).filter((finding) => options.expectedFinding?.test(finding) !== true);
  expect(findings.slice(0, SHOWN)).toEqual([]);
  const apache = (options.apache ?? LONG) ? await apacheSees(directory) : undefined;
  if (apache !== undefined) expect(checkLost({ ...history, seen: apache }, "apache").slice(0, SHOWN)).toEqual([]);
  if (history.committed.length > 0) expect(history.committed.some(({ outcome }) => outcome === "acked")).toBe(true);
  const acked = history.sent.filter(({ outcome }) => outcome === "acked").length;
  expect(acked).toBeGreaterThan(0);
  return {
    acked,
    unknown: history.sent.filter(({ outcome }) => outcome === "unknown").length,
    kills: history.killsMs.length,
    apache: apache === undefined ? "was not asked" : "agrees",
  };
}
