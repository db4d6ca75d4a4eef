import { expect, test } from "vitest";
import { NameServers } from "#src/client/name-servers.js";
import type { ClientSettings } from "#src/client/options.js";
import type { RemoteAnswer } from "#src/remoting/types.js";

/** Servers whose answers the test gives: `asked` has the address of each call, in order, and how to end it. */
function servers(count: number) {
  const namesrvAddrs = Array.from({ length: count }, (_, i) => `127.0.0.1:${9876 + i}`);
  const nameServers = new NameServers({ namesrvAddrs, requestTimeoutMs: 3000 } as unknown as ClientSettings);
  const asked: { address: string; answer: () => void; fail: () => void }[] = [];
  nameServers.callAt = (address) =>
    new Promise((resolve, reject) => {
      const answer = { code: 0, remark: address } as unknown as RemoteAnswer;
      asked.push({ address, answer: () => resolve(answer), fail: () => reject(new Error(`${address} is dead`)) });
    });
  return { nameServers, asked };
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("calls that overlap ask every server, also when one of them finds another that answers", async () => {
  const { nameServers, asked } = servers(2);
  const early = nameServers.call(1, {});
  const late = nameServers.call(1, {});
  asked[0]!.fail();
  await turn();
  asked[2]!.answer();
  await early;
  asked[1]!.fail();
  await turn();
  expect(asked.map(({ address }) => address)).toEqual([0, 0, 2, 2].map((call) => asked[call]!.address));
  expect(asked[2]!.address).not.toBe(asked[0]!.address);
  asked[3]!.answer();
  expect((await late).remark).toBe(asked[2]!.address);
});

test("the one that answered last is asked first, and the last one's failure is what is told", async () => {
  const { nameServers, asked } = servers(3);
  const first = nameServers.call(1, {});
  asked[0]!.fail();
  await turn();
  asked[1]!.answer();
  await first;
  const second = nameServers.call(1, {}).catch((error: unknown) => error);
  expect(asked[2]!.address).toBe(asked[1]!.address);
  for (let call = 2; call < 5; call++) {
    asked[call]!.fail();
    await turn();
  }
  expect(await second).toMatchObject({ message: `${asked[4]!.address} is dead` });
  expect(new Set(asked.slice(2).map(({ address }) => address)).size).toBe(3);
});
