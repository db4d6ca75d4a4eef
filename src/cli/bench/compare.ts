/** Two results side by side. */
import { CometError } from "../../base/errors.js";
import { FileDisk } from "../../io/file-disk.js";
import { ExitCode, isTerminal, writeOut } from "../store-run.js";
import { renderTable } from "../table.js";
import { printError } from "../output.js";
import { parseResult, type Result } from "./result.js";

export interface CompareFlags {
  readonly failAbove?: number;
  readonly json?: boolean;
}

interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly of: (result: Result) => number | null | undefined;
  /** More is better. */
  readonly isGain?: boolean;
  /** One stall decides it: shown, and not judged. */
  readonly isShaky?: boolean;
}

const LATENCIES = [
  ["send", "send"],
  ["endToEnd", "end to end"],
  ["pull", "pull"],
] as const;

const FIGURES: readonly Figure[] = [
  { name: "messages", unit: "/s", of: ({ messagesPerSecond }) => messagesPerSecond, isGain: true },
  ...LATENCIES.flatMap(([name, title]): Figure[] => [
    { name: `${title} p50`, unit: "µs", of: ({ latency }) => latency[name]?.p50Us },
    { name: `${title} p99`, unit: "µs", of: ({ latency }) => latency[name]?.p99Us },
    { name: `${title} p99.9`, unit: "µs", of: ({ latency }) => latency[name]?.p999Us },
    { name: `${title} max`, unit: "µs", of: ({ latency }) => latency[name]?.maxUs, isShaky: true },
  ]),
  { name: "server CPU a message", unit: "µs", of: ({ server }) => server?.cpuUsPerMessage },
  { name: "server RSS", unit: "MB", of: ({ server }) => server?.rssMB },
  { name: "server RSS not of files", unit: "MB", of: ({ server }) => server?.rssAnonMB },
];

export interface Comparison {
  readonly figure: string;
  readonly unit: string;
  readonly a: number;
  readonly b: number;
  /** B over A; null over 0. */
  readonly ratio: number | null;
  /** How many times worse B is: 1 where it is as good, below where it is better. */
  readonly worse: number | null;
  readonly isJudged: boolean;
}

export function comparisons(a: Result, b: Result): Comparison[] {
  return FIGURES.flatMap(({ name, unit, of, isGain = false, isShaky = false }) => {
    const [left, right] = [of(a), of(b)];
    if (left === null || left === undefined || right === null || right === undefined) return [];
    const over = (one: number, other: number): number | null => (other === 0 ? null : one / other);
    const ratio = over(right, left);
    const worse = isGain ? over(left, right) : ratio;
    return [{ figure: name, unit, a: left, b: right, ratio, worse, isJudged: !isShaky }];
  });
}

/** In which options two runs differ, so that they can hardly be compared. */
export function differences(a: Result, b: Result): string[] {
  const names = ["bodyBytes", "rate", "queues", "groups", "connections", "inFlight", "tls", "signed"] as const;
  const found = names
    .filter((name) => a.options[name] !== b.options[name])
    .map((name) => `${name} ${a.options[name] ?? "max"} and ${b.options[name] ?? "max"}`);
  return a.case === b.case ? found : [`case ${a.case} and ${b.case}`, ...found];
}

function readResult(path: string): Result {
  const content = new FileDisk("file").readFile(path);
  if (content === undefined) throw new CometError("COMETMQ_CONFIG", `There is no file ${path}.`);
  return parseResult(content.toString("utf8"), path);
}

export async function compareResults(paths: readonly [string, string], flags: CompareFlags): Promise<ExitCode> {
  const [a, b] = [readResult(paths[0]), readResult(paths[1])];
  const rows = comparisons(a, b);
  if (flags.json) for (const row of rows) await writeOut(`${JSON.stringify(row)}\n`);
  else await writeOut(`${compareTable(rows, isTerminal())}\n`);
  const differing = differences(a, b);
  if (differing.length > 0) printError(`cometmq: the runs differ in ${differing.join(", ")}`);
  const unsound = [a, b].flatMap(({ account }, i) => account.problems.map((problem) => `${paths[i]}: ${problem}`));
  for (const problem of unsound) printError(`cometmq: ${problem}`);
  if (flags.failAbove === undefined) return ExitCode.FINE;
  const bad = rows.filter(({ worse, isJudged }) => isJudged && worse !== null && worse > flags.failAbove!);
  for (const { figure, worse } of bad) {
    printError(`cometmq: ${figure} is ${worse!.toFixed(2)} times as bad, more than ${flags.failAbove}`);
  }
  return bad.length > 0 || unsound.length > 0 ? ExitCode.FINDINGS : ExitCode.FINE;
}

function compareTable(rows: readonly Comparison[], terminal: boolean): string {
  const columns = [
    { head: "figure" },
    { head: "unit" },
    ...["A", "B", "B / A"].map((head) => ({ head, align: "right" }) as const),
    { head: "" },
  ];
  const shown = (value: number): string => (value >= 1000 ? Math.round(value).toLocaleString("en-GB") : String(value));
  const cells = rows.map(({ figure, unit, a, b, ratio, worse }) => [
    figure,
    unit,
    shown(a),
    shown(b),
    ratio === null ? "-" : ratio.toFixed(2),
    worse === null || Math.abs(worse - 1) < 0.02 ? "" : worse < 1 ? "better" : "worse",
  ]);
  return renderTable(columns, cells, terminal);
}
