/**
 * Runs before each file of tests. Files that share a process share no helper's state: each has its helpers, and their
 * hooks, anew. And what is equal is found so by Node, many times faster than by vitest, which is asked about the rest: on
 * buffers and long lists that is where tests spent their time.
 */
import { isDeepStrictEqual } from "node:util";
import { expect, vi } from "vitest";

vi.resetModules();

// The list of testers is the process's, not the file's.
const isKnown = Symbol.for("cometmq.equality");
const known = globalThis as { [isKnown]?: true };
if (known[isKnown] === undefined) expect.addEqualityTesters([equalForNode]);
known[isKnown] = true;

/** Node's answer is the stricter one: what it calls equal, vitest does. */
function equalForNode(a: unknown, b: unknown): true | undefined {
  const areObjects = typeof a === "object" && typeof b === "object" && a !== null && b !== null;
  return areObjects && isDeepStrictEqual(a, b) ? true : undefined;
}
