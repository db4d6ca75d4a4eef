/**
 * The same picture as a standalone SVG: segments as bars from left to right by log offset, labelled with the time of
 * their first record, damaged ranges in red, and a line for each queue and index file from its first message to its last.
 */
import type { StoreSurvey } from "../recovery/survey.js";
import { formatBytes, formatCount, formatTime, printable } from "./table.js";

const WIDTH = 1200;
const LEFT = 220;
const RIGHT = 140;
const LOG_TOP = 96;
const LOG_HEIGHT = 44;
const ROW_HEIGHT = 18;
/** Labels of segments need so much room. */
const LABEL_WIDTH = 86;
const LABEL_CHARS_MAX = 28;
const PALETTE = {
  records: "#3b6ea5",
  recordsOdd: "#5588bf",
  unwritten: "#e4e7eb",
  damaged: "#d0021b",
  filled: "#e8a33d",
  hole: "#ffffff",
  index: "#7a8794",
  queue: "#2e8b57",
  text: "#1f2933",
  faint: "#7b8794",
};

export function drawStoreSvg(survey: StoreSurvey, title: string, queueRows: number): string {
  const withMessages = survey.queues.filter(({ endPhyOffset }) => endPhyOffset > 0);
  const queues = [...withMessages]
    .sort((a, b) => b.maxOffset - b.minOffset - (a.maxOffset - a.minOffset))
    .slice(0, queueRows);
  const rows = survey.indexFiles.length + queues.length + (queues.length < withMessages.length ? 1 : 0);
  const height = LOG_TOP + LOG_HEIGHT + 56 + rows * ROW_HEIGHT + 40;
  const x = scaleOf(survey);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(24, 32, title, { size: 18 }),
    text(24, 54, summary(survey), { fill: PALETTE.faint }),
    ...segments(survey, x),
    ...stretches(survey, x),
  ];
  let y = LOG_TOP + LOG_HEIGHT + 50;
  for (const { name, beginPhyOffset, endPhyOffset, entryCount, entryMax } of survey.indexFiles) {
    const fill = `${formatCount(entryCount)} keys, ${Math.round((100 * entryCount) / entryMax)} %`;
    parts.push(...line(x, y, `index ${name}`, beginPhyOffset, endPhyOffset, fill, PALETTE.index));
    y += ROW_HEIGHT;
  }
  for (const { topic, queueId, firstPhyOffset, endPhyOffset, minOffset, maxOffset } of queues) {
    const offsets = `${formatCount(minOffset)} … ${formatCount(maxOffset)}`;
    parts.push(...line(x, y, labelOf(topic, queueId), firstPhyOffset, endPhyOffset, offsets, PALETTE.queue));
    y += ROW_HEIGHT;
  }
  if (queues.length < withMessages.length) {
    parts.push(text(LEFT, y + 4, `and ${withMessages.length - queues.length} more queues`, { fill: PALETTE.faint }));
    y += ROW_HEIGHT;
  }
  parts.push(...legend(survey, y + 14), "</svg>", "");
  return parts.join("\n");
}

function summary(survey: StoreSurvey): string {
  const exact = survey.isCounted ? "" : "about ";
  const times = [survey.firstStoreTimestamp, survey.lastStoreTimestamp].map(formatTime).join(" to ");
  return (
    `${survey.segments.length} ${survey.segments.length === 1 ? "segment" : "segments"} of ${formatBytes(survey.segmentBytes)}, ${exact}${formatCount(survey.recordCount)} records, ` +
    `${times}, ${survey.isAborted ? "not closed" : "closed"}`
  );
}

type Scale = (phyOffset: number) => number;

function scaleOf({ beginOffset, filesEnd }: StoreSurvey): Scale {
  const perPixel = Math.max(1, filesEnd - beginOffset) / (WIDTH - LEFT - RIGHT);
  return (phyOffset) => round(LEFT + Math.min(WIDTH - RIGHT - LEFT, Math.max(0, (phyOffset - beginOffset) / perPixel)));
}

function segments(survey: StoreSurvey, x: Scale): string[] {
  const parts: string[] = [];
  let labelledTo = 0;
  parts.push(text(LEFT - 10, LOG_TOP + LOG_HEIGHT / 2 + 4, "commit log", { anchor: "end" }));
  for (const [i, { base, usedBytes, firstStoreTimestamp, name, recordCount }] of survey.segments.entries()) {
    const left = x(base);
    const right = x(base + survey.segmentBytes);
    const used = x(base + usedBytes);
    const label = `${name}: ${formatCount(recordCount)} records, ${formatTime(firstStoreTimestamp)}`;
    parts.push(`<g><title>${escaped(label)}</title>`);
    parts.push(box(left, LOG_TOP, right - left, LOG_HEIGHT, PALETTE.unwritten));
    parts.push(box(left, LOG_TOP, used - left, LOG_HEIGHT, i % 2 === 0 ? PALETTE.records : PALETTE.recordsOdd));
    parts.push(
      `<path d="M${left} ${LOG_TOP - 6}V${LOG_TOP + LOG_HEIGHT}" stroke="${PALETTE.text}" stroke-width="0.5"/></g>`,
    );
    if (left < labelledTo || left + LABEL_WIDTH > WIDTH - RIGHT / 2) continue;
    const [day = "", time = ""] = formatTime(firstStoreTimestamp).split(" ");
    parts.push(text(left, LOG_TOP - 12, formatCount(base), { size: 10 }));
    parts.push(text(left, LOG_TOP + LOG_HEIGHT + 14, day, { size: 10, fill: PALETTE.faint }));
    parts.push(text(left, LOG_TOP + LOG_HEIGHT + 26, time.slice(0, 8), { size: 10, fill: PALETTE.faint }));
    labelledTo = left + LABEL_WIDTH;
  }
  return parts;
}

/** Damage is drawn wider than it is where it could not be seen else. */
function stretches(survey: StoreSurvey, x: Scale): string[] {
  const drawn = (from: number, to: number, color: string, what: string): string => {
    const width = Math.max(2.5, x(to) - x(from));
    const shape = box(x(from), LOG_TOP, width, LOG_HEIGHT, color);
    return `<g><title>${escaped(`${what}: ${formatCount(from)} to ${formatCount(to)}`)}</title>${shape}</g>`;
  };
  const holes = survey.holes.map(
    ({ from, to }) =>
      drawn(from, to, PALETTE.hole, "missing") +
      `<rect x="${x(from)}" y="${LOG_TOP}" width="${round(x(to) - x(from))}" height="${LOG_HEIGHT}" fill="none" stroke="${PALETTE.damaged}" stroke-dasharray="4 3"/>`,
  );
  const filled = [...survey.filled].map(({ from, to }) => drawn(from, to, PALETTE.filled, "filler"));
  const damaged = [...survey.damaged]
    .filter(({ from, to }) => !survey.holes.some((hole) => hole.from === from && hole.to === to))
    .map(({ from, to }) => drawn(from, to, PALETTE.damaged, "damaged"));
  return [...holes, ...filled, ...damaged];
}

function line(x: Scale, y: number, label: string, from: number, to: number, end: string, color: string): string[] {
  return [
    text(LEFT - 10, y + 4, label, { anchor: "end", size: 11 }),
    `<path d="M${LEFT} ${y}H${WIDTH - RIGHT}" stroke="${PALETTE.unwritten}" stroke-width="1"/>`,
    `<path d="M${x(from)} ${y}H${x(to)}" stroke="${color}" stroke-width="4"/>`,
    `<circle cx="${x(to)}" cy="${y}" r="4" fill="${color}"/>`,
    text(WIDTH - RIGHT + 12, y + 4, end, { size: 10, fill: PALETTE.faint }),
  ];
}

function labelOf(topic: string, queueId: number): string {
  return `${topic.length > LABEL_CHARS_MAX ? `${topic.slice(0, LABEL_CHARS_MAX - 1)}…` : topic} ${queueId}`;
}

function legend(survey: StoreSurvey, y: number): string[] {
  const entries: [string, string][] = [
    [PALETTE.records, "records"],
    [PALETTE.unwritten, "unwritten"],
  ];
  if (survey.isCounted) entries.push([PALETTE.damaged, "damaged"], [PALETTE.filled, "filler"]);
  if (survey.holes.length > 0) entries.push([PALETTE.hole, "missing"]);
  entries.push([PALETTE.index, "index file"], [PALETTE.queue, "queue"]);
  return entries.flatMap(([color, label], i) => [
    `<rect x="${LEFT + i * 110}" y="${y - 9}" width="12" height="10" fill="${color}"${color === PALETTE.hole ? ` stroke="${PALETTE.damaged}"` : ""}/>`,
    text(LEFT + i * 110 + 18, y, label, { size: 11, fill: PALETTE.faint }),
  ]);
}

function box(left: number, top: number, width: number, height: number, color: string): string {
  return `<rect x="${left}" y="${top}" width="${round(Math.max(0, width))}" height="${height}" fill="${color}"/>`;
}

interface TextStyle {
  readonly size?: number;
  readonly fill?: string;
  readonly anchor?: "start" | "end";
}

function text(left: number, baseline: number, content: string, style: TextStyle = {}): string {
  const { size = 12, fill = PALETTE.text, anchor = "start" } = style;
  return `<text x="${left}" y="${baseline}" font-size="${size}" fill="${fill}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

/** Names come from a store that anybody may have written. */
function escaped(content: string): string {
  return printable(content)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
