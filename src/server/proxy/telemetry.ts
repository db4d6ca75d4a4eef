/**
 * The telemetry stream: settings both ways, and what the broker asks of a client (proxy/grpc/v2/client/ClientActivity
 * .java#telemetry, channel/GrpcClientChannel.java). Nobody waits on a client that does not read: what can not be written
 * is dropped, and asked again by whoever asked.
 */
import { Code } from "../../grpc/enums.js";
import type { Settings, Status, TelemetryCommand } from "../../grpc/messages.js";
import type { GrpcStream, StreamListener } from "../../grpc/types.js";
import { decodeRecord } from "../../record/decode.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { toFastjson } from "../../remoting/fastjson.js";
import type { Fields } from "../../remoting/types.js";
import { quoted } from "../answer.js";
import { checkCall } from "./call-access.js";
import { checkBack } from "./check-back.js";
import type { ClientRequests, ProxyClient } from "./client-table.js";
import { mergedSettings } from "./client-settings.js";
import { takeSettings } from "./heartbeat.js";
import { messageOfRecord } from "./message-of-record.js";
import type { ProxyServices, ProxyPeer, RpcContext } from "./proxy.js";
import { OK, ProxyError, statusOf } from "./proxy-error.js";

const PROPERTIES_MAX = 32;
const PROPERTY_NAME = /^[a-zA-Z][a-zA-Z0-9_.-]{0,63}$/;
const PROPERTY_VALUE_CHARS_MAX = 256;
const PROPERTIES_CHARS_MAX = 4096;

export function telemetry(proxy: ProxyServices, context: RpcContext, stream: GrpcStream<ProxyPeer>): StreamListener {
  let client: ProxyClient | undefined;
  return {
    received(message: TelemetryCommand): void {
      if (context.clientId === "") {
        stream.write({ status: statusOf(Code.CLIENT_ID_REQUIRED, "client id cannot be empty") });
        stream.end();
        return;
      }
      try {
        checkCall(proxy.broker.access, "Telemetry", context.call, message);
        if (message.settings != null) {
          client = takeSettingsOf(proxy, context, message.settings);
          client.attach(stream);
          const settings = mergedSettings(proxy.broker, message.settings);
          stream.write({ status: OK, settings } satisfies TelemetryCommand);
        } else {
          takeAnswer(proxy.clients.get(context.clientId), message);
        }
      } catch (error) {
        refuse(proxy, stream, error);
      }
    },
    ended(): void {
      client?.detach(stream);
    },
  };
}

function takeSettingsOf(proxy: ProxyServices, context: RpcContext, settings: Settings): ProxyClient {
  if (settings.publishing == null && settings.subscription == null) {
    throw new ProxyError(Code.BAD_REQUEST, "there is no publishing or subscription data in settings");
  }
  checkClientProperties(settings.clientProperties ?? {});
  return takeSettings(proxy, context, settings);
}

function checkClientProperties(properties: Record<string, string>): void {
  const entries = Object.entries(properties);
  const refuseIf = (wrong: boolean, message: string): void => {
    if (wrong) throw new ProxyError(Code.INVALID_CLIENT_PROPERTIES, message);
  };
  refuseIf(entries.length > PROPERTIES_MAX, `more than ${PROPERTIES_MAX} client properties`);
  let chars = 0;
  for (const [name, value] of entries) {
    refuseIf(!PROPERTY_NAME.test(name), `illegal name of a client property: ${quoted(name)}`);
    refuseIf(value.length > PROPERTY_VALUE_CHARS_MAX, `the client property ${name} is too long`);
    chars += name.length + value.length;
  }
  refuseIf(chars > PROPERTIES_CHARS_MAX, `client properties of more than ${PROPERTIES_CHARS_MAX} characters`);
}

function refuse(proxy: ProxyServices, stream: GrpcStream<ProxyPeer>, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof ProxyError && error.code === Code.UNAUTHORIZED) {
    stream.write({ status: statusOf(error.code, quoted(error.message)) });
    return;
  }
  const details = `process client telemetryCommand failed. ${quoted(text)}`;
  if (error instanceof ProxyError && error.code >= Code.BAD_REQUEST && error.code < Code.INTERNAL_ERROR) {
    stream.fail("INVALID_ARGUMENT", details);
    return;
  }
  proxy.log.warn({ err: error }, "a telemetry command failed");
  stream.fail("INTERNAL", details);
}

function takeAnswer(client: ProxyClient | undefined, command: TelemetryCommand): void {
  const { status, threadStackTrace, verifyMessageResult } = command;
  if (threadStackTrace != null) {
    const answer = stackAnswer(status, threadStackTrace.threadStackTrace ?? "");
    client?.answered(threadStackTrace.nonce, { fields: Object.create(null), ...answer });
  } else if (verifyMessageResult != null) {
    const body = Buffer.from(toFastjson(consumeResult(status)));
    const fields = Object.create(null);
    client?.answered(verifyMessageResult.nonce, { code: ResponseCode.SUCCESS, remark: "", fields, body });
  }
}

function stackAnswer(status: Status | null | undefined, jstack: string) {
  const body = Buffer.alloc(0);
  if (status?.code === Code.OK) {
    const info = { jstack, mqTable: {}, properties: {}, statusTable: {}, subscriptionSet: [], userConsumerInfo: {} };
    return { code: ResponseCode.SUCCESS, remark: "", body: Buffer.from(toFastjson(info)) };
  }
  if (status?.code === Code.VERIFY_FIFO_MESSAGE_UNSUPPORTED) {
    return { code: ResponseCode.NO_PERMISSION, remark: "forbidden to verify message", body };
  }
  return { code: ResponseCode.SYSTEM_ERROR, remark: "verify message failed", body };
}

/** ConsumeMessageDirectlyResult. */
function consumeResult(status: Status | null | undefined) {
  const results: Record<number, string> = {
    [Code.OK]: "CR_SUCCESS",
    [Code.FAILED_TO_CONSUME_MESSAGE]: "CR_LATER",
    [Code.MESSAGE_CORRUPTED]: "CR_RETURN_NULL",
  };
  const consumeResult = results[status?.code ?? 0];
  return { autoCommit: true, consumeResult, order: false, remark: "from gRPC client", spentTimeMills: 0 };
}

/** What the broker's requests to a client become. */
export function clientRequests(proxy: () => ProxyServices): ClientRequests {
  return {
    pushed(client: ProxyClient, code: number, fields: Fields, body: Uint8Array | undefined): void {
      if (code === RequestCode.CHECK_TRANSACTION_STATE) checkBack(proxy(), client, fields, body);
    },
    called(client: ProxyClient, code: number, fields: Fields, body: Uint8Array | undefined, nonce: string): boolean {
      if (code === RequestCode.GET_CONSUMER_RUNNING_INFO) {
        return fields.jstackEnable === "true" || fields.jstackEnable === true
          ? client.write({ printThreadStackTraceCommand: { nonce } })
          : false;
      }
      if (code !== RequestCode.CONSUME_MESSAGE_DIRECTLY || body === undefined) return false;
      const message = messageOfRecord(decodeRecord(Buffer.from(body)));
      return client.write({ verifyMessageCommand: { nonce, message } });
    },
  };
}
