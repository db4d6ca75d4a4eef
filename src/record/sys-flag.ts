/**
 * Bits of a record's sysFlag (common/sysflag/MessageSysFlag): compression, transaction state, address families, batches.
 * Clients set the lower ones, the broker those of the hosts.
 */
export const COMPRESSED_FLAG = 0x1;
export const MULTI_TAGS_FLAG = 0x2;
/** Two bits: one of the TRANSACTION_ values. */
export const TRANSACTION_MASK = 0xc;
export const TRANSACTION_NOT_TYPE = 0;
export const TRANSACTION_PREPARED_TYPE = 0x4;
export const TRANSACTION_COMMIT_TYPE = 0x8;
export const TRANSACTION_ROLLBACK_TYPE = 0xc;
export const BORN_HOST_V6_FLAG = 0x10;
export const STORE_HOST_V6_FLAG = 0x20;
export const NEED_UNWRAP_FLAG = 0x40;
export const INNER_BATCH_FLAG = 0x80;

/** Values of the three compression bits; old clients leave them 0, which is ZLIB. */
export const CompressionType = { LZ4: 1, ZSTD: 2, ZLIB: 3 } as const;
export type CompressionType = (typeof CompressionType)[keyof typeof CompressionType];

const COMPRESSION_SHIFT = 8;
const COMPRESSION_MASK = 0x7 << COMPRESSION_SHIFT;

/** The type a compressed body is in, or undefined for the four values nobody defined. */
export function compressionType(sysFlag: number): CompressionType | undefined {
  switch ((sysFlag & COMPRESSION_MASK) >> COMPRESSION_SHIFT) {
    case 0:
    case CompressionType.ZLIB:
      return CompressionType.ZLIB;
    case CompressionType.LZ4:
      return CompressionType.LZ4;
    case CompressionType.ZSTD:
      return CompressionType.ZSTD;
    default:
      return undefined;
  }
}

/** `sysFlag` of a message whose body is compressed as `type`. */
export function withCompression(sysFlag: number, type: CompressionType): number {
  return (sysFlag & ~COMPRESSION_MASK) | (type << COMPRESSION_SHIFT) | COMPRESSED_FLAG;
}

/** The type bits stay, as Apache leaves them. */
export function clearCompressedFlag(sysFlag: number): number {
  return sysFlag & ~COMPRESSED_FLAG;
}

export function isCompressed(sysFlag: number): boolean {
  return (sysFlag & COMPRESSED_FLAG) !== 0;
}

/** One of the TRANSACTION_ values. */
export function transactionType(sysFlag: number): number {
  return sysFlag & TRANSACTION_MASK;
}

export function withTransactionType(sysFlag: number, type: number): number {
  return (sysFlag & ~TRANSACTION_MASK) | type;
}

/** Prepared and rolled back messages are in the log, but in no queue. */
export function isQueued(sysFlag: number): boolean {
  const type = sysFlag & TRANSACTION_MASK;
  return type === TRANSACTION_NOT_TYPE || type === TRANSACTION_COMMIT_TYPE;
}
