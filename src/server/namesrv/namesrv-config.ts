/**
 * The name server's settings by Apache's names (common/namesrv/NamesrvConfig.java). What may be changed while it runs is
 * an allow-list: a setting that is not on it is refused, whatever it is, and then none of the request's is changed.
 */
import { CometError } from "../../base/errors.js";
import { formatProperties, parseProperties } from "../protocol/java-properties.js";

/** Properties of a name server, by their Apache names. */
export interface NamesrvSettings {
  /** Tells clients the order configuration of a topic with its route. */
  orderMessageEnable: boolean;
  /** Tells a broker that registers which topics are ordered. */
  returnOrderTopicConfigToBroker: boolean;
  /** Milliseconds between two looks for brokers that are silent: 5,000. */
  scanNotActiveBrokerInterval: number;
  /** Presents the surviving slave with the smallest id as master where its brokers allow it. */
  supportActingMaster: boolean;
  /** Answers which topics there are, to mqadmin for instance. */
  enableAllTopicList: boolean;
  /** Answers which topics a cluster has, or the system. */
  enableTopicList: boolean;
  /** Answers no route in the first `waitSecondsForService` seconds. */
  needWaitForService: boolean;
  waitSecondsForService: number;
  /** A topic that a broker no longer tells is deleted. */
  deleteTopicWithBrokerRegistration: boolean;
  /** Apache's test clusters ask another name server for the routes they lack. There is no such thing here: always false. */
  clusterTest: boolean;
}

export const NAMESRV_SETTINGS: Readonly<NamesrvSettings> = {
  orderMessageEnable: false,
  returnOrderTopicConfigToBroker: true,
  scanNotActiveBrokerInterval: 5000,
  supportActingMaster: false,
  enableAllTopicList: true,
  enableTopicList: true,
  needWaitForService: false,
  waitSecondsForService: 45,
  deleteTopicWithBrokerRegistration: false,
  clusterTest: false,
};

const BOUNDS = {
  scanNotActiveBrokerInterval: [100, 3_600_000],
  waitSecondsForService: [0, 3600],
} as const;

type NumberName = keyof typeof BOUNDS;
type BooleanName = Exclude<keyof NamesrvSettings, NumberName>;

const isNumberName = (name: string): name is NumberName => Object.hasOwn(BOUNDS, name);
const isBooleanName = (name: string): name is BooleanName =>
  Object.hasOwn(NAMESRV_SETTINGS, name) && !isNumberName(name);

export type ConfigUpdate = "updated" | { readonly refused: "name" | "value"; readonly name: string };

export class NamesrvConfig {
  readonly settings: NamesrvSettings;
  /** Shown with the settings, never changed: where the server listens and keeps its file. */
  readonly fixed = new Map<string, string | number | boolean>();

  /** Throws COMETMQ_CONFIG for a number out of its bounds. */
  constructor(settings: Partial<NamesrvSettings> = {}) {
    this.settings = { ...NAMESRV_SETTINGS, ...settings };
    for (const [name, [min, max]] of Object.entries(BOUNDS)) {
      const value = this.settings[name as NumberName];
      if (!Number.isInteger(value) || value < min || value > max) {
        throw new CometError("COMETMQ_CONFIG", `${name} is ${value}, not an integer from ${min} to ${max}.`);
      }
    }
  }

  format(): string {
    return formatProperties(new Map([...this.fixed, ...Object.entries(this.settings)]));
  }

  /** `text` is that of a properties file. */
  update(text: string): ConfigUpdate {
    const next: NamesrvSettings = { ...this.settings };
    for (const [name, value] of parseProperties(text)) {
      if (isNumberName(name)) {
        const [min, max] = BOUNDS[name];
        const number = /^\d{1,9}$/.test(value) ? Number(value) : -1;
        if (number < min || number > max) return { refused: "value", name };
        next[name] = number;
      } else if (isBooleanName(name)) {
        if (value !== "false" && (value !== "true" || name === "clusterTest")) return { refused: "value", name };
        next[name] = value === "true";
      } else {
        return { refused: "name", name };
      }
    }
    Object.assign(this.settings, next);
    return "updated";
  }
}
