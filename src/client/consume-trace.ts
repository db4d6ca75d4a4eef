/** Traces of what a consumer was given, and of what became of it (client/trace/hook/ConsumeMessageTraceHookImpl.java). */
import { randomUUID } from "node:crypto";
import type { OptionNames } from "../base/option-names.js";
import { PropertyName } from "../record/property-names.js";
import type { ClientInstance } from "./client-instance.js";
import { withoutNamespace } from "./namespace.js";
import { CLIENT_OPTIONS, type ClientOptions } from "./options.js";
import type { ReceivedMessage } from "./received-message.js";
import { senderSettings } from "./sender-settings.js";
import { ConsumeReturnType, consumeBeginTrace, consumeEndTrace } from "./trace.js";
import { type TraceDispatcher, traceDispatcherOf } from "./trace-dispatcher.js";

/** What consumers may be told about their traces. */
export interface ConsumeTraceOptions {
  /** Writes what is consumed into the trace topic (false). */
  readonly enableMsgTrace?: boolean;
  /** Another topic than RMQ_SYS_TRACE_TOPIC for it. */
  readonly traceTopic?: string;
}

/** What every consumer takes. */
export const CONSUMER_OPTIONS: OptionNames<ClientOptions & ConsumeTraceOptions> = {
  ...CLIENT_OPTIONS,
  enableMsgTrace: true,
  traceTopic: true,
};

/** Of `ConsumeReturnType`, and how long it took. */
export type EndTrace = (returnType: number, elapsedMs: number) => void;

export class ConsumeTrace {
  readonly #instance: ClientInstance;
  readonly #group: string;
  readonly #dispatcher: TraceDispatcher;

  private constructor(instance: ClientInstance, group: string, dispatcher: TraceDispatcher) {
    this.#instance = instance;
    this.#group = withoutNamespace(instance.namespace, group);
    this.#dispatcher = dispatcher;
  }

  /** Undefined where nothing is traced. `group` is the whole name. */
  static of(
    instance: ClientInstance,
    options: ClientOptions & ConsumeTraceOptions,
    group: string,
  ): ConsumeTrace | undefined {
    const { namesrvAddr, namespace, enableMsgTrace, traceTopic } = options;
    const named = { ...(namespace !== undefined && { namespace }), ...(traceTopic !== undefined && { traceTopic }) };
    const settings = senderSettings({ namesrvAddr, group, ...named });
    if (enableMsgTrace !== true) return undefined;
    return new ConsumeTrace(instance, group, traceDispatcherOf(instance, settings));
  }

  /** Messages that are given out together; what is returned is told how that ended. */
  begin(messages: readonly ReceivedMessage[]): EndTrace {
    const { clock } = this.#instance;
    const requestId = randomUUID();
    const wanted = messages.filter(({ properties }) => properties.get(PropertyName.TRACE_SWITCH) !== "false");
    for (const message of wanted)
      this.#dispatcher.add(consumeBeginTrace(message, this.#group, requestId, clock.nowMs()));
    return (returnType, elapsedMs) => {
      const end = {
        group: this.#group,
        requestId,
        timestamp: clock.nowMs(),
        costMs: elapsedMs / messages.length,
        success: returnType === ConsumeReturnType.SUCCESS,
        returnType,
      };
      for (const message of wanted) this.#dispatcher.add(consumeEndTrace(message, end));
    };
  }

  /** Sends what waits. Never rejects. */
  close(): Promise<void> {
    return this.#dispatcher.close();
  }
}
