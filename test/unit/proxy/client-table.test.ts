/** What clients can make the endpoint keep of their settings. */
import { expect, test } from "vitest";
import type { Settings } from "#src/grpc/messages.js";
import { LocalPeering } from "#src/remoting/local-connection.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { ClientTable, type ClientTableOptions } from "#src/server/proxy/client-table.js";
import type { RpcContext } from "#src/server/proxy/proxy.js";
import { FakeClock, FakeLog } from "../broker/harness.js";

const PEER = { remoteAddress: "127.0.0.1", remotePort: 1, localAddress: "127.0.0.1", localPort: 2 };

function tableWith(options: Partial<ClientTableOptions> = {}) {
  const clock = new FakeClock();
  const log = new FakeLog();
  const peering = new LocalPeering(new Map(), clock, log);
  const requests = { pushed: () => {}, called: () => false };
  const table = new ClientTable({ peering, config: defaultBrokerConfig({}), clock, log, requests, ...options });
  const take = (clientId: string, chars: number) =>
    table.take(
      { clientId, peer: PEER, call: { peer: PEER } } as unknown as RpcContext,
      { clientType: 1, userAgent: { hostname: "x".repeat(chars) } } as unknown as Settings,
      0,
      0,
    );
  return { table, take };
}

test("one client's settings have a bound, and those it had stay", () => {
  const { table, take } = tableWith();
  const client = take("a", 10);
  expect(() => take("a", 1_048_576)).toThrow(expect.objectContaining({ code: 42900 }));
  expect(() => take("b", 1_048_576)).toThrow(expect.objectContaining({ code: 42900 }));
  expect(table.size).toBe(1);
  expect(client.settings).toMatchObject({ userAgent: { hostname: "x".repeat(10) } });
});

test("so have all clients' together; a client that goes makes room", () => {
  const { table, take } = tableWith({ settingsCharsMax: 1000 });
  const first = take("a", 400);
  take("b", 400);
  expect(() => take("c", 400)).toThrow(expect.objectContaining({ code: 42900 }));
  for (let i = 0; i < 5; i++) expect(take("a", 390 + i)).toBe(first);
  table.remove(first);
  table.remove(first);
  take("c", 400);
  expect(() => take("d", 400)).toThrow(expect.objectContaining({ code: 42900 }));
  expect(table.size).toBe(2);
});
