/**
 * What has to be known of a store to judge it and cannot be read from its log: sizes, options, kinds of topics. Whoever
 * asks (the command line) finds them in a broker.conf, in the files, or takes the defaults.
 */
import type { IndexSizes } from "../../index/index-file.js";
import type { DelayLevels } from "../../record/tags-code.js";
import type { DeletedTopics } from "../deleted-topics.js";
import type { PropertyCrcPolicy } from "./log-walk.js";

/** Where things lie; the store's own StorePaths fits. */
export interface StorePlaces {
  readonly root: string;
  readonly commitLog: string;
  readonly consumeQueue: string;
  readonly batchConsumeQueue: string;
  readonly index: string;
  readonly checkpoint: string;
  readonly dispatchCheckpoint: string;
  readonly deletedTopics: string;
  readonly abort: string;
}

export interface StoreFacts {
  readonly places: StorePlaces;
  /** mappedFileSizeCommitLog; undefined where only the files tell. */
  readonly segmentBytes: number | undefined;
  /** mappedFileSizeConsumeQueue, mapperFileSizeBatchConsumeQueue, mappedFileSizeConsumeQueueExt. */
  readonly queueFileBytes: number;
  readonly batchFileBytes: number;
  readonly extFileBytes: number;
  readonly indexSizes: IndexSizes;
  /** False with messageIndexEnable=false: then nothing is missing from the index. */
  readonly indexEnabled: boolean;
  readonly delayLevels: DelayLevels;
  /** Topics whose attribute queue.type is BatchCQ. */
  readonly batchTopics: ReadonlySet<string>;
  /** Records of these before their places belong to no queue. */
  readonly deletedTopics: DeletedTopics;
  /** False where a broker.conf says so: then messages that name several queues are in one only. */
  readonly multiDispatch: boolean;
  readonly propertyCrc: PropertyCrcPolicy;
}

/** `path` as findings name it. */
export function relativePath(places: StorePlaces, path: string): string {
  return path.startsWith(`${places.root}/`) ? path.slice(places.root.length + 1) : path;
}
