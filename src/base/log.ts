/** What CometMQ needs of a logger; pino and console fit. */
export interface Logger {
  /** What only somebody who looks for a fault wants to read. */
  debug(fields: object, message: string): void;
  /** What an operator wants to know once: a start, a recovery, a change. */
  info(fields: object, message: string): void;
  /** What somebody should look at; everything goes on. */
  warn(fields: object, message: string): void;
  /** What was lost or has ended. */
  error(fields: object, message: string): void;
}

const nothing = () => {};

/** The default of a library: says nothing. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
