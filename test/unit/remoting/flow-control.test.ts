/** Requests that come too late are answered busy and not handled; with a clock that the requests themselves move. */
import type { Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { native } from "#src/io/native.js";
import { FlowControl, type FlowLimits, LateRequests } from "#src/remoting/flow-control.js";
import { RemotingServer } from "#src/remoting/server.js";
import { BareSocket, HandClock, LineLog, requestBytes, until } from "./peers.js";

const SEND = 310;
const HEARTBEAT = 34;
const BUSY = 2;
const WAIT_MS = 200;
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const limits = (changed: Partial<FlowLimits> = {}): FlowLimits => ({
  waitMsMax: (code) => (code === SEND ? WAIT_MS : undefined),
  heldCountMax: (code) => (code === SEND ? 10_000 : undefined),
  isFull: false,
  takenCount: 0,
  unreadBytes: native()?.unreadBytes,
  ...changed,
});

async function start(msEach: number, flowLimits: FlowLimits) {
  const clock = new HandClock();
  const log = new LineLog();
  const handled: number[] = [];
  const handle = (header: { opaque: number; serializeType: 0 | 1 }, writer: BareWriter) => {
    handled.push(header.opaque);
    clock.now += msEach;
    writer.response(header.opaque, header.serializeType, 0);
  };
  const processors = new Map([SEND, HEARTBEAT].map((code) => [code, serve(handle)]));
  const server = new RemotingServer({ processors, flowLimits, clock, log });
  await server.listen();
  closers.push(() => server.close(0));
  const open = async () => {
    const peer = (await BareSocket.open(server.port)).readFrames();
    closers.push(() => void peer.socket.destroy());
    return peer;
  };
  return { open, handled, clock, log };
}

type BareWriter = { response(opaque: number, type: 0 | 1, code: number): void };
type Handle = (header: { opaque: number; serializeType: 0 | 1 }, writer: BareWriter) => void;
const serve =
  (handle: Handle) =>
  ({ header }: { header: Parameters<Handle>[0] }, { writer }: { writer: BareWriter }): void =>
    handle(header, writer);

/** So many frames, every tenth of them a heartbeat. */
function flood(count: number, oneway = false): Buffer {
  const code = (i: number) => (i % 10 === 9 ? HEARTBEAT : SEND);
  const body = "x".repeat(900);
  return requestBytes(...Array.from({ length: count }, (_, i) => ({ opaque: i, code: code(i), oneway, body })));
}

test("sends that have waited too long are answered busy, each once; heartbeats behind them are answered", async () => {
  const { open, handled, clock, log } = await start(1, limits());
  const peer = await open();
  peer.socket.write(flood(6000));
  await until(() => peer.frames.length === 6000, "all answers");
  expect(peer.frames.map(({ opaque }) => opaque)).toEqual(Array.from({ length: 6000 }, (_, i) => i));
  const refused = peer.frames.filter(({ code }) => code === BUSY);
  expect(refused.length).toBeGreaterThan(100);
  expect(refused.every(({ opaque }) => opaque % 10 !== 9)).toBe(true);
  expect(handled.length + refused.length).toBe(6000);
  for (const { remark } of refused) {
    const ms = /^\[TIMEOUT_CLEAN_QUEUE\]broker busy, .*, period in queue: (\d+)ms, size of queue: \d+$/.exec(
      remark,
    )?.[1];
    expect(Number(ms)).toBeGreaterThanOrEqual(WAIT_MS);
  }
  // Once it has what it wanted, the next send is served as if nothing had been.
  peer.socket.write(requestBytes({ opaque: 7000, code: SEND }));
  await until(() => peer.frames.length === 6001, "an answer");
  expect(peer.frames.at(-1)).toMatchObject({ opaque: 7000, code: 0 });
  expect(log.count("SYSTEM_BUSY")).toBe(1);
  clock.advance(15_000);
  expect(log.count("SYSTEM_BUSY")).toBe(2);
  clock.advance(60_000);
  expect(log.count("SYSTEM_BUSY")).toBe(2);
});

test("ten thousand in flight that are served in time are served", async () => {
  const { open, handled, log } = await start(0.019, limits());
  const peer = await open();
  peer.socket.write(flood(10_000));
  await until(() => peer.frames.length === 10_000, "all answers");
  expect(handled).toHaveLength(10_000);
  expect(log.count("SYSTEM_BUSY")).toBe(0);
});

test("one-way sends that come too late are dropped without an answer", async () => {
  const { open, handled } = await start(1, limits());
  const peer = await open();
  peer.socket.write(flood(6000, true));
  peer.socket.write(requestBytes({ opaque: 7000, code: HEARTBEAT }));
  await until(() => peer.frames.length === 1, "an answer to what came last");
  expect(peer.frames[0]).toMatchObject({ opaque: 7000, code: 0 });
  expect(handled.length).toBeLessThan(6000);
});

test("while too many are held elsewhere sends are refused whoever asks, and nothing else is", async () => {
  const held = { isFull: false, takenCount: 0 };
  const { open } = await start(0, {
    ...limits(),
    get isFull() {
      return held.isFull;
    },
    get takenCount() {
      return held.takenCount;
    },
  });
  const peer = await open();
  const codes = async () => {
    const from = peer.frames.length;
    peer.socket.write(requestBytes({ opaque: 1, code: SEND }, { opaque: 2, code: HEARTBEAT }));
    await until(() => peer.frames.length === from + 2, "two answers");
    return peer.frames.slice(from).map(({ code, remark }) => `${code} ${remark}`.trim());
  };
  expect(await codes()).toEqual(["0", "0"]);
  Object.assign(held, { isFull: true, takenCount: 10_001 });
  expect(await codes()).toEqual(["2 [OVERLOAD]system busy, start flow control for a while", "0"]);
  Object.assign(held, { isFull: false, takenCount: 10_000 });
  expect(await codes()).toEqual(["0", "0"]);
});

test("what waits on other connections counts only against those who have something waiting too", () => {
  const flow = new FlowControl(limits(), new HandClock(), new LineLog());
  flow.queuedCount = 10_001;
  expect(flow.refusal(SEND, 0)).toBeUndefined();
  expect(flow.refusal(SEND, 1)).toMatch(/^\[OVERLOAD\]/);
  expect(flow.refusal(SEND, 1)).toBeUndefined();
  expect(flow.refusal(HEARTBEAT, 1)).toBeUndefined();
  expect(flow.refusedCount).toBe(1);
});

test.each([
  [200, 100],
  [250, 80],
  [400, 50],
  [60_000, 50],
])("of sends that have waited %i ms %i in a hundred are handled", (ageMs, servedCount) => {
  const flow = new FlowControl(limits(), new HandClock(), new LineLog());
  const answers = Array.from({ length: 1000 }, () => flow.refusal(SEND, ageMs));
  expect(answers.filter((remark) => remark === undefined)).toHaveLength(servedCount * 10);
});

test("with too many held every send is refused, however much is handled otherwise", () => {
  const flow = new FlowControl(limits({ takenCount: 10_001 }), new HandClock(), new LineLog());
  const answers = Array.from({ length: 100 }, () => flow.refusal(SEND, 400));
  expect(answers.filter((remark) => remark === undefined)).toEqual([]);
});

test("a connection that goes takes what waited with it", () => {
  const clock = new HandClock();
  const flow = new FlowControl(limits({ unreadBytes: undefined }), clock, new LineLog());
  const late = new LateRequests(flow, clock, { bytesRead: 10_000, readableLength: 0 } as Socket);
  expect(late.begin()).toBe(false);
  late.note(9000, 10);
  expect(flow.queuedCount).toBe(90);
  clock.now = 2 * WAIT_MS;
  expect(late.begin()).toBe(true);
  expect(late.refusal(SEND, 9000)).toMatch(/period in queue: 400ms, size of queue: 90$/);
  expect(late.refusal(HEARTBEAT, 8900)).toBeUndefined();
  late.end();
  expect(flow.queuedCount).toBe(0);
  // As late, but it has asked for little: others have made it wait.
  late.note(9000, 20);
  clock.now += 10;
  late.note(8000, 21);
  expect(flow.queuedCount).toBe(8);
  clock.now += WAIT_MS;
  expect(late.begin()).toBe(true);
  expect(late.refusal(SEND, 7000)).toBeUndefined();
  late.end();
  expect(late.begin()).toBe(false);
});
