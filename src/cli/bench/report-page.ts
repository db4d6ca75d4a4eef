/** A result as one page: plots of SVG, no script, nothing loaded from elsewhere. */
import { linePlot, type Line } from "./plots.js";
import { latenciesOf, milliseconds, pairsOf } from "./report-text.js";
import type { Result } from "./result.js";

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2733; --soft: #6b7785; --rule: #d7dde4; --page: #fff; --a: #1668b8; --b: #c2571a; --c: #7a3fb0; --d: #2b8a3e; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ec; --soft: #93a0ae; --rule: #36414d; --page: #14191f; --a: #62a8ec; --b: #f09a5f; --c: #bb8cec; --d: #6fce86; --bad: #ff8a80; } }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em; color: var(--ink); background: var(--page); }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin: 2em 0 0.4em; }
table { border-collapse: collapse; width: 100%; } td, th { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } th { font-weight: 600; }
svg { width: 100%; height: auto; font-size: 11px; } svg text { fill: var(--soft); } svg .rule { stroke: var(--rule); } svg path { fill: none; stroke-width: 1.6; }
svg .l0 { stroke: var(--a); } svg .l1 { stroke: var(--b); } svg .l2 { stroke: var(--c); } svg .l3 { stroke: var(--d); }
svg .k0 { fill: var(--a); } svg .k1 { fill: var(--b); } svg .k2 { fill: var(--c); } svg .k3 { fill: var(--d); }
.bad { color: var(--bad); font-weight: 600; } .soft { color: var(--soft); }
`;

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

export function resultPage(result: Result): string {
  const { machine, account } = result;
  const state = `${result.startTime.slice(0, 19).replace("T", " ")} UTC, ${machine.cores} × ${machine.cpu}, Node ${machine.node}, load ${machine.load}`;
  const problems = [...account.problems, ...(result.failure === undefined ? [] : [result.failure])];
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>cometmq bench ${escaped(result.case)}</title>
<style>${STYLE}</style>
<h1>cometmq bench ${escaped(result.case)}</h1>
<p class="soft">${escaped(state)}</p>
${problems.map((problem) => `<p class="bad">${escaped(problem)}</p>`).join("\n")}
<table>${pairsOf(result)
    .map(([name, value]) => `<tr><th>${escaped(name)}</th><td>${escaped(value)}</td></tr>`)
    .join("\n")}</table>
${latencyTable(result)}
${plotsOf(result)}
<h2>Options</h2>
<table>${Object.entries(result.options)
    .map(([name, value]) => `<tr><th>${escaped(name)}</th><td>${escaped(String(value))}</td></tr>`)
    .join("\n")}</table>
</html>
`;
}

function latencyTable(result: Result): string {
  const latencies = latenciesOf(result);
  if (latencies.length === 0) return "";
  const heads = ["mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"];
  const rows = latencies.map(([title, figures]) => {
    const { meanUs, p50Us, p90Us, p99Us, p999Us, p9999Us, maxUs } = figures;
    const cells = [meanUs, p50Us, p90Us, p99Us, p999Us, p9999Us, maxUs];
    return `<tr><th>${escaped(title)}</th>${cells.map((us) => `<td class="n">${milliseconds(us)}</td>`).join("")}</tr>`;
  });
  const from =
    result.options.rate === null
      ? "from the writing of a request"
      : "from when a message was due, so that a stall is charged to all that wait behind it";
  return `<h2>Latency, ms</h2>
<p class="soft">Measured ${from}.</p>
<table><tr><th></th>${heads.map((head) => `<th class="n">${head}</th>`).join("")}</tr>
${rows.join("\n")}</table>`;
}

function plotsOf(result: Result): string {
  const { series } = result;
  const at = (pick: (second: Result["series"][number]) => number | undefined): (readonly [number, number])[] =>
    series.flatMap((second) => {
      const value = pick(second);
      return value === undefined ? [] : [[second.atSecond, value] as const];
    });
  const throughput: Line[] = [
    { name: "sent/s", points: at(({ sent, seconds }) => sent / seconds) },
    { name: "received/s", points: at(({ received, seconds }) => received / seconds) },
  ].filter(({ points }) => points.some(([, value]) => value > 0));
  const byTime: Line[] = [
    { name: "p50", points: at(({ p50Us }) => p50Us / 1000) },
    { name: "p99", points: at(({ p99Us }) => p99Us / 1000) },
    { name: "max", points: at(({ maxUs }) => maxUs / 1000) },
  ];
  const byPercentile = latenciesOf(result).map(
    ([name, { points }]): Line => ({
      name,
      points: points.map(([percentile, us]) => [Math.log10(100 / (100 - percentile)), us / 1000] as const),
    }),
  );
  const server: Line[] = [
    { name: "processors", points: at(({ serverCpu }) => serverCpu) },
    { name: "RSS, GB", points: at(({ serverRssMB }) => (serverRssMB === undefined ? undefined : serverRssMB / 1000)) },
  ];
  const percentileTicks = [0, 1, 2, 3, 4, 5].map(
    (power) => [power, power === 0 ? "0 %" : `${100 - 10 ** (2 - power)} %`.replace(/(\.\d*?9)\d*? /, "$1 ")] as const,
  );
  return [
    section("Messages a second", linePlot(throughput, { xLabel: "second" })),
    section("Latency by time, ms", linePlot(byTime, { xLabel: "second", isLog: true })),
    section(
      "Latency by percentile, ms",
      linePlot(byPercentile, { xLabel: "percentile", isLog: true, xTicks: percentileTicks }),
    ),
    section("Server", linePlot(server, { xLabel: "second" })),
  ].join("\n");
}

function section(title: string, plot: string): string {
  return plot === "" ? "" : `<h2>${escaped(title)}</h2>\n${plot}`;
}
