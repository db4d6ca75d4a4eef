/**
 * The properties that a broker of CometMQ goes by, under Apache's names: type, bounds, default, and whether the running
 * broker takes a new value (code 25). Defaults are Apache's, but it listens on loopback unless told otherwise, and has a
 * topic for traces.
 */
import { homedir, hostname } from "node:os";
import { isSafeName } from "./names.js";
import { PRECISIONS_MS } from "./timer/timer-wheel.js";

export interface Option<T extends string | number | boolean> {
  readonly initial: T;
  /** Whether a running broker takes a new value. */
  readonly runtime: boolean;
  /** Completes the sentence "expected …". */
  readonly expects: string;
  /** Not told to anybody (code 26). */
  readonly secret?: boolean;
  /** Undefined when `text` is no such value. */
  readonly parse: (text: string) => T | undefined;
}

const RUNTIME = true;
const INT_MAX = 2147483647;

function flag(initial: boolean, runtime = false): Option<boolean> {
  const parse = (text: string) => {
    const lower = text.toLowerCase();
    return lower === "true" ? true : lower === "false" ? false : undefined;
  };
  return { initial, runtime, expects: "true or false", parse };
}

function integer(initial: number, min: number, max: number, runtime = false): Option<number> {
  const parse = (text: string) => {
    if (!/^[+-]?\d{1,16}$/.test(text)) return undefined;
    const value = Number(text);
    return value >= min && value <= max ? value : undefined;
  };
  return { initial, runtime, expects: `an integer from ${min} to ${max}`, parse };
}

function text(
  initial: string,
  runtime = false,
  pattern = /^[^\p{Cc}]*$/u,
  expects = "text in one line",
): Option<string> {
  return { initial, runtime, expects, parse: (given) => (pattern.test(given) ? given : undefined) };
}

/** The steps that Apache has, the next smaller one for what lies between. */
function precision(initial: number): Option<number> {
  const { parse } = integer(initial, 1, INT_MAX);
  const step = (given: string) => {
    const ms = parse(given);
    return ms === undefined ? undefined : (PRECISIONS_MS.findLast((candidate) => candidate <= ms) ?? PRECISIONS_MS[0]);
  };
  return { initial, runtime: false, expects: "100, 200, 500 or 1000", parse: step };
}

function secret(): Option<string> {
  return { ...text(""), secret: true };
}

function oneOf<const T extends string>(initial: T, ...others: T[]): Option<T> {
  const values = [initial, ...others];
  return { initial, runtime: false, expects: values.join(" or "), parse: (given) => values.find((v) => v === given) };
}

/** A name that becomes a topic's, hence a directory's, with up to 27 characters before it. */
function topicPart(initial: string): Option<string> {
  const parse = (given: string) => (isSafeName(given) && given.length <= 200 ? given : undefined);
  return { initial, runtime: false, expects: "up to 200 of the characters % | a-z A-Z 0-9 _ - . +", parse };
}

function hostTopicPart(): Option<string> {
  const name = hostname();
  return topicPart(isSafeName(name) && name.length <= 200 ? name : "DEFAULT_BROKER");
}

const HOURS = /^([01]?\d|2[0-3])(;([01]?\d|2[0-3]))*$/;
const LEVELS = /^\d+[smhd]( \d+[smhd])*$/;

export const OPTIONS = {
  // Who this broker is and where
  brokerName: hostTopicPart(),
  brokerClusterName: topicPart("DefaultCluster"),
  brokerId: integer(0, 0, Number.MAX_SAFE_INTEGER),
  /** Empty: each client is told the address it came by. */
  brokerIP1: text(""),
  /** Where slaves would find the log; empty: at the address above. */
  brokerIP2: text(""),
  bindAddress: text("127.0.0.1"),
  listenPort: integer(10911, 0, 65535),
  namesrvAddr: text(""),
  brokerPermission: integer(6, 0, 7, RUNTIME),
  storePathRootDir: text(`${homedir()}/store`),
  /** Empty: `commitlog` under storePathRootDir. */
  storePathCommitLog: text(""),
  configBlackList: text("configBlackList;brokerConfigPath"),

  // Topics
  defaultTopicQueueNums: integer(8, 1, 4096, RUNTIME),
  autoCreateTopicEnable: flag(true, RUNTIME),
  clusterTopicEnable: flag(true),
  brokerTopicEnable: flag(true),
  /** On, unlike Apache's: without the topic a short-lived client that traces loses what it traced. */
  traceTopicEnable: flag(true),
  msgTraceTopicName: topicPart("RMQ_SYS_TRACE_TOPIC"),
  reviveQueueNum: integer(8, 1, 4096),
  validateSystemTopicWhenUpdateTopic: flag(true, RUNTIME),
  enableMixedMessageType: flag(false, RUNTIME),
  clearRetryTopicWhenDeleteTopic: flag(true, RUNTIME),
  enableSplitMetadata: flag(true, RUNTIME),
  splitMetadataSize: integer(2000, 1, INT_MAX, RUNTIME),

  // Groups, clients, offsets
  autoCreateSubscriptionGroup: flag(true, RUNTIME),
  enableCreateSysGroup: flag(true, RUNTIME),
  notifyConsumerIdsChangedEnable: flag(true, RUNTIME),
  rejectPullConsumerEnable: flag(false, RUNTIME),
  rejectTransactionMessage: flag(false, RUNTIME),
  storeReplyMessageEnable: flag(true, RUNTIME),
  transactionTimeOut: integer(6000, 0, INT_MAX, RUNTIME),
  transactionCheckMax: integer(15, 1, INT_MAX, RUNTIME),
  transactionCheckInterval: integer(30_000, 10, INT_MAX, RUNTIME),
  transactionOpMsgMaxSize: integer(4096, 1, 1048576, RUNTIME),
  enableRegisterProducer: flag(true, RUNTIME),
  /** Apache's default is false. Who has it so there has no consumer that would notice. */
  enablePropertyFilter: flag(true, RUNTIME),
  filterDataCleanTimeSpan: integer(24 * 3_600_000, 0, INT_MAX, RUNTIME),
  channelExpiredTimeout: integer(120_000, 1000, INT_MAX, RUNTIME),
  subscriptionExpiredTimeout: integer(600_000, 1000, INT_MAX, RUNTIME),
  flushConsumerOffsetInterval: integer(5000, 10, INT_MAX, RUNTIME),
  consumerOffsetUpdateVersionStep: integer(500, 1, INT_MAX, RUNTIME),
  useServerSideResetOffset: flag(true, RUNTIME),
  flushDelayOffsetInterval: integer(10_000, 10, INT_MAX, RUNTIME),
  delayOffsetUpdateVersionStep: integer(200, 1, INT_MAX, RUNTIME),

  // Send and pull
  maxMessageSize: integer(4194304, 1, 1073741824, RUNTIME),
  regionId: text("DefaultRegion"),
  traceOn: flag(true, RUNTIME),
  startAcceptSendRequestTimeStamp: integer(0, 0, Number.MAX_SAFE_INTEGER),
  longPollingEnable: flag(true, RUNTIME),
  shortPollingTimeMills: integer(1000, 1, INT_MAX, RUNTIME),
  litePullMessageEnable: flag(true, RUNTIME),
  maxTransferBytesOnMessageInMemory: integer(262144, 1, INT_MAX, RUNTIME),
  maxTransferCountOnMessageInMemory: integer(32, 1, INT_MAX, RUNTIME),
  maxFilterMessageSize: integer(16000, 20, INT_MAX, RUNTIME),
  accessMessageInMemoryMaxRatio: integer(40, 1, 100, RUNTIME),
  defaultQueryMaxNum: integer(32, 1, 1024, RUNTIME),
  /** Requests that have waited too long are answered SYSTEM_BUSY. */
  brokerFastFailureEnable: flag(true, RUNTIME),
  waitTimeMillsInSendQueue: integer(200, 1, INT_MAX, RUNTIME),
  waitTimeMillsInPullQueue: integer(5000, 1, INT_MAX, RUNTIME),
  waitTimeMillsInLitePullQueue: integer(5000, 1, INT_MAX, RUNTIME),
  waitTimeMillsInHeartbeatQueue: integer(31_000, 1, INT_MAX, RUNTIME),
  waitTimeMillsInTransactionQueue: integer(3000, 1, INT_MAX, RUNTIME),
  waitTimeMillsInAckQueue: integer(3000, 1, INT_MAX, RUNTIME),
  /** Sends that wait to be handled or to be on the disk; more are answered SYSTEM_BUSY. */
  sendThreadPoolQueueCapacity: integer(10_000, 1, INT_MAX, RUNTIME),
  serverChannelMaxIdleTimeSeconds: integer(120, 0, INT_MAX),

  // Pop
  popPollingSize: integer(1024, 1, INT_MAX, RUNTIME),
  maxPopPollingSize: integer(100_000, 1, INT_MAX, RUNTIME),
  enableRetryTopicV2: flag(false, RUNTIME),
  retrieveMessageFromPopRetryTopicV1: flag(true, RUNTIME),
  useSeparateRetryQueue: flag(false, RUNTIME),
  popResponseReturnActualRetryTopic: flag(false, RUNTIME),
  popFromRetryProbability: integer(20, 0, 100, RUNTIME),
  popFromRetryProbabilityForPriority: integer(0, 0, 100, RUNTIME),
  priorityOrderAsc: flag(true, RUNTIME),
  initPopOffsetByCheckMsgInMem: flag(true, RUNTIME),
  enablePopMessageThreshold: flag(false, RUNTIME),
  popInflightMessageThreshold: integer(10_000, 1, INT_MAX, RUNTIME),
  serverLoadBalancerEnable: flag(true, RUNTIME),
  defaultMessageRequestMode: oneOf<"PULL" | "POP">("PULL", "POP"),
  defaultPopShareQueueNum: integer(-1, -1, INT_MAX, RUNTIME),

  // Timers and their recall
  timerWheelEnable: flag(true),
  timerPrecisionMs: precision(1000),
  /** Apache's is 259200, three days: here as far as the property goes, 68 years. */
  timerMaxDelaySec: integer(INT_MAX, 0, INT_MAX, RUNTIME),
  timerRollWindowSlot: integer(172_800, 0, INT_MAX),
  timerFlushIntervalMs: integer(1000, 1, INT_MAX, RUNTIME),
  timerCongestNumEachSlot: integer(INT_MAX, 0, INT_MAX, RUNTIME),
  mappedFileSizeTimerLog: integer(104857600, 4096, INT_MAX),
  recallMessageEnable: flag(false, RUNTIME),
  allowRecallWhenBrokerNotWriteable: flag(true, RUNTIME),
  appendTopicForTimerDeleteKey: flag(false, RUNTIME),

  // Name servers
  registerNameServerPeriod: integer(30_000, 10, INT_MAX),
  registerBrokerTimeoutMills: integer(24_000, 10, INT_MAX),
  compressedRegister: flag(false),
  /** Off, a registration is split all the same where it would not fit into a frame. */
  enableSplitRegistration: flag(false, RUNTIME),
  splitRegistrationSize: integer(800, 1, 10_000, RUNTIME),

  // TLS, by the names of Apache's tls.properties and system properties
  "tls.server.mode": oneOf<"permissive" | "disabled" | "enforcing">("permissive", "disabled", "enforcing"),
  /** Only for a loopback port without a certificate. */
  "tls.test.mode.enable": flag(true),
  "tls.server.keyPath": text(""),
  "tls.server.keyPassword": secret(),
  "tls.server.certPath": text(""),
  "tls.server.trustCertPath": text(""),
  "tls.server.need.client.auth": oneOf<"none" | "optional" | "require">("none", "optional", "require"),
  "tls.server.authClient": flag(false),
  "tls.ciphers": text(""),
  "tls.protocols": text(""),
  /** Speaks TLS with name servers; also without it where `tls.server.mode` is enforcing. */
  "tls.enable": flag(false),
  useTLS: flag(false),
  "tls.client.keyPath": text(""),
  "tls.client.keyPassword": secret(),
  "tls.client.certPath": text(""),
  "tls.client.trustCertPath": text(""),
  "tls.client.authServer": flag(false),

  // Access control, by the names of Apache's AuthConfig, and 4.x's aclEnable
  authenticationEnabled: flag(false),
  authorizationEnabled: flag(false),
  /** Accounts and permissions are those of plain_acl.yml, which lies beside the configuration file. */
  aclEnable: flag(false),
  migrateAuthFromV1Enabled: flag(false),
  /** Empty: `config` under storePathRootDir. */
  authConfigPath: text(""),
  /** {"username":"…","password":"…"}: a super user from the start. */
  initAuthenticationUser: secret(),
  /** {"accessKey":"…","secretKey":"…"}: who this broker is to name servers. */
  innerClientAuthenticationCredentials: secret(),
  /** Request codes, or full names of gRPC messages, between commas. */
  authenticationWhitelist: text(""),
  authorizationWhitelist: text(""),
  authenticationMetadataProvider: text(""),
  authorizationMetadataProvider: text(""),
  /** Codes that a name server with access control answers to anybody: routes, which Apache's tells everybody too. */
  namesrvAuthenticationWhitelist: text("105,106"),
  proxyProtocolTrustedAddresses: text(""),

  // Store
  mappedFileSizeCommitLog: integer(1073741824, 4096, INT_MAX),
  mappedFileSizeConsumeQueue: integer(6000000, 20, INT_MAX),
  maxHashSlotNum: integer(5000000, 1, 100_000_000),
  maxIndexNum: integer(20000000, 2, 100_000_000),
  messageIndexEnable: flag(true),
  flushDiskType: oneOf<"ASYNC_FLUSH" | "SYNC_FLUSH">("ASYNC_FLUSH", "SYNC_FLUSH"),
  flushIntervalCommitLog: integer(500, 1, INT_MAX),
  warmMapedFileEnable: flag(false),
  syncFlushTimeout: integer(5000, 1, INT_MAX, RUNTIME),
  messageDelayLevel: text(
    "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h",
    false,
    LEVELS,
    "levels as 1s 5m 2h",
  ),
  fileReservedTime: integer(72, 0, INT_MAX, RUNTIME),
  deleteWhen: text("04", RUNTIME, HOURS, "hours of the day as 04 or 04;16"),
  diskMaxUsedSpaceRatio: integer(75, 10, 100, RUNTIME),
  diskSpaceCleanForciblyRatio: integer(85, 10, 100, RUNTIME),
  diskSpaceWarningLevelRatio: integer(90, 10, 100, RUNTIME),
  cleanFileForciblyEnable: flag(true, RUNTIME),
  cleanResourceInterval: integer(10_000, 10, INT_MAX, RUNTIME),
  deleteFileBatchMax: integer(10, 1, INT_MAX, RUNTIME),
  /** Not Apache's: most bytes of the commit log, 0 for no bound. */
  maxLogBytes: integer(0, 0, Number.MAX_SAFE_INTEGER, RUNTIME),

  // gRPC endpoint, by the names of Apache's rmq-proxy.json
  grpcServerPort: integer(8081, 0, 65535),
  /** A whole request: 32 messages of 4 MiB. */
  grpcMaxInboundMessageSize: integer(136_314_880, 1024, INT_MAX),
  enableMessageBodyEmptyCheck: flag(true, RUNTIME),
  maxUserPropertySize: integer(16_384, 0, INT_MAX, RUNTIME),
  userPropertyMaxNum: integer(128, 0, INT_MAX, RUNTIME),
  maxMessageGroupSize: integer(64, 0, INT_MAX, RUNTIME),
  defaultInvisibleTimeMills: integer(60_000, 1000, INT_MAX, RUNTIME),
  minInvisibleTimeMillsForRecv: integer(10_000, 0, INT_MAX, RUNTIME),
  maxInvisibleTimeMills: integer(43_200_000, 0, INT_MAX, RUNTIME),
  maxDelayTimeMills: integer(86_400_000, 0, Number.MAX_SAFE_INTEGER, RUNTIME),
  maxTransactionRecoverySecond: integer(3600, 0, INT_MAX, RUNTIME),
  enableTopicMessageTypeCheck: flag(true, RUNTIME),
  grpcClientProducerMaxAttempts: integer(3, 1, INT_MAX, RUNTIME),
  grpcClientProducerBackoffInitialMillis: integer(10, 0, INT_MAX, RUNTIME),
  grpcClientProducerBackoffMaxMillis: integer(1000, 0, INT_MAX, RUNTIME),
  grpcClientProducerBackoffMultiplier: integer(2, 1, INT_MAX, RUNTIME),
  grpcClientConsumerMinLongPollingTimeoutMillis: integer(5000, 0, INT_MAX, RUNTIME),
  grpcClientConsumerMaxLongPollingTimeoutMillis: integer(20_000, 0, INT_MAX, RUNTIME),
  grpcClientConsumerLongPollingBatchSize: integer(32, 1, INT_MAX, RUNTIME),
  enableProxyAutoRenew: flag(true, RUNTIME),
  renewAheadTimeMillis: integer(10_000, 0, INT_MAX, RUNTIME),
  renewMaxTimeMillis: integer(10_800_000, 0, INT_MAX, RUNTIME),
  renewSchedulePeriodMillis: integer(5000, 10, INT_MAX, RUNTIME),
  maxRenewRetryTimes: integer(3, 0, INT_MAX, RUNTIME),
  invisibleTimeMillisWhenClear: integer(1000, 0, INT_MAX, RUNTIME),
  transactionDataExpireMillis: integer(30_000, 1, INT_MAX, RUNTIME),

  // Bounds that Apache does not have
  topicCountMax: integer(100_000, 64, 10_000_000, RUNTIME),
  groupCountMax: integer(100_000, 64, 10_000_000, RUNTIME),
  topicQueueCountMax: integer(4096, 1, 65536, RUNTIME),
  /** Messages that are popped and not acknowledged, on the whole broker: some 200 bytes each. */
  popLeaseCountMax: integer(1_000_000, 1, 100_000_000, RUNTIME),
  /** Milliseconds: a year. */
  popInvisibleTimeMax: integer(31_536_000_000, 1, Number.MAX_SAFE_INTEGER, RUNTIME),
} as const satisfies Record<string, Option<string> | Option<number> | Option<boolean>>;

export type OptionName = keyof typeof OPTIONS;

type ValueOf<O> = O extends Option<infer T> ? T : never;

/**
 * Values of every option: [settings](../operations/settings.md). The object lives as long as the broker; code 25 changes
 * members marked `runtime` in place.
 */
export type BrokerConfig = { readonly [Name in OptionName]: ValueOf<(typeof OPTIONS)[Name]> };

/** `undefined` for a name that is none of ours. */
export function optionNamed(name: string): Option<string> | Option<number> | Option<boolean> | undefined {
  return Object.hasOwn(OPTIONS, name) ? OPTIONS[name as OptionName] : undefined;
}
