/**
 * A store as a picture in characters: the log from left to right, what of it is records, blank, damaged or missing, and
 * below it how far each queue and index file reaches. One column stands for an equal stretch of the log.
 */
import type { StoreSurvey } from "../recovery/survey.js";
import { formatBytes, formatCount, printable } from "./table.js";

const LABEL_COLUMNS = 26;
const COLUMNS_MIN = 20;
const RECORDS = "█";
const UNWRITTEN = "░";
const DAMAGED = "╳";
const FILLED = "▒";
const MISSING = " ";

/** `queueRows` is how many queues are drawn, those with most messages first. */
export function drawStore(survey: StoreSurvey, columns: number, queueRows: number): string {
  const scale = new Scale(survey.beginOffset, survey.filesEnd, Math.max(COLUMNS_MIN, columns - LABEL_COLUMNS));
  if (survey.segments.length === 0) return "no segments";
  const end = formatCount(survey.filesEnd);
  const begin = formatCount(survey.beginOffset);
  const between = ` ${survey.segments.length} segments of ${formatBytes(survey.segmentBytes)} `;
  const ruler = Math.max(0, Math.floor((scale.columns - begin.length - end.length - between.length) / 2) - 1);
  const lines = [
    row(
      "log offset",
      `${`${begin} ${"─".repeat(ruler)}${between}`.padEnd(scale.columns - end.length - 1, "─")} ${end}`,
    ),
    row("segments", segmentMarks(survey, scale)),
    row("records", recordCells(survey, scale)),
  ];
  for (const { name, beginPhyOffset, endPhyOffset } of survey.indexFiles) {
    lines.push(row(`index ${name}`, span(scale, beginPhyOffset, endPhyOffset, "─")));
  }
  const withMessages = survey.queues.filter(({ endPhyOffset }) => endPhyOffset > 0);
  const drawn = [...withMessages]
    .sort((a, b) => b.maxOffset - b.minOffset - (a.maxOffset - a.minOffset))
    .slice(0, queueRows);
  for (const { topic, queueId, firstPhyOffset, endPhyOffset } of drawn) {
    lines.push(row(queueLabel(topic, queueId), span(scale, firstPhyOffset, endPhyOffset, "━")));
  }
  if (drawn.length < withMessages.length) lines.push(row("", `and ${withMessages.length - drawn.length} more queues`));
  lines.push(row("", legend(survey)));
  return lines.join("\n");
}

/** A long topic is shortened, not its queue's number. */
function queueLabel(topic: string, queueId: number): string {
  const room = LABEL_COLUMNS - 3 - String(queueId).length;
  const name = printable(topic);
  return `${name.length > room ? `${name.slice(0, room - 1)}…` : name} ${queueId}`;
}

function row(label: string, cells: string): string {
  const text = printable(label);
  const short = text.length > LABEL_COLUMNS - 2 ? `${text.slice(0, LABEL_COLUMNS - 3)}…` : text;
  return `${short.padEnd(LABEL_COLUMNS)}${cells}`.trimEnd();
}

class Scale {
  readonly columns: number;
  readonly #begin: number;
  readonly #perColumn: number;

  constructor(begin: number, end: number, columns: number) {
    this.#begin = begin;
    this.columns = columns;
    this.#perColumn = Math.max(1, (end - begin) / columns);
  }

  columnOf(phyOffset: number): number {
    return Math.min(this.columns - 1, Math.max(0, Math.floor((phyOffset - this.#begin) / this.#perColumn)));
  }

  offsetOf(column: number): number {
    return this.#begin + column * this.#perColumn;
  }
}

/** A mark where a segment begins, as long as they can be told apart. */
function segmentMarks(survey: StoreSurvey, scale: Scale): string {
  const cells = new Array<string>(scale.columns).fill("─");
  if (survey.segments.length > scale.columns / 2) return "─".repeat(scale.columns);
  for (const { base } of survey.segments) cells[scale.columnOf(base)] = "┬";
  return cells.join("");
}

function recordCells(survey: StoreSurvey, scale: Scale): string {
  const cells: string[] = [];
  for (let i = 0; i < scale.columns; i++) cells.push(scale.offsetOf(i) < survey.endOffset ? RECORDS : UNWRITTEN);
  const paint = (from: number, to: number, cell: string): void => {
    for (let i = scale.columnOf(from); i <= scale.columnOf(Math.max(from, to - 1)); i++) cells[i] = cell;
  };
  for (const { from, to } of survey.holes) paint(from, to, MISSING);
  for (const { from, to } of survey.filled) paint(from, to, FILLED);
  for (const { from, to } of survey.damaged) {
    if (!survey.holes.some((hole) => hole.from === from && hole.to === to)) paint(from, to, DAMAGED);
  }
  return cells.join("");
}

function span(scale: Scale, from: number, to: number, line: string): string {
  const first = scale.columnOf(from);
  const last = scale.columnOf(Math.max(from, to - 1));
  const inside = line.repeat(Math.max(0, last - first - 1));
  return " ".repeat(first) + (first === last ? "●" : `├${inside}●`);
}

function legend(survey: StoreSurvey): string {
  const damage = survey.isCounted ? `  ${DAMAGED} damaged  ${FILLED} filler` : "  (damage is drawn with --count)";
  return `${RECORDS} records  ${UNWRITTEN} unwritten${damage}`;
}
