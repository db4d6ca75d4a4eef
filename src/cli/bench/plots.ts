/** Plots of lines as SVG; their colours are the page's, by class. */
const WIDTH = 860;
const HEIGHT = 260;
const LEFT = 64;
const RIGHT = 16;
const TOP = 26;
const BOTTOM = 34;
const TICKS = 5;

export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface PlotOptions {
  readonly xLabel: string;
  /** The y axis is logarithmic. */
  readonly isLog?: boolean;
  readonly xTicks?: readonly (readonly [x: number, text: string])[];
}

interface Scale {
  readonly to: (value: number) => number;
  readonly ticks: readonly (readonly [value: number, text: string])[];
}

/** Empty where there is nothing to draw. */
export function linePlot(lines: readonly Line[], { xLabel, isLog = false, xTicks }: PlotOptions): string {
  const drawn = lines.filter(({ points }) => points.length > 0);
  if (drawn.length === 0) return "";
  const xs = drawn.flatMap(({ points }) => points.map(([x]) => x));
  const ys = drawn.flatMap(({ points }) => points.map(([, y]) => y));
  const xMax = Math.max(...xs, Number.MIN_VALUE);
  const x = linear(xMax, LEFT, WIDTH - RIGHT);
  const y = isLog ? logarithmic(ys, HEIGHT - BOTTOM, TOP) : linear(Math.max(...ys), HEIGHT - BOTTOM, TOP);
  const xShown = xTicks?.filter(([value]) => value <= xMax) ?? x.ticks;
  const parts = [
    ...y.ticks.map(
      ([value, text]) =>
        `<line class="rule" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(y.to(value))}" y2="${fixed(y.to(value))}"/>` +
        `<text x="${LEFT - 8}" y="${fixed(y.to(value) + 4)}" text-anchor="end">${text}</text>`,
    ),
    ...xShown.map(
      ([value, text]) =>
        `<text x="${fixed(x.to(value))}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${text}</text>`,
    ),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 3}" text-anchor="middle">${xLabel}</text>`,
    ...drawn.map(({ name, points }, i) => {
      const path = points.map(([px, py], j) => `${j === 0 ? "M" : "L"}${fixed(x.to(px))} ${fixed(y.to(py))}`).join("");
      const dots = points.length === 1 ? dot(x.to(points[0]![0]), y.to(points[0]![1]), i) : "";
      const key = LEFT + i * 190;
      return `<path class="l${i % 4}" d="${path}"/>${dots}<rect class="k${i % 4}" x="${key}" y="6" width="10" height="10"/><text x="${key + 15}" y="15">${name}</text>`;
    }),
  ];
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${parts.join("\n")}</svg>`;
}

function dot(x: number, y: number, i: number): string {
  return `<circle class="k${i % 4}" cx="${fixed(x)}" cy="${fixed(y)}" r="3"/>`;
}

function linear(max: number, from: number, to: number): Scale {
  const step = niceStep(Math.max(max, 1e-9) / TICKS);
  const top = Math.max(max, step);
  const count = Math.floor(top / step + 1e-9);
  return {
    to: (value) => from + (value / top) * (to - from),
    ticks: Array.from({ length: count + 1 }, (_, i) => [i * step, shown(i * step)] as const),
  };
}

function logarithmic(values: readonly number[], from: number, to: number): Scale {
  const least = Math.max(1e-3, Math.min(...values.filter((value) => value > 0), Math.max(...values)));
  const low = Math.floor(Math.log10(least));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values, 1e-3))));
  return {
    to: (value) => from + ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * (to - from),
    ticks: Array.from({ length: high - low + 1 }, (_, i) => [10 ** (low + i), shown(10 ** (low + i))] as const),
  };
}

/** 1, 2 or 5 times a power of ten, at least `step`. */
function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const times = [1, 2, 5, 10].find((candidate) => candidate * power >= step * (1 - 1e-9)) ?? 10;
  return times * power;
}

function shown(value: number): string {
  return value >= 1000 ? value.toLocaleString("en-GB") : String(Number(value.toPrecision(6)));
}

function fixed(value: number): string {
  return value.toFixed(1);
}
