/** Results as one page: bars of SVG, no script, nothing loaded from elsewhere. */
const WIDTH = 760;
const LABEL = 250;
const ROW = 26;

const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

function shown(value) {
  return value >= 1000 ? Math.round(value).toLocaleString("en-GB") : String(value);
}

function chart(results) {
  // Bars of different units say nothing to each other.
  const largest = new Map();
  for (const { unit, value } of results) largest.set(unit, Math.max(largest.get(unit) ?? 0, value));
  const rows = results.map(({ title, value, unit, marginPercent }, i) => {
    const y = i * ROW;
    const width = Math.max(1, (value / largest.get(unit)) * (WIDTH - LABEL - 210));
    return `<text x="${LABEL - 8}" y="${y + 17}" text-anchor="end">${escaped(title)}</text>
<rect x="${LABEL}" y="${y + 4}" width="${width.toFixed(1)}" height="${ROW - 8}"/>
<text x="${LABEL + width + 6}" y="${y + 17}">${shown(value)} ${escaped(unit)} ±${marginPercent} %</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${results.length * ROW}" role="img">${rows.join("\n")}</svg>`;
}

export function resultsPage(suites) {
  const parts = suites.map(({ name, date, machine, results }) => {
    const { cpu, cores, memoryGiB, node, load } = machine;
    const state = `${date.slice(0, 16).replace("T", " ")} UTC, ${cores} × ${cpu}, ${memoryGiB} GiB, Node ${node}, load ${load.toFixed(1)}`;
    return `<h2>${escaped(name)}</h2>\n${chart(results)}\n<p>${escaped(state)}</p>`;
  });
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>CometMQ storage engine: micro-benchmarks</title>
<style>
body { font: 14px system-ui, sans-serif; max-width: 860px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff; }
svg { width: 100%; font-size: 12px; } rect { fill: #2a6fb0; } p { color: #777; font-size: 12px; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } text { fill: #ddd; } }
</style>
<h1>CometMQ storage engine: micro-benchmarks</h1>
<p>Figures of one machine on one day: compare what stands in one chart. Longer is more; in s/GiB longer is slower.</p>
${parts.join("\n")}
</html>
`;
}
