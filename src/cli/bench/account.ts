/** The account of a run: sent = stored = received, or in which sentence it does not add up. */
import type { Receipts } from "./receipts.js";
import type { Account } from "./result.js";
import type { SendLoad } from "./send-load.js";

/** `stored` is undefined where nobody could be asked any more. */
export function accountOf(load: SendLoad, stored: number | undefined, receipts: readonly Receipts[]): Account {
  const { acknowledged, refusals, refusedCount, refusedInWarmup, unansweredCount } = load;
  const foreign = Math.max(0, ...receipts.map(({ foreignCount }) => foreignCount));
  const problems: string[] = [];
  const refusedInWindow = refusedCount - refusedInWarmup;
  if (refusedInWindow > 0) {
    const [[kind] = ["?"]] = [...refusals].sort(([, a], [, b]) => b - a);
    problems.push(`${count(refusedInWindow)} of the messages sent were refused (${kind}).`);
  }
  if (unansweredCount > 0) problems.push(`${count(unansweredCount)} of the messages sent were never answered.`);
  if (foreign > 0) problems.push(`The topic got ${count(foreign)} messages of others meanwhile.`);
  const own = stored === undefined ? undefined : stored - foreign;
  problems.push(...storedProblems(own, acknowledged.size, unansweredCount));
  for (const group of receipts) problems.push(...problemsOf(group, load, own));
  return {
    sent: load.sentCount,
    acknowledged: acknowledged.size,
    refused: refusedCount,
    refusedInWarmup,
    refusals: Object.fromEntries(refusals),
    unanswered: unansweredCount,
    stored: stored ?? null,
    receipts: receipts.map(({ group, numbers, duplicateCount, corruptCount }) => ({
      group,
      received: numbers.size,
      duplicates: duplicateCount,
      corrupt: corruptCount,
    })),
    foreign,
    problems,
  };
}

function storedProblems(stored: number | undefined, acknowledged: number, unanswered: number): string[] {
  if (stored === undefined) return ["What is stored could not be asked."];
  const most = acknowledged + unanswered;
  if (stored < acknowledged) return [`${count(acknowledged)} were acknowledged, but only ${count(stored)} are stored.`];
  return stored > most ? [`${count(stored)} are stored, but at most ${count(most)} can be.`] : [];
}

function problemsOf(receipts: Receipts, { acknowledged, sentCount }: SendLoad, stored: number | undefined): string[] {
  const { group, numbers, duplicateCount, corruptCount } = receipts;
  const problems: string[] = [];
  if (corruptCount > 0) problems.push(`${group} received ${count(corruptCount)} whose checksum is wrong.`);
  if (duplicateCount > 0) problems.push(`${group} received ${count(duplicateCount)} more than once.`);
  const missing = acknowledged.missingIn(numbers, sentCount);
  if (missing.count > 0) {
    problems.push(
      `${group} did not receive ${count(missing.count)} that were acknowledged, first number ${missing.first}.`,
    );
  }
  if (stored !== undefined && receipts.count !== stored && missing.count === 0) {
    problems.push(`${group} received ${count(receipts.count)} of ${count(stored)} stored.`);
  }
  return problems;
}

function count(value: number): string {
  return value.toLocaleString("en-GB");
}
