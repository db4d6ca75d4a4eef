/**
 * Whether a group reads a topic by pulling or by popping (broker/loadbalance/MessageRequestModeManager.java), saved as
 * `config/messageRequestMode.json`. Who has no entry pulls.
 */
import type { Clock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { asKey, asMap, intMember, textMember } from "../protocol/members.js";
import { ConfigSaver } from "./config-saver.js";
import { entryOf } from "./entry-of.js";
import { type JsonConfigFile, type LoadReport, type Omissions, savedTable } from "./json-config-file.js";
import { isSafeName } from "./names.js";

const ENTRIES_MAX = 65_536;

export type RequestMode = "PULL" | "POP";

/** JSON shape of remoting/protocol/body/SetMessageRequestModeRequestBody.java. */
export interface MessageRequestMode {
  readonly topic: string;
  readonly consumerGroup: string;
  readonly mode: RequestMode;
  /** With POP: how many members after a queue's own may read it too. */
  readonly popShareQueueNum: number;
}

/** Throws COMETMQ_BAD_REQUEST. */
export function readMessageRequestMode(map: FastjsonMap): MessageRequestMode {
  const mode = textMember(map, "mode") ?? "PULL";
  if (mode !== "PULL" && mode !== "POP") {
    throw new CometError("COMETMQ_BAD_REQUEST", "The mode of a request is neither PULL nor POP.");
  }
  return {
    topic: textMember(map, "topic") ?? "",
    consumerGroup: textMember(map, "consumerGroup") ?? "",
    mode,
    popShareQueueNum: intMember(map, "popShareQueueNum", 0),
  };
}

export class MessageRequestModeTable {
  readonly saver: ConfigSaver;
  /** Topic to group. No inner map is empty. */
  readonly #topics = new Map<string, Map<string, MessageRequestMode>>();
  readonly #file: JsonConfigFile | undefined;
  #count = 0;

  constructor({ clock, log, file }: { clock: Clock; log: Logger; file?: JsonConfigFile | undefined }) {
    this.#file = file;
    this.saver = new ConfigSaver(file, () => this.toJson(), clock, log);
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    const table = savedTable(content, "messageRequestModeMap", omissions);
    for (const [key, value] of table) {
      try {
        for (const mode of asMap(value, asKey(key, "messageRequestModeMap")).values()) {
          const entry = readMessageRequestMode(asMap(mode, "a mode"));
          if (isSafeName(entry.topic) && isSafeName(entry.consumerGroup)) this.#put(entry);
          else omissions.drop(`the mode of ${entry.topic} and ${entry.consumerGroup}`);
        }
      } catch (error) {
        omissions.drop("an entry of messageRequestModeMap", error);
      }
    }
  }

  get(topic: string, group: string): MessageRequestMode | undefined {
    return this.#topics.get(topic)?.get(group);
  }

  /** Throws COMETMQ_BAD_REQUEST when there are too many entries. */
  set(mode: MessageRequestMode): void {
    if (this.#count >= ENTRIES_MAX && this.get(mode.topic, mode.consumerGroup) === undefined) {
      throw new CometError("COMETMQ_BAD_REQUEST", `There are ${ENTRIES_MAX} request modes already.`);
    }
    this.#put(mode);
    this.saver.markDirty();
  }

  #put(mode: MessageRequestMode): void {
    const groups = entryOf(this.#topics, mode.topic, () => new Map<string, MessageRequestMode>());
    if (!groups.has(mode.consumerGroup)) this.#count++;
    groups.set(mode.consumerGroup, mode);
  }

  /** As `messageRequestMode.json` and code 402 have it. */
  toJson(): FastjsonInput {
    const messageRequestModeMap = new Map<string, FastjsonInput>();
    for (const [topic, groups] of this.#topics) {
      const modes = new Map<string, FastjsonInput>();
      for (const [group, { consumerGroup, mode, popShareQueueNum }] of groups) {
        modes.set(group, { consumerGroup, mode, popShareQueueNum, topic });
      }
      messageRequestModeMap.set(topic, modes);
    }
    return { messageRequestModeMap };
  }
}
