/** Puts a handler of the broker's into the table of processors. */
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, processorOf } from "../answer.js";
import type { BrokerContext } from "./context.js";

/** What one that answers late needs of the request it takes before it first waits: the request is gone after that. */
export type BrokerHandler = (
  context: BrokerContext,
  request: Request,
  connection: Connection,
) => Answer | Promise<Answer>;

/** Of one kind; each holds some memory while it waits for a client, up to ten seconds. */
const LATE_MAX = 256;

export function serve(
  processors: Map<number, Processor>,
  context: BrokerContext,
  code: number,
  handler: BrokerHandler,
): void {
  processors.set(
    code,
    processorOf((request, connection) => handler(context, request, connection), context.log),
  );
}

/** For answers that somebody else has to be asked for, or that take long to put together. */
export function serveLate(
  processors: Map<number, Processor>,
  context: BrokerContext,
  code: number,
  handler: BrokerHandler,
): void {
  const late = (request: Request, connection: Connection) => handler(context, request, connection);
  processors.set(code, processorOf(late, context.log, LATE_MAX));
}
