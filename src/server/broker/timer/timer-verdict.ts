/** What a broker makes of a message that names a time (broker/util/HookUtils.java#transformTimerMessage). */
import { PropertyName } from "../../../record/property-names.js";
import { ResponseCode } from "../../../remoting/codes.js";
import type { BrokerConfig } from "../broker-options.js";
import { askedTime, outMsOf } from "./timer-properties.js";

const QUOTED_CHARS_MAX = 64;

/** "now": it names no time, or one that is over, and goes where it was sent. */
export type TimerVerdict =
  | { readonly kind: "now" }
  | WaitVerdict
  | { readonly kind: "refused"; readonly code: number; readonly remark: string };

/** It waits: filed under `outMs`, for what it asked for, which is so long from when it is stored or a time. */
export interface WaitVerdict {
  readonly kind: "wait";
  readonly outMs: number;
  readonly askedMs: number;
  readonly relative: boolean;
  /** When that was decided. */
  readonly nowMs: number;
}

const NOW: TimerVerdict = { kind: "now" };

type TimerConfig = Pick<BrokerConfig, "timerMaxDelaySec" | "timerPrecisionMs" | "timerCongestNumEachSlot">;

/** The properties of a message, whatever form they have. */
export interface PropertyText {
  text(name: string): string | undefined;
  /** The value as a Java long; NaN for what is none. */
  javaLong(name: string): number | undefined;
}

/** `timers` are undefined in a broker that has none. */
export function judgeTimer(
  properties: PropertyText,
  config: TimerConfig,
  nowMs: number,
  timers: { countAt(outMs: number): number } | undefined,
): TimerVerdict {
  // One that has been through the timers is not sent through them again.
  if (properties.text(PropertyName.TIMER_OUT_MS) !== undefined) return NOW;
  const asked = askedTime(properties);
  if (asked === undefined) return NOW;
  if (timers === undefined) {
    const remark = "accurate timer message is not enabled, timerWheelEnable is false";
    return { kind: "refused", code: ResponseCode.SYSTEM_ERROR, remark };
  }
  if (Number.isNaN(asked.ms)) return illegal(properties, asked.name, ", which is no integer of 64 bits");
  const dueMs = asked.relative ? nowMs + asked.ms : asked.ms;
  if (dueMs <= nowMs) {
    const isRecall = properties.text(PropertyName.TIMER_DEL_UNIQKEY) !== undefined;
    return isRecall ? illegal(properties, asked.name, ": a recall has to be ahead of its message's time") : NOW;
  }
  const maxDelayMs = config.timerMaxDelaySec * 1000;
  if (dueMs - nowMs > maxDelayMs) {
    return illegal(properties, asked.name, `: the delay time should not be bigger than the max delay ${maxDelayMs}ms`);
  }
  const outMs = outMsOf(dueMs, config.timerPrecisionMs);
  const limit = config.timerCongestNumEachSlot;
  const count = timers.countAt(outMs);
  if (count > limit) {
    const remark = `timer message is under flow control: ${count} messages wait for the same moment, timerCongestNumEachSlot is ${limit}`;
    return { kind: "refused", code: ResponseCode.SYSTEM_ERROR, remark };
  }
  return { kind: "wait", outMs, askedMs: asked.ms, relative: asked.relative, nowMs };
}

/**
 * Why a message of a transaction, which names a time or a delay level, is not taken; undefined where its time is over.
 * Apache takes one that is to wait, and then neither delivers it nor can end it.
 */
export function refuseHalf(
  properties: PropertyText & { readonly delayLevel: number },
  config: TimerConfig,
  nowMs: number,
  timers: { countAt(outMs: number): number } | undefined,
): { readonly code: number; readonly remark: string } | undefined {
  const verdict = judgeTimer(properties, config, nowMs, timers);
  if (verdict.kind === "refused") return verdict;
  if (properties.delayLevel <= 0 && verdict.kind !== "wait") return undefined;
  return { code: ResponseCode.MESSAGE_ILLEGAL, remark: "a message of a transaction can not be delayed" };
}

function illegal(properties: PropertyText, name: string, why: string): TimerVerdict {
  const given = `the property ${name} is ${JSON.stringify(properties.text(name)?.slice(0, QUOTED_CHARS_MAX))}`;
  return { kind: "refused", code: ResponseCode.MESSAGE_ILLEGAL, remark: `timer message illegal, ${given}${why}` };
}
