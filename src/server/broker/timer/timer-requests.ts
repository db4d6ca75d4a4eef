/**
 * Codes 60, 61 and 5001: how far the timers are, how many wait for each topic, and which engine they run on, of which
 * there is one, the wheel (AdminBrokerProcessor.java).
 */
import { RequestCode, ResponseCode } from "../../../remoting/codes.js";
import type { Processor } from "../../../remoting/types.js";
import { failure, jsonAnswer } from "../../answer.js";
import type { BrokerContext } from "../context.js";
import { serve } from "../serve.js";

const TIMER_ENGINE_TYPE = "E_T";
const FILE_TIME_WHEEL = "F";
const ROCKSDB_TIMELINE = "R";

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
  serve(processors, context, RequestCode.SWITCH_TIMER_ENGINE, ({ config }, { header }) => {
    if (!config.timerWheelEnable) return failure(ResponseCode.INVALID_PARAMETER, "broker timerWheelEnable is false");
    const engine = header.text(TIMER_ENGINE_TYPE);
    if (engine === FILE_TIME_WHEEL) return { code: ResponseCode.SUCCESS, remark: "switch timer engine success" };
    const remark = engine === ROCKSDB_TIMELINE ? "timers on RocksDB are not there" : "param error, E_T is R or F";
    return failure(ResponseCode.INVALID_PARAMETER, remark);
  });
}
