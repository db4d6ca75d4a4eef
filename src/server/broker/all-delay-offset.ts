/** Code 45: how far the delay levels are delivered, as `delayOffset.json` has it (AdminBrokerProcessor#getAllDelayOffset). */
import { RequestCode } from "../../remoting/codes.js";
import type { Processor } from "../../remoting/types.js";
import { jsonAnswer } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";

export function registerAllDelayOffset(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.GET_ALL_DELAY_OFFSET, ({ delayOffsets }) => jsonAnswer(delayOffsets.toJson()));
}
