/** Ids of connections, one row for all kinds of them: tables of clients are keyed by these. */
let lastConnectionId = 0;

export function nextConnectionId(): number {
  return ++lastConnectionId;
}
