/** What the connections of a server have in common, and whom each of them tells what happens. */
import type { Clock } from "../base/clock.js";
import type { BufferPool } from "../remoting/buffer-pool.js";
import type { OutputBudget } from "../remoting/output-budget.js";
import type { ReceiveBuffer } from "../remoting/receive-buffer.js";
import type { Turns } from "../remoting/turns.js";
import type { ErrorCode } from "./frames.js";
import type { Stream } from "./stream.js";

export interface ConnectionSettings {
  readonly clock: Clock;
  readonly pool: BufferPool;
  readonly turns: Turns;
  /** Shared by plain connections; undefined for one that reads into buffers of its own. */
  readonly receiveBuffer: ReceiveBuffer | undefined;
  readonly streamsMax: number;
  /** Shared by the connections of a server. */
  readonly outputBudget?: OutputBudget | undefined;
  /** Called before anything is sent: what it tells has to be so by then. When it is false the connection is cut instead. */
  readonly beforeSend?: (() => boolean) | undefined;
  /** A request's headers are there. */
  readonly onStream: (stream: Stream) => void;
  /** The peer did what is no HTTP/2, or too much of it. */
  readonly onFault: (code: ErrorCode, reason: string) => void;
  /** The budget for output is spent, and this is one of those that do not read; it is cut off. */
  readonly onUnread?: (() => void) | undefined;
  readonly onClosed: () => void;
}
