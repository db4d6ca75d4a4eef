/** How a producer is set up. */
import type { OptionNames } from "../base/option-names.js";
import { shown } from "../base/given-values.js";
import { positive, yesOrNo } from "./arguments.js";
import { configError } from "./errors.js";
import type { Compression, SenderSettings } from "./message-sender.js";
import { CLIENT_OPTIONS, type ClientOptions, checkGroup, checkTopic } from "./options.js";

/** DefaultMQProducer's names and defaults. */
export interface ProducerOptions extends ClientOptions {
  /** By it a broker finds somebody to ask about a transaction. */
  readonly group?: string;
  /** For a send with all its retries (3 s). */
  readonly sendMsgTimeout?: number;
  /** For each attempt; as long as a send by default, so a broker that hangs is not followed by another. */
  readonly sendMsgMaxTimeoutPerRequest?: number;
  /** Further attempts, at other brokers where there are any (2). */
  readonly retryTimesWhenSendFailed?: number;
  /** Tries another broker also where one has stored a message, but not as safely as configured (false). */
  readonly retryAnotherBrokerWhenNotStoreOK?: boolean;
  /** Of bodies from `compressMsgBodyOverHowmuch` bytes on (zlib). */
  readonly compression?: Compression;
  /** 4096. Infinity: never. */
  readonly compressMsgBodyOverHowmuch?: number;
  /** The codec's own scale; its default without it. */
  readonly compressLevel?: number;
  /** Larger bodies are refused (4 MiB). */
  readonly maxMessageSize?: number;
  /** Spares brokers that were slow or failed for a while (true). */
  readonly sendLatencyFaultEnable?: boolean;
  /** One attempt, and no wait while too much is on its way: what fails is told at once (false). */
  readonly failFast?: boolean;
  /** Sends on their way at once; further ones wait for their turn, within their time (10,000). */
  readonly backPressureForAsyncSendNum?: number;
  /** Bytes of bodies on their way at once (100 MiB). */
  readonly backPressureForAsyncSendSize?: number;
  /** Writes what was sent into the trace topic (false). */
  readonly enableMsgTrace?: boolean;
  /** Another topic than RMQ_SYS_TRACE_TOPIC for it. */
  readonly traceTopic?: string;
}

export const PRODUCER_OPTIONS: OptionNames<ProducerOptions> = {
  ...CLIENT_OPTIONS,
  group: true,
  sendMsgTimeout: true,
  sendMsgMaxTimeoutPerRequest: true,
  retryTimesWhenSendFailed: true,
  retryAnotherBrokerWhenNotStoreOK: true,
  compression: true,
  compressMsgBodyOverHowmuch: true,
  compressLevel: true,
  maxMessageSize: true,
  sendLatencyFaultEnable: true,
  failFast: true,
  backPressureForAsyncSendNum: true,
  backPressureForAsyncSendSize: true,
  enableMsgTrace: true,
  traceTopic: true,
};

const DEFAULT_GROUP = "DEFAULT_PRODUCER";
const MAX_MESSAGE_SIZE = 4 * 1024 * 1024;

export interface ProducerSettings extends SenderSettings {
  readonly enableMsgTrace: boolean;
  readonly traceTopic: string | undefined;
}

export function senderSettings(options: ProducerOptions): ProducerSettings {
  const { compression = "zlib", compressMsgBodyOverHowmuch = 4096, compressLevel } = options;
  if (!["lz4", "zstd", "zlib"].includes(compression))
    throw configError(`compression is ${shown(compression)}, not lz4, zstd or zlib.`);
  // Infinity is a size, too: of bodies that are never compressed.
  if (typeof compressMsgBodyOverHowmuch !== "number" || Number.isNaN(compressMsgBodyOverHowmuch))
    throw configError(`compressMsgBodyOverHowmuch is ${shown(compressMsgBodyOverHowmuch)}, no number.`);
  if (compressLevel !== undefined && !Number.isInteger(compressLevel))
    throw configError(`compressLevel is ${shown(compressLevel)}, no integer.`);
  const perRequest = options.sendMsgMaxTimeoutPerRequest;
  return {
    producerGroup: checkGroup(options.group ?? DEFAULT_GROUP, options),
    sendMsgTimeout: positive("sendMsgTimeout", options.sendMsgTimeout, 3000),
    sendMsgMaxTimeoutPerRequest: perRequest && positive("sendMsgMaxTimeoutPerRequest", perRequest, 1),
    retryTimesWhenSendFailed: positive("retryTimesWhenSendFailed", options.retryTimesWhenSendFailed, 2, 0),
    retryAnotherBrokerWhenNotStoreOK: yesOrNo(
      "retryAnotherBrokerWhenNotStoreOK",
      options.retryAnotherBrokerWhenNotStoreOK,
      false,
    ),
    compression,
    compressMsgBodyOverHowmuch,
    compressLevel,
    maxMessageSize: positive("maxMessageSize", options.maxMessageSize, MAX_MESSAGE_SIZE),
    failFast: yesOrNo("failFast", options.failFast, false),
    backPressureForAsyncSendNum: positive("backPressureForAsyncSendNum", options.backPressureForAsyncSendNum, 10_000),
    backPressureForAsyncSendSize: positive(
      "backPressureForAsyncSendSize",
      options.backPressureForAsyncSendSize,
      100 * 1024 * 1024,
    ),
    sendLatencyFaultEnable: yesOrNo("sendLatencyFaultEnable", options.sendLatencyFaultEnable, true),
    enableMsgTrace: yesOrNo("enableMsgTrace", options.enableMsgTrace, false),
    traceTopic: options.traceTopic === undefined ? undefined : checkTopic(options.traceTopic, options),
  };
}
