/** A client as one of its connections shows it (broker/client/ClientChannelInfo.java). */
import type { Connection } from "../../remoting/types.js";

export interface ClientIdentity {
  readonly connection: Connection;
  readonly clientId: string;
  /** Numeric LanguageCode. */
  readonly language: number;
  readonly version: number;
}

export interface ClientChannel extends ClientIdentity {
  /** Wall time of the last heartbeat, to be shown. */
  lastUpdateTimestamp: number;
  /** The same on the monotonic clock, which decides when it has expired. */
  lastSeenMs: number;
}
