/**
 * Our SQL92 filter against Apache's own classes, over random expressions and properties. What Apache answered for one
 * seed is kept in test/golden/data/filter.jsonl for machines without Java; COMETMQ_RECORD=1 writes it anew.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ourAnswer } from "../golden/filter-answers.js";
import { type FilterCase, randomFilterCases } from "../golden/filter-cases.js";
import { buildJava, JarsUnavailable, missingTool } from "./build.mjs";

const RECORDED = path.join(import.meta.dirname, "..", "golden", "data", "filter.jsonl");
const RECORDED_SEED = 1;
const RECORDED_COUNT = 1200;
const COUNT = Number(process.env["COMETMQ_RUNS"] ?? 3000);

/** Built while tests are collected, for that has no time limit and the first build on a machine fetches jars. */
const built = await prepare();

async function prepare(): Promise<{ classPath: string } | { reason: string }> {
  const reason = missingTool();
  if (reason !== undefined) return { reason };
  try {
    return { classPath: await buildJava("filter") };
  } catch (error) {
    if (error instanceof JarsUnavailable) return { reason: error.message };
    throw error;
  }
}

const base64 = (text: string) => Buffer.from(text, "utf8").toString("base64");

function lineOf({ expression, properties }: FilterCase): string {
  const sets = properties.map((set) => set.map(([name, value]) => `${base64(name)}:${base64(value)}`).join(","));
  return [base64(expression), ...sets].join("\t");
}

function apacheAnswers(cases: readonly FilterCase[]): Promise<string[]> {
  const { classPath } = built as { classPath: string };
  return new Promise((resolve, reject) => {
    const child = spawn("java", ["-Xss4m", "-cp", classPath, "FilterOracle"], { stdio: ["pipe", "pipe", "ignore"] });
    let output = "";
    child.stdout.setEncoding("ascii").on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) resolve(output.trimEnd().split("\n"));
      else reject(new Error(`FilterOracle ended with ${status}`));
    });
    child.stdin.end(`${cases.map(lineOf).join("\n")}\n`);
  });
}

/** Cases of which Apache and we say different things, with both answers. */
async function differences(cases: readonly FilterCase[]): Promise<unknown[]> {
  const answers = await apacheAnswers(cases);
  expect(answers.length).toBe(cases.length);
  return cases.flatMap((one, index) => {
    const ours = ourAnswer(one);
    return ours === answers[index] ? [] : [{ ...one, ours, apache: answers[index] }];
  });
}

const reason = "reason" in built ? built.reason : undefined;
if (reason !== undefined) process.stderr.write(`skipped: SQL92 against Apache's filter: ${reason}\n`);

describe.skipIf(reason !== undefined)("SQL92 against Apache's filter", () => {
  test("random expressions and properties get the same answers", async () => {
    const seed = Number(process.env["COMETMQ_SEED"] ?? Date.now() % 1e9);
    process.stderr.write(`SQL92 against Apache's filter: seed ${seed}\n`);
    expect((await differences(randomFilterCases(seed, COUNT))).slice(0, 5), `seed ${seed}`).toEqual([]);
  });

  test("every character gets the same answer inside a name, at its start and on its own", async () => {
    const cases: FilterCase[] = [];
    for (let unit = 0; unit < 0x3000; unit++) {
      const character = String.fromCharCode(unit);
      for (const expression of [`a${character} IS NULL`, `${character}b IS NOT NULL`, `a = 1 ${character}`]) {
        cases.push({ expression, properties: [[["a", "1"]]] });
      }
    }
    for (const character of "ſKıİﬀＡ０\u{10400}\uffff") {
      cases.push({ expression: `a${character} = 1`, properties: [[["a", "1"]]] });
      cases.push({ expression: `a i${character} null`, properties: [[["a", "1"]]] });
    }
    expect((await differences(cases)).slice(0, 5)).toEqual([]);
  });

  test.skipIf(process.env["COMETMQ_RECORD"] !== "1")("Apache's answers are recorded", async () => {
    const cases = randomFilterCases(RECORDED_SEED, RECORDED_COUNT);
    const answers = await apacheAnswers(cases);
    const lines = cases.map(({ expression, properties }, index) => {
      const sets = properties.map((set) => Object.fromEntries(set));
      return JSON.stringify({ expression, properties: sets, apache: answers[index] });
    });
    writeFileSync(RECORDED, `${lines.join("\n")}\n`);
  });
});
