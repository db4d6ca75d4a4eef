/**
 * Tables for people: with lines on a terminal, aligned by blanks where the output is piped. And numbers as people read
 * them.
 */
import Table from "cli-table3";

export interface Column {
  readonly head: string;
  readonly align?: "left" | "right";
}

export type Cell = string | number;

export function renderTable(columns: readonly Column[], rows: readonly (readonly Cell[])[], terminal: boolean): string {
  if (!terminal) return renderPlain(columns, rows);
  const table = new Table({
    head: columns.map(({ head }) => head),
    colAligns: columns.map(({ align }) => align ?? "left"),
    style: { head: inColour("bold"), border: inColour("grey"), compact: rows.length > 8 },
  });
  for (const row of rows) table.push(row.map(shown));
  return table.toString();
}

/** Names and what they have; a long list of them reads better than one wide row. */
export function renderPairs(pairs: readonly (readonly [string, string])[], terminal: boolean): string {
  if (terminal) {
    const table = new Table({ style: { head: [], border: inColour("grey"), compact: true } });
    for (const [name, value] of pairs) table.push([name, printable(value)]);
    return table.toString();
  }
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}`.trimEnd()).join("\n");
}

/** Of a table on a terminal; nothing where its user wants none (no-color.org), or it can show none. */
function inColour(style: string): string[] {
  const { NO_COLOR = "", TERM } = process.env;
  return NO_COLOR !== "" || TERM === "dumb" ? [] : [style];
}

function renderPlain(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  const lines = [columns.map(({ head }) => head.toUpperCase()), ...rows.map((row) => row.map(shown))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => (columns[i]!.align === "right" ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** What a file name or a topic of a strange store may do to a terminal, it does not do here. */
function shown(cell: Cell): string {
  return typeof cell === "number" ? formatCount(cell) : printable(cell);
}

export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function formatCount(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** A store timestamp; empty for 0, which stands for none. */
export function formatTime(timestampMs: number): string {
  const isTime = timestampMs > 0 && timestampMs < 8.64e15;
  return isTime ? new Date(timestampMs).toISOString().replace("T", " ").replace("Z", "") : "";
}
