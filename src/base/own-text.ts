/**
 * A piece cut from a text keeps all of that text in memory for as long as it lives itself: V8 makes no copy of it. So a
 * name that is kept in a table, cut from a body of megabytes, would keep those megabytes.
 */

/** The same text with nothing behind it. Halves of surrogate pairs are not kept. */
export function ownText(piece: string): string {
  return Buffer.from(piece, "utf8").toString("utf8");
}
