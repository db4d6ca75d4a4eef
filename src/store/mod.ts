/** The storage engine as a library: `cometmq/store`. What is not exported here is not promised to stay. */
export type { Clock, Timer } from "../base/clock.js";
export { CometError, type ErrorCode } from "../base/errors.js";
export { javaHash } from "../base/java-hash.js";
export type { Logger } from "../base/log.js";
export type { Backend, Disk } from "../io/disk.js";
export { chooseBackend, FileDisk } from "../io/file-disk.js";
export { MemoryDisk } from "../io/memory-disk.js";
export { compressBody, decompressBody } from "../record/compression.js";
export { decodeRecord, decodeRecords, type MessageExt } from "../record/decode.js";
export { encodeRecord, type RecordFields } from "../record/encode.js";
export { encodeHost, hostText } from "../record/host.js";
export { createMessageId, type MessageId, parseMessageId } from "../record/message-id.js";
export { encodeProperties, parseProperties } from "../record/properties.js";
export { PropertyName } from "../record/property-names.js";
export type { DispatchFinding } from "../dispatch/dispatcher.js";
export type { IndexSizes } from "../index/index-file.js";
export type { IndexKind } from "../index/index-key.js";
export type { KeyQuery } from "../index/index-query.js";
export type { CheckpointFields } from "../recovery/checkpoint.js";
export type { EndReason, RecoveryProgress, RecoveryReport } from "../recovery/recover.js";
export type { LogDamage } from "../recovery/walk.js";
export { appendMessage, type NewMessage } from "./append-message.js";
export type { KeyQueryResult, LookUp } from "./look-up.js";
export type { GetLimits } from "./message-reader.js";
export { MessageStore } from "./message-store.js";
export type { StoreOptions } from "./options.js";
export type { RetentionSettings } from "./retention-settings.js";
export type { StorePaths } from "./store-directory.js";
export type { TailedMessage, TailOptions } from "./tail.js";
export {
  type GetResult,
  emptyGetResult,
  GetStatus,
  type MessageInput,
  type PutResult,
  PutStatus,
  type QueueHandle,
  type RecordFilter,
  type TagFilter,
} from "./types.js";
