/**
 * Each parser of bytes that strangers or damaged files can hold, fed with kept inputs and with what is made of them.
 * Nothing may be thrown but refusals, nothing may take long, and no result may be larger than its bound.
 *
 * `npm test` gives each target a quarter of a second, `npm run test:fuzz` its share of COMETMQ_FUZZ_SECONDS. COMETMQ_SEED repeats
 * a run. An input that is a find is written to test/fuzz/corpus, where it stays as a test once it is mended; with
 * COMETMQ_FUZZ_KEEP=1 inputs whose outcome is new are kept there, too.
 */
import { expect, test } from "vitest";
import { changed, keep, keptInputs } from "./bytes.js";
import { Dice } from "./mutations.js";
import { type FuzzTarget, meant, TARGETS } from "./targets.js";

const SECONDS = process.env["COMETMQ_FUZZ_SECONDS"];
const TARGET_MS = SECONDS === undefined ? 250 : (Number(SECONDS) * 1000) / TARGETS.length;
/** CPU of this process: a parse that takes more holds up everybody, and a busy machine does not count as one. */
const PARSE_MS_MAX = 1500;
const POOL_MAX = 2000;
const KEPT_MAX = 24;
const SEED = Number(process.env["COMETMQ_SEED"] ?? Date.now() % 1e9);

async function outcomeOf({ run }: FuzzTarget, bytes: Buffer): Promise<string> {
  try {
    return await run(bytes);
  } catch (error) {
    return meant(error);
  }
}

test.each(TARGETS.map((target): [string, FuzzTarget] => [target.name, target]))(
  "%s",
  { timeout: TARGET_MS * 2 + 60_000 },
  async (name, target) => {
    const kept = keptInputs(name);
    const pool = [...kept, ...(await target.seeds())];
    const seen = new Set<string>();
    let longestMs = 0;
    const feed = async (bytes: Buffer, seed: number) => {
      const begin = process.cpuUsage();
      let outcome: string;
      try {
        // The parser has no claim on its input.
        outcome = await outcomeOf(target, Buffer.from(bytes));
        const { user, system } = process.cpuUsage(begin);
        const tookMs = (user + system) / 1000;
        longestMs = Math.max(longestMs, tookMs);
        if (tookMs > PARSE_MS_MAX) throw new Error(`took ${tookMs.toFixed(0)} ms`);
      } catch (cause) {
        throw new Error(`${name}, seed ${seed}, input in ${keep(name, bytes)}`, { cause });
      }
      if (seen.has(outcome)) return;
      seen.add(outcome);
      if (pool.length < POOL_MAX) pool.push(Buffer.from(bytes));
      if (process.env["COMETMQ_FUZZ_KEEP"] === "1" && seen.size <= KEPT_MAX && bytes.length <= 1024) keep(name, bytes);
    };
    for (const bytes of [...pool]) await feed(bytes, 0);
    const dice = new Dice(SEED);
    const endMs = performance.now() + TARGET_MS;
    let count = 0;
    for (; performance.now() < endMs; count++) {
      await feed(changed(dice, dice.one(pool), dice.one(pool), target.words ?? []), SEED);
    }
    const facts = `${count} inputs, ${seen.size} outcomes, ${longestMs.toFixed(0)} ms at most`;
    process.stderr.write(`fuzz: ${name}, seed ${SEED}: ${facts}\n`);
    expect(count).toBeGreaterThan(0);
  },
);
