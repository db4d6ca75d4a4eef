/** The examples do what they say. That in vitest is a test by itself. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { RequestCode } from "#src/remoting/codes.js";
import { clientOf, closeAll, onCloseAll, send } from "../server/harness.js";

afterEach(closeAll);

const EXAMPLES = join(import.meta.dirname, "..", "..", "examples");

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "cometmq-example-"));
  onCloseAll(() => rmSync(path, { recursive: true }));
  return path;
}

interface Running {
  readonly child: ChildProcess;
  /** Resolves with the first line of output. */
  readonly line: Promise<string>;
  /** All of it, and the exit status, when it has ended. */
  readonly end: Promise<[out: string, status: number]>;
}

function run(example: string, ...args: string[]): Running {
  const child = spawn(process.execPath, [join(EXAMPLES, example), ...args], { stdio: ["ignore", "pipe", "inherit"] });
  onCloseAll(() => void child.kill("SIGKILL"));
  let out = "";
  const line = new Promise<string>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      if (out.includes("\n")) resolve(out.split("\n")[0]!);
    });
  });
  const end = once(child, "close").then(([status]): [string, number] => [out, status as number]);
  return { child, line, end };
}

test("delayed: nothing before its time", async () => {
  const [out, status] = await run("delayed.mjs").end;
  expect(status).toBe(0);
  expect(out.trim().split("\n")).toEqual([
    "2026-01-01T12:00:00.000Z  []",
    '2026-01-01T12:05:00.000Z  ["tea"]',
    '2026-01-02T12:05:00.000Z  ["tea","dentist"]',
  ]);
});

test("ordered: each order's steps in order, also what was tried again", async () => {
  const [out, status] = await run("ordered.mjs").end;
  expect(status).toBe(0);
  expect(out.trim().split("\n")).toEqual([1, 2, 3].map((n) => `order ${n}: placed, paid, packed, sent`));
});

test("transactional: what was committed is seen, and what the broker asked about", async () => {
  const [out, status] = await run("transactional.mjs").end;
  expect(status).toBe(0);
  expect(out.trim().split("\n")).toEqual(["seen at once: 1: in cash", "seen after the broker asked: 3: by card"]);
});

test("idempotent: four deliveries, two payments", async () => {
  const [out, status] = await run("idempotent.mjs").end;
  expect(status).toBe(0);
  expect(out.trim().split("\n")).toEqual(["4 deliveries", "A-7: paid 12.5", "B-1: paid 3"]);
});

test("embed: serves, refuses and counts, and ends in order", async () => {
  const { child, line, end } = run("embed.mjs", join(directory(), "data"));
  const [, namesrvPort] = /^namesrv 127\.0\.0\.1:(\d+), gRPC 127\.0\.0\.1:\d+$/.exec(await line)!;
  const namesrv = clientOf(Number(namesrvPort));
  const cluster = await namesrv.call(RequestCode.GET_BROKER_CLUSTER_INFO, {}, undefined, 5000);
  const [, port] = /127\.0\.0\.1:(\d+)/.exec(cluster.body.toString())!;
  const client = clientOf(Number(port));
  expect((await send(client, {}, "one")).code).toBe(0);
  expect((await send(client, { topic: "secret" }, "two")).remark).toMatch(/may not write to it/);
  child.kill("SIGTERM");
  const [out, status] = await end;
  expect([out.split("\n").slice(1), status]).toEqual([["T: 1 sent", ""], 0]);
});

test("event log: appended events are there, also after a kill, and followers get what comes", async () => {
  const data = join(directory(), "log");
  const first = run("event-log.mjs", data, "0");
  const url = `${await first.line}/clicks`;
  const append = async (at: string, event: string) => (await fetch(at, { method: "POST", body: event })).json();
  expect(await Promise.all(["a", "b", "c"].map((event) => append(url, event)))).toEqual([
    { offset: 0 },
    { offset: 1 },
    { offset: 2 },
  ]);
  const lines = await (await fetch(`${url}?from=1`)).text();
  expect(
    lines
      .trim()
      .split("\n")
      .map((text) => JSON.parse(text).event),
  ).toEqual(["b", "c"]);
  expect((await fetch(`${url}?from=-1`)).status).toBe(400);
  expect((await fetch(url.replace("/clicks", "/a/b"))).status).toBe(404);
  expect((await fetch(url.replace("/clicks", "/nothing?follow"))).status).toBe(404);
  expect((await fetch(url, { method: "POST", body: "x".repeat(1024 * 1024 + 1) })).status).toBe(413);
  first.child.kill("SIGKILL");
  await first.end;

  const second = run("event-log.mjs", data, "0");
  const again = `${await second.line}/clicks`;
  const reader = (await fetch(`${again}?from=2&follow`)).body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const until = async (what: string): Promise<void> => {
    while (!text.includes(what)) text += (await reader.read()).value ?? "";
  };
  await until('"event":"c"');
  await append(again, "d");
  await until('"event":"d"');
  expect(text).toMatch(/^id: 2\n/);
  expect(await (await fetch(`${again}?from=9`)).text()).toBe("");
  second.child.kill("SIGTERM");
  expect((await second.end)[1]).toBe(0);
});
