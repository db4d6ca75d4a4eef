/**
 * The properties of Apache's broker.conf that change nothing in CometMQ: thread pools, mapped file swapping, RocksDB,
 * parts that are not built. They are known so that a misspelt name can be told from a harmless one, and so that a value
 * of the wrong type is still an error. (common/BrokerConfig.java, common/BrokerIdentity.java,
 * store/config/MessageStoreConfig.java, remoting/netty/NettyServerConfig.java, NettyClientConfig.java, AuthConfig)
 */
export type InertKind = "flag" | "integer" | "decimal" | "text";

function names(block: string): string[] {
  return block.trim().split(/\s+/);
}

const byKind: readonly (readonly [InertKind, readonly string[]])[] = [
  [
    "flag",
    names(`
    accountStatsEnable accountStatsPrintZeroValues allAckInSyncStateSet
    appendAckAsync appendCkAsync asyncLearner
    asyncSendEnable autoDeleteUnusedStats
    autoMessageVersionOnTopicLen checkCRCOnRecover clientCloseSocketIfTimeout
    clientPooledByteBufAllocatorEnable coldCtrStrategyEnable coldDataFlowControlEnable coldDataScanEnable
    combineCQEnableCheckSelf compatibleWithOldNameSrv dataReadAheadEnable debugLockEnable
    disableCallbackExecutor disableConsumeIfConsumerReadSlowly disableNettyWorkerGroup diskFallRecorded
    dispatchFromSenderThread duplicationEnable enableAcceleratedRecovery enableAsyncReput
    enableAutoInSyncReplicas enableBatchPush enableBroadcastOffsetStore enableBuildConsumeQueueConcurrently
    enableCalcFilterBitMap enableCleanExpiredOffset enableCompaction enableConnectionMetrics
    enableConsumeQueueExt enableControllerMode enabledAppendPropCRC enableDetailStat enableDLegerCommitLog
    enableFastChannelEventProcess enableLagAndDlqMetrics enableLmq enableLmqStats
    enableLogConsumeQueueRepeatedlyBuildWhenRecover enableMessageStoreMetrics enableMultiDispatch
    enableNetWorkFlowControl enableNotifyAfterPopOrderLockRelease enableNotifyBeforePopCalculateLag
    enablePopBatchAck enablePopBufferMerge enablePopLog enablePopMetrics
    enableReconnectForGoAway enableRemoteEscape enableRemotingMetrics enableRequestMetrics
    enableRocksDBLog enableRunningFlagsInFlush enableScheduleAsyncDeliver enableScheduleMessageStats
    enableShutdownGracefully enableSingleTopicRegister enableSkipLongAwaitingAck enableSlaveActingMaster
    enableStatsMetrics enableTransactionMetrics estimateAccumulation
    fastFailIfNoBufferInStorePool fetchControllerAddrByDnsLookup fetchNamesrvAddrByAddressServer
    fetchNameSrvAddrByDnsLookup filterSupportRetry flushCommitLogTimed forceRegister forceVerifyPropCRC
    haFlowControlEnable highSpeedMode indexFileReadEnable indexFileWriteEnable indexRocksDBEnable
    isBrokerContainer isInBrokerContainer isolateLogEnable isScanAvailableNameSrv
    lockInStrictMode mappedFileSwapEnable messageIndexSafe metricsInDelta offsetCheckInSlave popConsumerFSServiceInit popConsumerKVServiceEnable popConsumerKVServiceInit
    popConsumerKVServiceLog printChannelGroups
    putConsumeQueueDataByFileChannel readUnCommitted realTimeNotifyConsumerChange realTimePersistRocksDBConfig
    recheckReputOffsetFromCq recoverConcurrently
    rocksdbCQDoubleWriteEnable searchBcqByCacheEnable serverNettyWorkerGroupEnable
    serverPooledByteBufAllocatorEnable skipPreOnline skipWhenCKRePutReachMaxTimes slaveReadEnable
    syncFromLastFile syncMasterFlushOffsetWhenStartup timerEnableCheckMetrics
    timerEnableDisruptor timerEnableRetryUntilSuccess timerInterceptDelayLevel timerRecallToTimelineEnable
    timerRecallToTimeWheelEnable timerRocksDBEnable timerRocksDBStopScan timerSkipUnknownError timerStopDequeue
    timerStopEnqueue timerWarmEnable timerWheelSnapshotFlush transferMsgByHeap transientStorePoolEnable
    transRocksDBEnable transWriteOriginTransHalfEnable useABSLock useEpollNativeSelector usePIDColdCtrStrategy
    useReentrantLockWhenPutMessage useSingleRocksDBForAllConfigs useStaticSubscription
    wakeCommitWhenPutMessage wakeFlushWhenPutMessage writeWithoutMmap
    `),
  ],
  [
    "integer",
    names(`
    accessMessageInMemoryHotRatio ackMessageThreadPoolNums ackThreadPoolQueueCapacity aclCacheExpiredSecond
    aclCacheMaxNum aclCacheRefreshSecond adminBrokerThreadPoolNums adminBrokerThreadPoolQueueCapacity
    batchDispatchRequestThreadPoolNums bitMapLengthConsumeQueueExt broadcastOffsetExpireMaxSecond
    broadcastOffsetExpireSecond brokerElectionPriority brokerHeartbeatInterval brokerNotActiveTimeoutMillis
    cgColdReadThreshold channelNotActiveInterval checkSyncStateSetPeriod cleanOfflineBrokerInterval
    cleanRocksDBDirtyCQIntervalMin cleanSwapedMapInterval clientAsyncSemaphoreValue
    clientCallbackExecutorThreads clientChannelMaxIdleTimeSeconds clientManagerThreadPoolQueueCapacity
    clientManageThreadPoolNums clientOnewaySemaphoreValue clientSocketRcvBufSize clientSocketSndBufSize
    clientWorkerThreads combineCQMaxExtraSearchCommitLogFiles commercialBaseCount commercialSizePerMsg
    commitCommitLogLeastPages commitCommitLogThoroughInterval commitIntervalCommitLog
    commitLogForceSwapMapInterval commitLogRecoverMaxNum commitLogSwapMapInterval commitLogSwapMapReserveFileNum
    compactionCqMappedFileSize compactionMappedFileSize compactionScheduleInternal compactionThreadNum
    connectTimeoutMillis consumerFallbehindThreshold consumerManagerThreadPoolQueueCapacity
    consumerManageThreadPoolNums controllerHeartBeatTimeoutMills correctLogicMinOffsetForceInterval
    correctLogicMinOffsetSleepInterval deleteCommitLogFilesInterval
    deleteConsumeQueueFilesInterval destroyMapedFileIntervalForcibly disappearTimeAfterStart
    dispatchCqCacheNum dispatchCqThreads endTransactionPoolQueueCapacity endTransactionThreadPoolNums
    expectConsumerNumUseFilter fetchNamesrvAddrInterval flushCommitLogLeastPages
    flushCommitLogThoroughInterval flushConsumeQueueLeastPages flushConsumeQueueThoroughInterval
    flushConsumerOffsetHistoryInterval flushIntervalConsumeQueue flushLeastPagesWhenWarmMapedFile forwardTimeout
    globalColdReadThreshold haHousekeepingInterval haListenPort haMaxGapNotInSync haMaxTimeSlaveNotCatchup
    haSendHeartbeatInterval haTransferBatchSize heartbeatThreadPoolNums heartbeatThreadPoolQueueCapacity
    inSyncReplicas litePullMessageThreadPoolNums litePullThreadPoolQueueCapacity
    loadBalancePollNameServerInterval loadBalanceProcessorThreadPoolNums loadBalanceThreadPoolQueueCapacity
    logicQueueForceSwapMapInterval logicQueueSwapMapInterval logicQueueSwapMapReserveFileNum
    mappedFileSizeConsumeQueueExt mapperFileSizeBatchConsumeQueue
    maxAsyncPutMessageRequests maxBatchDeleteFilesNum maxChecksumRange maxConsumeQueueScan
    maxErrorRateOfBloomFilter maxHaTransferByteInSecond maxLmqConsumeQueueNum maxMsgsNumBatch maxOffsetMapSize
    maxReconnectIntervalTimeSeconds maxRecoveryCommitlogFiles maxRocksDBIndexQueryDays
    maxSlaveResendLength maxStatsIdleTimeInMinutes maxTopicLength maxTransferBytesOnMessageInDisk
    maxTransferCountOnMessageInDisk memTableFlushIntervalMs metricGrpcExporterIntervalInMills
    metricGrpcExporterTimeOutInMills metricLoggingExporterIntervalInMills metricsOtelCardinalityLimit
    metricsPromExporterPort minInSyncReplicas osPageCacheBusyTimeOutMills popCkMaxBufferSize
    popCkOffsetMaxQueueSize popCkStayBufferTime popCkStayBufferTimeOut
    popLongPollingForceNotifyInterval
    popPollingMapExpireTimeSeconds popPollingMapSize popReviveConcurrency
    popReviveMaxAttemptTimes popReviveMaxReturnSizePerRead printChannelGroupsMinNum
    processReplyMessageThreadPoolNums pullBatchMaxMessageCount pullMessageThreadPoolNums
    pullThreadPoolQueueCapacity putMessageFutureThreadPoolNums putMessageTimeout putMsgIndexHightWater
    putThreadPoolQueueCapacity queryMessageThreadPoolNums queryThreadPoolQueueCapacity recoverThreadPoolNums
    redeleteHangedFileInterval replicasPerDiskPartition replyThreadPoolQueueCapacity reviveAckWaitMs
    reviveInterval reviveMaxSlow reviveScanTime rocksdbFlushWalFrequency rocksdbWalFileRollingThreshold
    sampleCountThreshold sampleSteps scheduleAsyncDeliverMaxPendingLimit
    scheduleAsyncDeliverMaxResendNum2Blocked sendHeartbeatTimeoutMillis sendMessageThreadPoolNums
    serverAsyncSemaphoreValue serverCallbackExecutorThreads
    serverOnewaySemaphoreValue serverSelectorThreads serverSocketBacklog serverSocketRcvBufSize
    serverSocketSndBufSize serverWorkerThreads sharedByteBufferNum shutdownWaitTimeSeconds slaveTimeout
    spinLockCollisionRetreatOptimalDegree statefulAuthenticationCacheExpiredSecond
    statefulAuthenticationCacheMaxNum statefulAuthorizationCacheExpiredSecond statefulAuthorizationCacheMaxNum
    statRocksDBCQIntervalSec syncBrokerMemberGroupPeriod syncBrokerMetadataPeriod syncControllerMetadataPeriod
    timerColdDataCheckIntervalMs timerGetMessageThreadNum
    timerMetricSmallThreshold timerProgressLogIntervalMs
    timerPutMessageThreadNum timerRocksDBPrecisionMs timerRocksDBRollIntervalHours timerRocksDBRollRangeHours
    timerWheelSnapshotIntervalMs topicQueueLockNum totalReplicas 
    transactionMetricFlushInterval transactionOpBatchInterval transientStorePoolSize travelCqFileNumWhenGetMessage updateNameServerAddrPeriod
    userCacheExpiredSecond userCacheMaxNum userCacheRefreshSecond
    waitTimeMillsInAdminBrokerQueue
    writeBufferHighWaterMark
    writeBufferLowWaterMark
    `),
  ],
  [
    "decimal",
    names(`
    logicalDiskSpaceCleanForciblyThreshold timerRocksDBRollMaxTps timerRocksDBTimeExpiredMaxTps
    `),
  ],
  [
    "text",
    names(`
    authenticationProvider authenticationStrategy
    authorizationProvider authorizationStrategy
    bottomMostCompressionTypeForConsumeQueueStore brokerConfigPath brokerRole clusterName
    combineAssignOffsetCQType combineCQLoadingCQTypes combineCQPreferCQType configManagerVersion configName
    controllerAddr dLegerGroup dLegerPeers dLegerSelfId haMasterAddress
    messageStorePlugIn metricsExporterType
    metricsGrpcExporterHeader metricsGrpcExporterTarget metricsLabel metricsPromExporterHost preferredLeaderId
    readOnlyCommitLogStorePaths rocketmqHome rocksdbCompressionType socksProxyConfig storePathBrokerIdentity
    storePathDLedgerCommitLog storePathEpochFile storeType timerCheckMetricsWhen
    `),
  ],
];

export const INERT_OPTIONS: ReadonlyMap<string, InertKind> = new Map(
  byKind.flatMap(([kind, list]) => list.map((name): [string, InertKind] => [name, kind])),
);

/**
 * Properties that promise something when they have another value than this one: ignoring that would leave a broker
 * open, or its data in one place only, against what the file says. Any other value is refused.
 */
export const UNBUILT_PROMISES: ReadonlyMap<string, string> = new Map([
  ["brokerRole", "ASYNC_MASTER"],
  ["autoMessageVersionOnTopicLen", "true"],
  ["enableDLegerCommitLog", "false"],
  ["enableControllerMode", "false"],
  ["enableSlaveActingMaster", "false"],
  ["storeType", "default"],
]);

/** Apache's defaults of properties that its tools look for: shown (code 26) though nobody gave them. */
export const SHOWN_DEFAULTS: ReadonlyMap<string, string> = new Map([
  ["brokerRole", "ASYNC_MASTER"],
  ["cgColdReadThreshold", "3145728"],
  ["globalColdReadThreshold", "104857600"],
  ["slaveReadEnable", "false"],
]);

const kindText: Readonly<Record<InertKind, string>> = {
  flag: "true or false",
  integer: "an integer",
  decimal: "a number",
  text: "text",
};

/** What `value` should have been, or undefined when it is fine. */
export function inertProblem(name: string, value: string): string | undefined {
  const kind = INERT_OPTIONS.get(name);
  if (kind === undefined || matches(kind, value.trim())) return undefined;
  return kindText[kind];
}

function matches(kind: InertKind, value: string): boolean {
  if (kind === "flag") return /^(true|false)$/i.test(value);
  if (kind === "integer") return /^[+-]?\d{1,19}$/.test(value);
  if (kind === "decimal") return value !== "" && Number.isFinite(Number(value));
  return true;
}
