/** Leases that the server prolongs for a client's sake, over hours on a clock that the test moves, on a real store. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { LocalConnection, LocalPeering } from "#src/remoting/local-connection.js";
import { Code } from "#src/grpc/enums.js";
import { ackMessage } from "#src/server/proxy/ack-message.js";
import { changeInvisibleDuration } from "#src/server/proxy/change-invisible.js";
import type { ProxyClient } from "#src/server/proxy/client-table.js";
import type { ProxyServices, RpcContext } from "#src/server/proxy/proxy.js";
import { ReceiptHandleTable } from "#src/server/proxy/receipt-handle-table.js";
import { GROUP, type Held, PopLife, TOPIC } from "../../property/pop-fixture.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const CLIENT = { clientId: "client-1" } as ProxyClient;

let life: PopLife;
let services: ProxyServices;
let table: ReceiptHandleTable;

beforeEach(async () => {
  life = await new PopLife(1).open();
  const { context, processors } = life.base.broker;
  const { clock, log } = life.base;
  const origin = { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 0 };
  const ownConnection = new LocalConnection(new LocalPeering(processors, clock, log), origin);
  table = new ReceiptHandleTable(() => services);
  services = { broker: context, clock, log, ownConnection, receipts: table } as unknown as ProxyServices;
});

afterEach(async () => {
  table.close();
  await life.close();
});

/** A message as a client has it that received it with `auto_renew`. */
async function held(): Promise<Held> {
  await life.send("a", 0);
  const [found] = life.pop();
  table.add(CLIENT, {
    group: GROUP,
    topic: TOPIC,
    messageId: found!.message.msgId,
    reconsumeTimes: 0,
    handle: `${found!.handle} ${found!.message.phyOffset}`,
  });
  return found!;
}

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5000) await life.advance(Math.min(5000, ms - passed));
}

function newestHandle(found: Held): string | undefined {
  const handle = `${found.handle} ${found.message.phyOffset}`;
  return table.remove(CLIENT.clientId, GROUP, found.message.msgId, handle);
}

test("what is held stays with its client, and the newest handle ends it", async () => {
  const found = await held();
  for (let i = 0; i < 6; i++) {
    await pass(5 * MINUTE_MS);
    expect(life.pop()).toEqual([]);
  }
  const newest = newestHandle(found)!;
  expect(newest).not.toBe(`${found.handle} ${found.message.phyOffset}`);
  expect(table.size).toBe(0);
  expect(life.ack({ ...found, handle: newest })).toBe(0);
  await pass(2 * HOUR_MS);
  expect(life.pop()).toEqual([]);
});

test("what a gone client held comes to others a second later", async () => {
  await held();
  await pass(10 * MINUTE_MS);
  expect(life.pop()).toEqual([]);
  table.release(CLIENT);
  expect(table.size).toBe(0);
  await life.advance(999);
  expect(life.pop()).toEqual([]);
  await pass(5000);
  expect(life.pop().map(({ body }) => body)).toEqual(["a"]);
});

test("what a client held that went while its lease was prolonged comes to others as soon", async () => {
  await held();
  // The look that prolongs it has asked the broker; what it answers is taken later in this turn.
  life.clock.advance(60_000 - life.base.broker.context.config.renewAheadTimeMillis);
  table.release(CLIENT);
  await life.advance(0);
  await pass(5000);
  expect(life.pop().map(({ body }) => body)).toEqual(["a"]);
});

/** With synchronous flush the broker says yes to this when it is on the disk, some milliseconds after it is so. */
function prolong(): void {
  life.clock.advance(60_000 - life.base.broker.context.config.renewAheadTimeMillis);
}

/** A call of the client that holds `found`, which knows the handle that it was given at first. */
function callOf({ handle, message }: Held) {
  const context = { clientId: CLIENT.clientId, peer: { connection: services.ownConnection } } as unknown as RpcContext;
  const entry = { messageId: message.msgId, receiptHandle: `${handle} ${message.phyOffset}` };
  const resources = { group: { name: GROUP, resourceNamespace: "" }, topic: { name: TOPIC, resourceNamespace: "" } };
  return { context, entry, resources };
}

test("what a client acknowledges while its lease is prolonged is acknowledged", async () => {
  const { context, entry, resources } = callOf(await held());
  prolong();
  const answer = await ackMessage(services, context, { ...resources, entries: [entry] });
  expect(answer).toMatchObject({ status: { code: Code.OK } });
  expect(table.size).toBe(0);
  await pass(2 * HOUR_MS);
  expect(life.pop()).toEqual([]);
});

test("what a client gives back while its lease is prolonged comes when the client said", async () => {
  const { context, entry, resources } = callOf(await held());
  prolong();
  const request = { ...resources, ...entry, invisibleDuration: { seconds: 20, nanos: 0 } };
  const answer = await changeInvisibleDuration(services, context, request);
  expect(answer).toMatchObject({ status: { code: Code.OK } });
  await pass(25_000);
  expect(life.pop().map(({ body }) => body)).toEqual(["a"]);
});

test("after three hours nobody prolongs it any more", async () => {
  await held();
  await pass(3 * HOUR_MS - MINUTE_MS);
  expect(life.pop()).toEqual([]);
  expect(table.size).toBe(1);
  await pass(2 * HOUR_MS);
  expect(table.size).toBe(0);
  expect(life.pop().map(({ body }) => body)).toEqual(["a"]);
});

test("a lease that is lost is not held on to", async () => {
  const found = await held();
  expect(life.ack(found)).toBe(0);
  await pass(10 * MINUTE_MS);
  expect(table.size).toBe(0);
});
