/** Requests that are refused: what comes of them, and that they leave no trace. */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { RequestCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { BareSocket, requestBytes, until } from "../unit/remoting/peers.js";
import type { StartedBroker } from "./harness.js";

/** Everything that a refused request must leave as it is. */
function tracesOf({ broker: { store, context }, directory }: StartedBroker): unknown {
  return {
    maxPhyOffset: store.maxPhyOffset,
    queueCount: store.allQueues().length,
    topics: [...context.topics.values()].map(({ name }) => name),
    groups: [...context.groups.values()].map(({ name }) => name),
    // One level above the store, for names that lead out of it.
    beside: readdirSync(dirname(directory)),
    // Tables are saved in their own time.
    directories: readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== "config")
      .map((entry) => join(entry.parentPath, entry.name))
      .sort(),
  };
}

export interface Outcome {
  readonly code?: number | undefined;
  readonly remark?: string | undefined;
  readonly closed: boolean;
}

/** Sends `bytes` on a connection of its own, then asks something sound on it. */
export async function outcomeOf({ broker: { port } }: StartedBroker, bytes: Buffer): Promise<Outcome> {
  const peer = (await BareSocket.open(port)).readFrames();
  let closed = false;
  void peer.closed.then(() => {
    closed = true;
  });
  peer.socket.write(Buffer.concat([bytes, requestBytes({ code: RequestCode.GET_BROKER_CONFIG, opaque: 4711 })]));
  await until(() => closed || peer.frames.some(({ opaque }) => opaque === 4711), "an answer, or the end");
  const answer = peer.frames.find(({ opaque }) => opaque !== 4711);
  peer.socket.destroy();
  return { code: answer?.code, remark: answer?.remark, closed };
}

export async function expectNoTrace(started: StartedBroker, act: () => Promise<void>): Promise<void> {
  const before = tracesOf(started);
  await act();
  await started.broker.store.settled();
  expect(tracesOf(started)).toEqual(before);
}

/** It is answered with this, on a connection that stays, and leaves no trace. */
export function expectRefusal(started: StartedBroker, bytes: Buffer, code: number, remark: RegExp): Promise<void> {
  return expectNoTrace(started, async () => {
    const outcome = await outcomeOf(started, bytes);
    expect(outcome).toMatchObject({ code, closed: false });
    expect(outcome.remark).toMatch(remark);
  });
}

/** As they go into a header. */
export function stringFields(fields: Fields): Record<string, string> {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present.map(([name, value]) => [name, String(value)]));
}
