/**
 * The consumer groups of this broker (broker/subscription/SubscriptionGroupManager.java), saved as
 * `config/subscriptionGroup.json`. Unknown groups are made when somebody asks for them, if the configuration allows it.
 */
import type { Clock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { type DataVersion, dataVersionJson, nextDataVersion } from "../protocol/data-version.js";
import { asInt, asKey, asMap } from "../protocol/members.js";
import { alterEach, GROUP_ATTRIBUTES } from "./attributes.js";
import type { BrokerConfig } from "./broker-options.js";
import { ConfigSaver } from "./config-saver.js";
import { entryOf } from "./entry-of.js";
import {
  type JsonConfigFile,
  type LoadReport,
  type Omissions,
  savedDataVersion,
  savedTable,
} from "./json-config-file.js";
import { NameTable } from "./name-table.js";
import { isSafeName, SYSTEM_GROUP_PREFIX, validateGroup } from "./names.js";
import {
  readSubscriptionGroupConfig,
  SubscriptionGroup,
  type SubscriptionGroupConfig,
  subscriptionGroupConfigJson,
} from "./subscription-group-config.js";

export const TRANSACTION_GROUP = "CID_RMQ_SYS_TRANS";

const PREDEFINED_GROUPS = [
  "TOOLS_CONSUMER",
  "FILTERSRV_CONSUMER",
  "SELF_TEST_C_GROUP",
  "CID_ONS-HTTP-PROXY",
  "CID_ONSAPI_PULL",
  "CID_ONSAPI_PERMISSION",
  "CID_ONSAPI_OWNER",
  TRANSACTION_GROUP,
];

/** 1 << PermName.INDEX_PERM_READ. */
const READ_FORBIDDEN = 4;
/** Topics of one group, of which only those that exist can be forbidden; but topics come and go. */
const FORBIDDEN_TOPICS_MAX = 4096;

export interface SubscriptionGroupTableOptions {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly file?: JsonConfigFile | undefined;
}

export class SubscriptionGroupTable {
  readonly saver: ConfigSaver;
  dataVersion: DataVersion;
  readonly #groups = new NameTable<SubscriptionGroup>();
  /** Group to topic to a mask of what is forbidden; of its bits only READ_FORBIDDEN is known. */
  readonly #forbidden = new Map<string, Map<string, number>>();
  readonly #config: BrokerConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #file: JsonConfigFile | undefined;

  constructor({ config, clock, log, file }: SubscriptionGroupTableOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#file = file;
    this.dataVersion = { counter: 0, stateVersion: 0, timestamp: clock.nowMs() };
    this.saver = new ConfigSaver(file, () => this.toJson(), clock, log);
    for (const name of PREDEFINED_GROUPS) this.#groups.set(new SubscriptionGroup(name));
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    this.dataVersion = savedDataVersion(content, omissions) ?? this.dataVersion;
    this.#takeGroups(savedTable(content, "subscriptionGroupTable", omissions), omissions);
    const forbidden = content.get("forbiddenTable");
    if (forbidden instanceof Map) this.#takeForbidden(forbidden, omissions);
  }

  #takeGroups(table: FastjsonMap, omissions: Omissions): void {
    for (const [key, value] of table) {
      try {
        const name = asKey(key, "subscriptionGroupTable");
        const config = readSubscriptionGroupConfig(asMap(value, name), name);
        if (config.groupName !== name || !isSafeName(name)) omissions.drop(`group ${name}, of an illegal name,`);
        else (this.#groups.get(name) ?? this.#add(name)).assign(config);
      } catch (error) {
        omissions.drop("a group", error);
      }
    }
  }

  #takeForbidden(table: FastjsonMap, omissions: Omissions): void {
    for (const [key, value] of table) {
      try {
        const group = asKey(key, "forbiddenTable");
        const masks = new Map<string, number>();
        for (const [topic, mask] of asMap(value, group)) masks.set(asKey(topic, group), asInt(mask, group));
        this.#forbidden.set(group, masks);
      } catch (error) {
        omissions.drop("an entry of forbiddenTable", error);
      }
    }
  }

  get size(): number {
    return this.#groups.size;
  }

  get(name: string): SubscriptionGroup | undefined {
    return this.#groups.get(name);
  }

  /** The group whose name is `bytes[start, end)`; makes no string. */
  getBytes(bytes: Uint8Array, start: number, end: number): SubscriptionGroup | undefined {
    return this.#groups.getBytes(bytes, start, end);
  }

  values(): IterableIterator<SubscriptionGroup> {
    return this.#groups.values();
  }

  /** The group, made if it is missing and may be made. */
  find(name: string): SubscriptionGroup | undefined {
    const existing = this.#groups.get(name);
    if (existing !== undefined) return existing;
    const system = this.#config.enableCreateSysGroup && name.startsWith(SYSTEM_GROUP_PREFIX);
    if (!this.#config.autoCreateSubscriptionGroup && !system) return undefined;
    const problem = validateGroup(name) || (this.#isFull() ? "there are too many groups" : "");
    if (problem !== "") {
      this.#log.warn({ group: name.slice(0, 300), problem }, "group not created");
      return undefined;
    }
    const group = this.#add(name);
    this.#log.info({ group: name }, "group created");
    this.#changed();
    this.saver.saveSoon();
    return group;
  }

  /** Makes or changes a group; attributes of `config` are changes, keys with their sign. Throws COMETMQ_BAD_REQUEST. */
  update(config: SubscriptionGroupConfig): void {
    this.updateAll([config]);
  }

  /** All or, where it throws COMETMQ_BAD_REQUEST, none. */
  updateAll(configs: readonly SubscriptionGroupConfig[]): void {
    const changes = configs.map(({ groupName, attributes }) => ({ name: groupName, changes: attributes }));
    const altered = alterEach(GROUP_ATTRIBUTES, changes, (name) => this.#groups.get(name)?.attributes);
    const newNames = new Set(
      changes.filter(({ name }) => this.#groups.get(name) === undefined).map(({ name }) => name),
    );
    if (newNames.size > 0 && this.size + newNames.size > this.#config.groupCountMax) {
      const message = `There are ${this.size} groups, and ${newNames.size} more are more than groupCountMax allows.`;
      throw new CometError("COMETMQ_BAD_REQUEST", message);
    }
    for (const [i, config] of configs.entries()) {
      const existing = this.#groups.get(config.groupName);
      const group = (existing ?? this.#add(config.groupName)).assign({ ...config, attributes: altered[i]! });
      this.#log.info({ group: group.name, created: existing === undefined }, "group updated");
    }
    if (configs.length === 0) return;
    this.#changed();
    this.saver.markDirty();
  }

  delete(name: string): boolean {
    const group = this.#groups.delete(name);
    this.#forbidden.delete(name);
    if (group === undefined) return false;
    this.#log.info({ group: name }, "group deleted");
    this.#changed();
    this.saver.markDirty();
    return true;
  }

  isReadForbidden(group: string, topic: string): boolean {
    return ((this.#forbidden.get(group)?.get(topic) ?? 0) & READ_FORBIDDEN) !== 0;
  }

  /** Of this topic only; Apache, allowing one, allows all of the group's. Throws COMETMQ_BAD_REQUEST past the bound. */
  setReadForbidden(group: string, topic: string, forbidden: boolean): void {
    if (this.isReadForbidden(group, topic) === forbidden) return;
    const masks = entryOf(this.#forbidden, group, () => new Map<string, number>());
    if (forbidden && !masks.has(topic) && masks.size >= FORBIDDEN_TOPICS_MAX) {
      const message = `Group ${group} is forbidden ${FORBIDDEN_TOPICS_MAX} topics already.`;
      throw new CometError("COMETMQ_BAD_REQUEST", message);
    }
    const mask = (masks.get(topic) ?? 0) ^ READ_FORBIDDEN;
    if (mask > 0) masks.set(topic, mask);
    else masks.delete(topic);
    if (masks.size === 0) this.#forbidden.delete(group);
    this.#log.info({ group, topic, forbidden }, "reading changed for a group and topic");
    this.#changed();
    this.saver.markDirty();
  }

  toJson(): FastjsonInput {
    return this.pageJson([...this.#groups.values()]);
  }

  /** As `toJson`, with these groups only. */
  pageJson(groups: readonly SubscriptionGroup[]): FastjsonInput {
    const forbiddenTable = new Map<string, FastjsonInput>();
    const subscriptionGroupTable = new Map<string, FastjsonInput>();
    for (const group of groups) {
      subscriptionGroupTable.set(group.name, subscriptionGroupConfigJson(group));
      const masks = this.#forbidden.get(group.name);
      if (masks !== undefined) forbiddenTable.set(group.name, masks);
    }
    return { dataVersion: dataVersionJson(this.dataVersion), forbiddenTable, subscriptionGroupTable };
  }

  #add(name: string): SubscriptionGroup {
    const group = new SubscriptionGroup(name);
    this.#groups.set(group);
    return group;
  }

  #isFull(): boolean {
    return this.#groups.size >= this.#config.groupCountMax;
  }

  #changed(): void {
    this.dataVersion = nextDataVersion(this.dataVersion, this.#clock.nowMs());
  }
}
