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
    accountStatsEnable accountStatsPrintZeroValues aclEnable allAckInSyncStateSet
    allowRecallWhenBrokerNotWriteable appendAckAsync appendCkAsync appendTopicForTimerDeleteKey asyncLearner
    asyncSendEnable authenticationEnabled authorizationEnabled autoDeleteUnusedStats brokerFastFailureEnable
    clientCloseSocketIfTimeout clientPooledByteBufAllocatorEnable coldCtrStrategyEnable
    coldDataFlowControlEnable coldDataScanEnable combineCQEnableCheckSelf compatibleWithOldNameSrv
    dataReadAheadEnable debugLockEnable disableCallbackExecutor disableConsumeIfConsumerReadSlowly
    disableNettyWorkerGroup diskFallRecorded dispatchFromSenderThread duplicationEnable
    enableAcceleratedRecovery enableAsyncReput enableAutoInSyncReplicas enableBatchPush
    enableBroadcastOffsetStore enableBuildConsumeQueueConcurrently enableCalcFilterBitMap
    enableCleanExpiredOffset enableCompaction enableConnectionMetrics enableConsumeQueueExt enableControllerMode
    enableDLegerCommitLog enableDetailStat enableFastChannelEventProcess enableLagAndDlqMetrics enableLmq
    enableLmqStats enableLogConsumeQueueRepeatedlyBuildWhenRecover enableMessageStoreMetrics enableMultiDispatch
    enableNetWorkFlowControl enableNotifyAfterPopOrderLockRelease enableNotifyBeforePopCalculateLag
    enablePopBatchAck enablePopBufferMerge enablePopLog enablePopMessageThreshold enablePopMetrics
    enableReconnectForGoAway enableRemoteEscape enableRemotingMetrics enableRequestMetrics enableRetryTopicV2
    enableRocksDBLog enableRunningFlagsInFlush enableScheduleAsyncDeliver enableScheduleMessageStats
    enableShutdownGracefully enableSingleTopicRegister enableSkipLongAwaitingAck enableSlaveActingMaster
    enableSplitRegistration enableStatsMetrics enableTransactionMetrics enabledAppendPropCRC
    estimateAccumulation fastFailIfNoBufferInStorePool fetchControllerAddrByDnsLookup
    fetchNameSrvAddrByDnsLookup fetchNamesrvAddrByAddressServer filterSupportRetry flushCommitLogTimed
    forceVerifyPropCRC haFlowControlEnable highSpeedMode indexFileReadEnable indexFileWriteEnable
    indexRocksDBEnable initPopOffsetByCheckMsgInMem isBrokerContainer isInBrokerContainer isScanAvailableNameSrv
    isolateLogEnable lockInStrictMode mappedFileSwapEnable metricsInDelta migrateAuthFromV1Enabled
    offsetCheckInSlave popConsumerFSServiceInit popConsumerKVServiceEnable popConsumerKVServiceInit
    popConsumerKVServiceLog popResponseReturnActualRetryTopic printChannelGroups priorityOrderAsc
    putConsumeQueueDataByFileChannel readUnCommitted realTimeNotifyConsumerChange realTimePersistRocksDBConfig
    recallMessageEnable recheckReputOffsetFromCq recoverConcurrently retrieveMessageFromPopRetryTopicV1
    rocksdbCQDoubleWriteEnable searchBcqByCacheEnable serverLoadBalancerEnable serverNettyWorkerGroupEnable
    serverPooledByteBufAllocatorEnable skipPreOnline skipWhenCKRePutReachMaxTimes storeReplyMessageEnable
    syncFromLastFile syncMasterFlushOffsetWhenStartup timerEnableCheckMetrics timerEnableDisruptor
    timerEnableRetryUntilSuccess timerInterceptDelayLevel timerRecallToTimeWheelEnable
    timerRecallToTimelineEnable timerRocksDBEnable timerRocksDBStopScan timerSkipUnknownError timerStopDequeue
    timerStopEnqueue timerWarmEnable timerWheelSnapshotFlush transRocksDBEnable transWriteOriginTransHalfEnable
    transferMsgByHeap transientStorePoolEnable useABSLock useEpollNativeSelector usePIDColdCtrStrategy
    useReentrantLockWhenPutMessage useSeparateRetryQueue useSingleRocksDBForAllConfigs useStaticSubscription
    useTLS wakeCommitWhenPutMessage wakeFlushWhenPutMessage warmMapedFileEnable writeWithoutMmap
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
    clientCallbackExecutorThreads clientChannelMaxIdleTimeSeconds clientManageThreadPoolNums
    clientManagerThreadPoolQueueCapacity clientOnewaySemaphoreValue clientSocketRcvBufSize
    clientSocketSndBufSize clientWorkerThreads combineCQMaxExtraSearchCommitLogFiles commercialBaseCount
    commercialSizePerMsg commitCommitLogLeastPages commitCommitLogThoroughInterval commitIntervalCommitLog
    commitLogForceSwapMapInterval commitLogSwapMapInterval commitLogSwapMapReserveFileNum
    compactionCqMappedFileSize compactionMappedFileSize compactionScheduleInternal compactionThreadNum
    connectTimeoutMillis consumerFallbehindThreshold consumerManageThreadPoolNums
    consumerManagerThreadPoolQueueCapacity controllerHeartBeatTimeoutMills correctLogicMinOffsetForceInterval
    correctLogicMinOffsetSleepInterval defaultPopShareQueueNum delayOffsetUpdateVersionStep
    deleteCommitLogFilesInterval deleteConsumeQueueFilesInterval deleteFileBatchMax
    destroyMapedFileIntervalForcibly disappearTimeAfterStart dispatchCqCacheNum dispatchCqThreads
    endTransactionPoolQueueCapacity endTransactionThreadPoolNums expectConsumerNumUseFilter
    fetchNamesrvAddrInterval filterDataCleanTimeSpan flushConsumeQueueLeastPages
    flushConsumeQueueThoroughInterval flushConsumerOffsetHistoryInterval flushDelayOffsetInterval
    flushIntervalConsumeQueue flushLeastPagesWhenWarmMapedFile forwardTimeout globalColdReadThreshold
    haHousekeepingInterval haListenPort haMaxGapNotInSync haMaxTimeSlaveNotCatchup haSendHeartbeatInterval
    haTransferBatchSize heartbeatThreadPoolNums heartbeatThreadPoolQueueCapacity inSyncReplicas
    litePullMessageThreadPoolNums litePullThreadPoolQueueCapacity loadBalancePollNameServerInterval
    loadBalanceProcessorThreadPoolNums loadBalanceThreadPoolQueueCapacity logicQueueForceSwapMapInterval
    logicQueueSwapMapInterval logicQueueSwapMapReserveFileNum mappedFileSizeConsumeQueueExt
    mappedFileSizeTimerLog mapperFileSizeBatchConsumeQueue maxAsyncPutMessageRequests maxBatchDeleteFilesNum
    maxChecksumRange maxConsumeQueueScan maxErrorRateOfBloomFilter maxHaTransferByteInSecond
    maxLmqConsumeQueueNum maxMsgsNumBatch maxOffsetMapSize maxPopPollingSize maxReconnectIntervalTimeSeconds
    maxRecoveryCommitlogFiles maxRocksDBIndexQueryDays maxSlaveResendLength maxStatsIdleTimeInMinutes
    maxTopicLength memTableFlushIntervalMs metricGrpcExporterIntervalInMills metricGrpcExporterTimeOutInMills
    metricLoggingExporterIntervalInMills metricsOtelCardinalityLimit metricsPromExporterPort minInSyncReplicas
    popCkMaxBufferSize popCkOffsetMaxQueueSize popCkStayBufferTime popCkStayBufferTimeOut
    popFromRetryProbability popFromRetryProbabilityForPriority popInflightMessageThreshold
    popLongPollingForceNotifyInterval popPollingMapExpireTimeSeconds popPollingMapSize popPollingSize
    popReviveConcurrency popReviveMaxAttemptTimes popReviveMaxReturnSizePerRead printChannelGroupsMinNum
    processReplyMessageThreadPoolNums pullBatchMaxMessageCount pullMessageThreadPoolNums
    pullThreadPoolQueueCapacity putMessageFutureThreadPoolNums putMessageTimeout putMsgIndexHightWater
    putThreadPoolQueueCapacity queryMessageThreadPoolNums queryThreadPoolQueueCapacity recoverThreadPoolNums
    redeleteHangedFileInterval replicasPerDiskPartition replyThreadPoolQueueCapacity reviveAckWaitMs
    reviveInterval reviveMaxSlow reviveScanTime rocksdbFlushWalFrequency rocksdbWalFileRollingThreshold
    sampleCountThreshold sampleSteps scheduleAsyncDeliverMaxPendingLimit
    scheduleAsyncDeliverMaxResendNum2Blocked sendHeartbeatTimeoutMillis sendMessageThreadPoolNums
    sendThreadPoolQueueCapacity serverAsyncSemaphoreValue serverCallbackExecutorThreads
    serverOnewaySemaphoreValue serverSelectorThreads serverSocketBacklog serverSocketRcvBufSize
    serverSocketSndBufSize serverWorkerThreads sharedByteBufferNum shutdownWaitTimeSeconds slaveTimeout
    spinLockCollisionRetreatOptimalDegree splitRegistrationSize statRocksDBCQIntervalSec
    statefulAuthenticationCacheExpiredSecond statefulAuthenticationCacheMaxNum
    statefulAuthorizationCacheExpiredSecond statefulAuthorizationCacheMaxNum syncBrokerMemberGroupPeriod
    syncBrokerMetadataPeriod syncControllerMetadataPeriod timerColdDataCheckIntervalMs timerCongestNumEachSlot
    timerFlushIntervalMs timerGetMessageThreadNum timerMaxDelaySec timerMetricSmallThreshold timerPrecisionMs
    timerProgressLogIntervalMs timerPutMessageThreadNum timerRocksDBPrecisionMs timerRocksDBRollIntervalHours
    timerRocksDBRollRangeHours timerRollWindowSlot timerWheelSnapshotIntervalMs topicQueueLockNum totalReplicas
    transactionCheckInterval transactionCheckMax transactionMetricFlushInterval transactionOpBatchInterval
    transactionOpMsgMaxSize transactionTimeOut transientStorePoolSize travelCqFileNumWhenGetMessage
    updateNameServerAddrPeriod userCacheExpiredSecond userCacheMaxNum userCacheRefreshSecond
    waitTimeMillsInAckQueue waitTimeMillsInAdminBrokerQueue waitTimeMillsInHeartbeatQueue
    waitTimeMillsInLitePullQueue waitTimeMillsInPullQueue waitTimeMillsInSendQueue
    waitTimeMillsInTransactionQueue writeBufferHighWaterMark writeBufferLowWaterMark
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
    authConfigPath authenticationMetadataProvider authenticationProvider authenticationStrategy
    authenticationWhitelist authorizationMetadataProvider authorizationProvider authorizationStrategy
    authorizationWhitelist bottomMostCompressionTypeForConsumeQueueStore brokerConfigPath clusterName
    combineAssignOffsetCQType combineCQLoadingCQTypes combineCQPreferCQType configManagerVersion configName
    controllerAddr dLegerGroup dLegerPeers dLegerSelfId defaultMessageRequestMode haMasterAddress
    initAuthenticationUser innerClientAuthenticationCredentials messageStorePlugIn metricsExporterType
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
  ["aclEnable", "false"],
  ["authenticationEnabled", "false"],
  ["authorizationEnabled", "false"],
  ["useTLS", "false"],
  ["brokerRole", "ASYNC_MASTER"],
  ["enableDLegerCommitLog", "false"],
  ["enableControllerMode", "false"],
  ["enableSlaveActingMaster", "false"],
  ["storeType", "default"],
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
