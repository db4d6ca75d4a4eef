/** Codes 60 and 61: how far the timers are, and how many wait for each topic (AdminBrokerProcessor.java). */
import { RequestCode, ResponseCode } from "../../../remoting/codes.js";
import type { Processor } from "../../../remoting/types.js";
import { failure, jsonAnswer } from "../../answer.js";
import type { BrokerContext } from "../context.js";
import { serve } from "../serve.js";

export function registerTimerRequests(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.GET_TIMER_CHECK_POINT, ({ timerMetrics }) => {
    const body = timerMetrics.checkpoint();
    if (body === undefined) return failure(ResponseCode.SYSTEM_ERROR, "The checkpoint is null");
    return { code: ResponseCode.SUCCESS, body };
  });
  serve(processors, context, RequestCode.GET_TIMER_METRICS, ({ timerMetrics, config }) => {
    if (!config.timerWheelEnable) return failure(ResponseCode.SYSTEM_ERROR, "The timer message store is null");
    return jsonAnswer(timerMetrics.toJson());
  });
}
