/** Puts a handler of the broker's into the table of processors. */
import type { Clock } from "../../base/clock.js";
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
/** How long a message that was acknowledged just before may take to be in its queue. */
const SETTLED_MS_MAX = 1000;

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

/**
 * For questions about what queues hold: what was acknowledged before they came is in their answers. The handler reads the
 * request; the function that it returns answers, once dispatch has got so far.
 */
export function serveSettled(
  processors: Map<number, Processor>,
  context: BrokerContext,
  code: number,
  handler: (context: BrokerContext, request: Request) => () => Answer | Promise<Answer>,
): void {
  serve(processors, context, code, (_, request) => {
    const answer = handler(context, request);
    const settling = settled(context);
    return settling === undefined ? answer() : settling.then(answer);
  });
}

/** What was acknowledged before is in its queues then; undefined when it is now. */
export function settled({ clock, store }: BrokerContext): Promise<void> | undefined {
  const settling = store.settled();
  return settling === undefined ? undefined : atMost(clock, SETTLED_MS_MAX, settling);
}

/** A store that is behind for long, or for good, answers with what it has. */
export function atMost(clock: Clock, timeoutMs: number, waiting: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.schedule(timeoutMs, resolve);
    const done = () => {
      timer.cancel();
      resolve();
    };
    waiting.then(done, done);
  });
}
