/**
 * What the store commands know of the store they are pointed at: from a broker.conf (given, or beside the store), from the
 * lengths of its files, from its topics.json, else Apache's defaults.
 */
import { dirname, resolve } from "node:path";
import { CometError } from "../base/errors.js";
import { BATCH_CONSUME_QUEUE_FILE_BYTES } from "../consumequeue/batch-consume-queue.js";
import { CONSUME_QUEUE_FILE_BYTES } from "../consumequeue/consume-queue.js";
import { CONSUME_QUEUE_EXT_FILE_BYTES } from "../consumequeue/consume-queue-ext.js";
import { BATCH_UNIT_BYTES } from "../consumequeue/batch-unit.js";
import { EXT_QUEUE_DIRECTORY_NAME, listQueues } from "../consumequeue/queue-directory.js";
import { UNIT_BYTES } from "../consumequeue/unit.js";
import { DEFAULT_INDEX_SIZES, indexFileBytes } from "../index/index-file.js";
import type { Disk } from "../io/disk.js";
import { DEFAULT_DELAY_LEVELS, parseDelayLevels } from "../record/tags-code.js";
import { type DeletedTopics, readDeletedTopics } from "../recovery/deleted-topics.js";
import type { StoreFacts } from "../recovery/doctor/store-facts.js";
import { parseFastjson } from "../remoting/fastjson.js";
import { parseProperties } from "../server/protocol/java-properties.js";
import { readBatchTopics } from "../store/batch-topics.js";
import { StorePaths } from "../store/store-directory.js";

const FILES_LOOKED_AT_MAX = 256;
/** At least one of these makes a directory a store; a name server has a config/, too. */
const MARKS = ["commitlog", "consumequeue", "index", "checkpoint"];

export interface FoundStore {
  readonly facts: StoreFacts;
  readonly paths: StorePaths;
  /** The broker.conf that was read. */
  readonly confPath: string | undefined;
}

/** An empty word, as of a variable that is not set, would be the working directory. */
export function givenDirectory(text: string): string {
  if (text === "") throw new CometError("COMETMQ_CONFIG", "The store's directory is an empty word.");
  return resolve(text);
}

/** `directory` is a store, or holds one as `store/`. COMETMQ_NOT_A_STORE when it is neither. */
export function findStore(disk: Disk, directory: string, confPath: string | undefined): FoundStore {
  const given = givenDirectory(directory);
  const root = !isStore(disk, given) && isStore(disk, `${given}/store`) ? `${given}/store` : given;
  const found = describeStore(disk, root, confPath);
  // A log may lie elsewhere, and be all that is left.
  if (isStore(disk, root) || (disk.isDirectory(`${root}/config`) && disk.isDirectory(found.paths.commitLog)))
    return found;
  if (!disk.isDirectory(root)) {
    const what = disk.sizeOf(root) < 0 ? "There is no directory" : "No directory, but a file:";
    throw new CometError("COMETMQ_NOT_A_STORE", `${what} ${directory}.`);
  }
  const lacks = `none of ${MARKS.join(", ")}`;
  const what = disk.isDirectory(`${root}/config`) ? `a config and no store: ${lacks}` : lacks;
  throw new CometError("COMETMQ_NOT_A_STORE", `${directory} holds ${what}.`);
}

/** The same for a directory that may yet have to become one. */
export function describeStore(disk: Disk, root: string, confPath: string | undefined): FoundStore {
  const beside = [`${root}/broker.conf`, `${dirname(root)}/broker.conf`];
  const found = confPath ?? beside.find((path) => disk.sizeOf(path) >= 0);
  const conf = new Conf(found === undefined ? new Map() : readConf(disk, found), found ?? "");
  const ownLog = `${root}/commitlog`;
  const wantedLog = conf.text("storePathCommitLog");
  const paths = new StorePaths(root, disk.isDirectory(ownLog) ? ownLog : wantedLog);
  const queueBytes = conf.number("mappedFileSizeConsumeQueue") ?? commonFileBytes(disk, paths.consumeQueue);
  const batchBytes = conf.number("mapperFileSizeBatchConsumeQueue") ?? commonFileBytes(disk, paths.batchConsumeQueue);
  const extRoot = `${root}/${EXT_QUEUE_DIRECTORY_NAME}`;
  const indexSizes = {
    maxHashSlotNum: conf.number("maxHashSlotNum") ?? DEFAULT_INDEX_SIZES.maxHashSlotNum,
    maxIndexNum: conf.number("maxIndexNum") ?? DEFAULT_INDEX_SIZES.maxIndexNum,
  };
  indexFileBytes(indexSizes);
  const facts: StoreFacts = {
    places: paths,
    segmentBytes: conf.number("mappedFileSizeCommitLog"),
    queueFileBytes: roundUp(queueBytes ?? CONSUME_QUEUE_FILE_BYTES, UNIT_BYTES),
    batchFileBytes: roundUp(batchBytes ?? BATCH_CONSUME_QUEUE_FILE_BYTES, BATCH_UNIT_BYTES),
    extFileBytes:
      conf.number("mappedFileSizeConsumeQueueExt") ?? commonFileBytes(disk, extRoot) ?? CONSUME_QUEUE_EXT_FILE_BYTES,
    indexSizes,
    indexEnabled: conf.flag("messageIndexEnable") ?? true,
    delayLevels: parseDelayLevels(conf.text("messageDelayLevel") ?? DEFAULT_DELAY_LEVELS),
    batchTopics: batchTopics(disk, paths),
    deletedTopics: deletedTopics(disk, paths),
    multiDispatch: found === undefined || (conf.flag("enableMultiDispatch") ?? false),
    propertyCrc: conf.flag("forceVerifyPropCRC")
      ? "required"
      : conf.flag("enabledAppendPropCRC")
        ? "written"
        : "unknown",
  };
  return { facts, paths, confPath: found };
}

function isStore(disk: Disk, directory: string): boolean {
  const names = disk.list(directory);
  return MARKS.some((mark) => names.includes(mark));
}

function readConf(disk: Disk, path: string): Map<string, string> {
  const text = disk.readFile(path);
  if (text === undefined) throw new CometError("COMETMQ_CONFIG", `There is no file ${path}.`);
  return parseProperties(text.toString("utf8"));
}

/** Properties of a broker.conf; only those asked for are judged. */
class Conf {
  readonly #properties: ReadonlyMap<string, string>;
  readonly #path: string;

  constructor(properties: ReadonlyMap<string, string>, path: string) {
    this.#properties = properties;
    this.#path = path;
  }

  text(name: string): string | undefined {
    const value = this.#properties.get(name)?.trim();
    return value === "" ? undefined : value;
  }

  number(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (!/^\d{1,15}$/.test(value) || Number(value) === 0) {
      throw new CometError("COMETMQ_CONFIG", `${this.#path}: ${name}=${value.slice(0, 40)} is no size.`);
    }
    return Number(value);
  }

  flag(name: string): boolean | undefined {
    const value = this.text(name)?.toLowerCase();
    return value === undefined ? undefined : value === "true";
  }
}

/** The length that most of the queues' files have. */
function commonFileBytes(disk: Disk, root: string): number | undefined {
  const counts = new Map<number, number>();
  let looked = 0;
  for (const { directory } of listQueues(disk, root).queues) {
    for (const name of disk.list(directory)) {
      const sizeBytes = disk.sizeOf(`${directory}/${name}`);
      if (sizeBytes > 0) counts.set(sizeBytes, (counts.get(sizeBytes) ?? 0) + 1);
      looked++;
    }
    if (looked > FILES_LOOKED_AT_MAX) break;
  }
  let best: number | undefined;
  for (const [sizeBytes, count] of counts) if (best === undefined || count > counts.get(best)!) best = sizeBytes;
  return best;
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}

/** Topics with a directory of that kind, and those whose attributes say so. */
function batchTopics(disk: Disk, paths: StorePaths): Set<string> {
  return new Set([...disk.list(paths.batchConsumeQueue), ...readBatchTopics(disk, paths.topics)]);
}

/** A file that cannot be read is the doctor's to tell; until then nothing counts as deleted. */
function deletedTopics(disk: Disk, paths: StorePaths): DeletedTopics {
  try {
    return readDeletedTopics(disk, paths.deletedTopics);
  } catch {
    return new Map();
  }
}

/** Whether a broker understands the text of a configuration file. */
export function isConfigText(text: Buffer): boolean {
  return text.length > 0 && parseFastjson(text) !== undefined;
}
