import type { Source, Tally } from "./sources.mjs";

export function runRequests(
  loop: {
    broker: string;
    connections: number;
    window: number;
    sourceOf: (connectionIndex: number, tally: Tally) => Source;
  },
  requestsMax: number,
  timeoutMs: number,
): Promise<Tally>;
