/** Puts a handler of the broker's into the table of processors. */
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, processorOf } from "../answer.js";
import type { BrokerContext } from "./context.js";

export type BrokerHandler = (context: BrokerContext, request: Request, connection: Connection) => Answer;

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
