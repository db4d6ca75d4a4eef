/** How writer and checker open the store: everything small, so that segments, queue files and index files roll often. */
export const SEGMENT_BYTES = 1024 * 1024;
export const QUEUE_FILE_BYTES = 20 * 2000;
export const INDEX_SIZES = { maxHashSlotNum: 1000, maxIndexNum: 4000 };

export function storeOptions({ directory, backend, flushDiskType }) {
  return {
    directory,
    backend,
    flushDiskType,
    segmentBytes: SEGMENT_BYTES,
    queueFileBytes: QUEUE_FILE_BYTES,
    indexSizes: INDEX_SIZES,
    flushIntervalMs: 50,
    dispatchSyncIntervalMs: 40,
  };
}
