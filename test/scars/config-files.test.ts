/**
 * Half-written files under `store/config` after a power cut, with which a broker did not start or had its groups begin
 * anew (apache/rocketmq#1498, #3401, #6096, #9328): the generation before is taken, and the torn file is kept.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { ANSWER_MS, closeAll, send, startBroker } from "../server/harness.js";

afterEach(closeAll);

const TEARS: readonly [string, (bytes: Buffer) => Buffer][] = [
  ["#6096: empty", () => Buffer.alloc(0)],
  ["#9328: cut off in the middle", (bytes) => bytes.subarray(0, bytes.length >> 1)],
  ["#3401: full of zeros", (bytes) => Buffer.alloc(bytes.length)],
  ["#1498: with another file's bytes", (bytes) => Buffer.concat([bytes.subarray(5), Buffer.from("[[")])],
];

async function offsetOf(client: RemotingClient): Promise<string | undefined> {
  const fields = { consumerGroup: "G", topic: "T", queueId: 0 };
  return (await client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields, undefined, ANSWER_MS)).fields.offset;
}

async function changed(client: RemotingClient, code: number, fields: Record<string, string | number>, body?: string) {
  const answer = await client.call(code, fields, body === undefined ? undefined : Buffer.from(body), ANSWER_MS);
  expect(answer).toMatchObject({ code: ResponseCode.SUCCESS });
}

/** Each life of the broker leaves a generation of each file: the offset is 3 after the first, 7 after the second. */
async function twoLives(): Promise<string> {
  const first = await startBroker();
  const { directory } = first;
  for (let i = 0; i < 9; i++) await send(first.client(), { topic: "T", queueId: 0 }, "x");
  for (const [offset, started] of [[3, first] as const, [7, undefined] as const]) {
    const { broker, client } = started ?? (await startBroker({ directory }));
    const admin = client();
    await changed(
      admin,
      RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
      {},
      `{"groupName":"G","retryMaxTimes":${offset}}`,
    );
    const commit = { consumerGroup: "G", topic: "T", queueId: 0, commitOffset: offset };
    await changed(admin, RequestCode.UPDATE_CONSUMER_OFFSET, commit);
    await broker.close();
  }
  return directory;
}

test.each(TEARS)("%s: offsets, groups and topics are those of the generation before", async (_, tear) => {
  const directory = await twoLives();
  const names = ["consumerOffset.json", "subscriptionGroup.json", "topics.json", "delayOffset.json"];
  const files = names.map((name) => join(directory, "config", name)).filter((file) => existsSync(`${file}.bak`));
  expect(files.length).toBeGreaterThanOrEqual(2);
  const torn = files.map((file) => tear(readFileSync(file)));
  for (const [i, file] of files.entries()) writeFileSync(file, torn[i]!);
  const { broker, client, log } = await startBroker({ directory });
  expect(log.at("warn", /recovered from its backup/)).toHaveLength(files.length);
  expect(await offsetOf(client())).toBe("3");
  expect(broker.context.groups.get("G")?.retryMaxTimes).toBe(3);
  expect(broker.context.topics.get("T")).toBeDefined();
  // The next save does not put what is torn in the place of what is whole.
  await changed(client(), RequestCode.UPDATE_CONSUMER_OFFSET, {
    consumerGroup: "G",
    topic: "T",
    queueId: 0,
    commitOffset: 8,
  });
  await broker.close();
  const offsets = join(directory, "config", "consumerOffset.json");
  expect(readFileSync(`${offsets}.bak`, "utf8")).toContain("0:3");
  expect(readFileSync(`${offsets}.damaged`)).toEqual(torn[files.indexOf(offsets)]);
  expect(readFileSync(offsets, "utf8")).toContain("0:8");
});
