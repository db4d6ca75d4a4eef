/** Names of options: TypeScript refuses one that is misspelt, and plain JavaScript would never hear of it. */
import { CometError } from "./errors.js";

/** All names of an options type, beside it: the compiler says which are missing, and which are none. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/** A name within so much of its length is taken for a slip. */
const SLIP_SHARE = 0.4;

/**
 * What is wrong with the names of `options`, as a sentence about `where`; undefined where all are known. What is set to
 * undefined is not given.
 */
export function optionNamesProblem(
  where: string,
  options: unknown,
  known: Readonly<Record<string, true>>,
): string | undefined {
  if (typeof options !== "object" || options === null) return `${where} needs an object of options.`;
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || Object.hasOwn(known, name)) continue;
    const names = Object.keys(known);
    const near = nearestName(name, names);
    const meant = near === undefined ? `its options are ${names.join(", ")}` : `the nearest is ${near}`;
    return `${where} has no option ${JSON.stringify(name.slice(0, 80))}; ${meant}.`;
  }
  return undefined;
}

/** Throws COMETMQ_CONFIG for what the above says. */
export function checkOptionNames<Options>(where: string, options: Options, known: OptionNames<Options>): void {
  const problem = optionNamesProblem(where, options, known);
  if (problem !== undefined) throw new CometError("COMETMQ_CONFIG", problem);
}

/** The one of `names` that `name` may have been meant for: one that is part of it or the reverse, or few letters away. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const given = name.slice(0, 80).toLowerCase();
  let best: string | undefined;
  let leastSteps = Number.POSITIVE_INFINITY;
  for (const candidate of names) {
    const other = candidate.toLowerCase();
    const isPart = given.length > 2 && (other.includes(given) || given.includes(other));
    const steps = stepsBetween(given, other);
    const isSlip = steps <= Math.max(2, SLIP_SHARE * Math.max(given.length, other.length));
    if (steps >= leastSteps || !(isPart || isSlip)) continue;
    leastSteps = steps;
    best = candidate;
  }
  return best;
}

/** Levenshtein's distance. */
function stepsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
