export interface Tally {
  readonly errors: number;
  readonly messages: number;
}

/** Opaque to whoever hands it on. */
export interface Source {
  readonly prepare: (window: number) => Buffer;
}

export function sendSource(
  options: {
    topic: string;
    brokerName: string;
    bodyBytes: number;
    messageCount: number;
    properties?: Record<string, string>;
    sysFlag?: number;
  },
  firstQueue: number,
  tally: Tally,
): Source;
