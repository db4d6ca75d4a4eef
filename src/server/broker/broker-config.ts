/**
 * A broker's configuration: defaults, a broker.conf on top, and what the running broker was told since. Wrong values are
 * refused by name and change nothing; names that nobody knows are reported, not ignored.
 */
import type { Clock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { type DataVersion, nextDataVersion } from "../protocol/data-version.js";
import { formatProperties, parseProperties } from "../protocol/java-properties.js";
import { INERT_OPTIONS, inertProblem, SHOWN_DEFAULTS, UNBUILT_PROMISES } from "./apache-options.js";
import { type BrokerConfig, OPTIONS, optionNamed } from "./broker-options.js";

/** What a broker.conf says. */
export interface ConfigReading {
  readonly config: BrokerConfig;
  /** Names that neither CometMQ nor Apache knows. */
  readonly unknownNames: readonly string[];
  /** Properties of Apache's that have no effect here, as given. */
  readonly inert: ReadonlyMap<string, string>;
  /** Names that were given, as against those that have their defaults. */
  readonly given: ReadonlySet<string>;
  /** The file that was read, or would have been: changed settings go there. */
  readonly path?: string;
}

/** Of a broker that no file and no flag gives a name, where the host's would be no help. */
export const BROKER_NAME = "broker-a";

/**
 * Every property with its default, or with what `overrides` has, which is not checked. Filled all at once: V8 makes a hash
 * table of an object that grows so long, and some of it is read for every message.
 */
export function defaultBrokerConfig(overrides: Partial<BrokerConfig> = {}): BrokerConfig {
  const values = Object.fromEntries(Object.entries(OPTIONS).map(([name, { initial }]) => [name, initial]));
  return { ...values, ...overrides } as unknown as BrokerConfig;
}

/** A configuration from values by name, checked like those of a file. Throws COMETMQ_CONFIG for the first wrong one. */
export function brokerConfigOf(values: Partial<BrokerConfig>): ConfigReading {
  const config = defaultBrokerConfig() as Record<string, unknown>;
  const given = new Set<string>();
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    if (optionNamed(name) === undefined) throw new CometError("COMETMQ_CONFIG", `${name} is no property of a broker.`);
    const verdict = judge(name, String(value));
    if (verdict.problem !== undefined) throw new CometError("COMETMQ_CONFIG", verdict.problem);
    config[name] = verdict.value;
    given.add(name);
  }
  return { config: config as BrokerConfig, unknownNames: [], inert: new Map(), given };
}

/** Reads the text of a broker.conf. Throws COMETMQ_CONFIG that names the first wrong property. */
export function readBrokerConfig(text: string): ConfigReading {
  const config = defaultBrokerConfig() as Record<string, unknown>;
  const unknownNames: string[] = [];
  const inert = new Map<string, string>();
  const given = new Set<string>();
  for (const [name, value] of parseProperties(text)) {
    const verdict = judge(name, value);
    if (verdict.problem !== undefined) throw new CometError("COMETMQ_CONFIG", verdict.problem);
    given.add(name);
    if (verdict.value !== undefined) config[name] = verdict.value;
    else if (INERT_OPTIONS.has(name)) inert.set(name, value);
    else unknownNames.push(name);
  }
  return { config: config as BrokerConfig, unknownNames, inert, given };
}

interface Verdict {
  readonly problem?: string;
  readonly value?: string | number | boolean;
}

function judge(name: string, text: string): Verdict {
  const given = text.trim();
  const option = optionNamed(name);
  const value = option?.parse(given);
  const expects = option === undefined ? inertProblem(name, given) : value === undefined ? option.expects : undefined;
  if (expects !== undefined) {
    return { problem: `${name}${option?.secret === true ? "" : `=${shorten(given)}`}: expected ${expects}.` };
  }
  const promise = UNBUILT_PROMISES.get(name);
  if (promise !== undefined && given.toLowerCase() !== promise.toLowerCase()) {
    return { problem: `${name}=${shorten(given)}: CometMQ can only do ${promise}.` };
  }
  return value === undefined ? {} : { value };
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

export interface UpdateRefusal {
  /** "blacklisted" as Apache has it; the others name the property. */
  readonly kind: "blacklisted" | "fixed" | "unknown" | "wrong";
  readonly remark: string;
}

/** The configuration of a running broker. `config` is one object for the broker's life. */
export class BrokerSettings {
  readonly config: BrokerConfig;
  dataVersion: DataVersion;
  readonly #clock: Clock;
  readonly #inert: Map<string, string>;
  /** Called after an update with the names that have a new value. */
  onChange: (names: readonly string[]) => void = () => {};

  constructor(reading: Pick<ConfigReading, "config"> & Partial<ConfigReading>, clock: Clock) {
    this.config = reading.config;
    this.#inert = new Map([...SHOWN_DEFAULTS, ...(reading.inert ?? [])]);
    this.#clock = clock;
    this.dataVersion = { counter: 0, stateVersion: 0, timestamp: clock.nowMs() };
  }

  /** Takes all of `properties`, or none and says why. */
  update(properties: ReadonlyMap<string, string>): UpdateRefusal | undefined {
    for (const [name, text] of properties) {
      const refusal = this.#refusalOf(name, text);
      if (refusal !== undefined) return refusal;
    }
    if (properties.size === 0) return undefined;
    const target = this.config as unknown as Record<string, unknown>;
    for (const [name, text] of properties) target[name] = judge(name, text).value;
    this.dataVersion = nextDataVersion(this.dataVersion, this.#clock.nowMs());
    this.onChange([...properties.keys()]);
    return undefined;
  }

  /** The value of a property that changes nothing here, if there is one to show. */
  shown(name: string): string | undefined {
    return this.#inert.get(name);
  }

  /** Every property but the secret ones and its value, as code 26 answers. */
  format(): string {
    const properties = new Map<string, string | number | boolean>(this.#inert);
    for (const [name, value] of Object.entries(this.config)) {
      if (optionNamed(name)?.secret !== true) properties.set(name, value);
    }
    return formatProperties(properties);
  }

  #refusalOf(name: string, text: string): UpdateRefusal | undefined {
    if (this.#isBlacklisted(name)) return { kind: "blacklisted", remark: "Can not update config in black list." };
    const option = optionNamed(name);
    if (option === undefined) {
      const why = INERT_OPTIONS.has(name) ? "has no effect in CometMQ" : "is no property of a broker";
      return { kind: "unknown", remark: `${shorten(name)} ${why}; nothing was changed.` };
    }
    const { problem } = judge(name, text);
    if (problem !== undefined) return { kind: "wrong", remark: problem };
    if (!option.runtime) {
      return { kind: "fixed", remark: `${name} can not be changed while the broker runs; nothing was changed.` };
    }
    return undefined;
  }

  #isBlacklisted(name: string): boolean {
    if (name === "brokerConfigPath" || name === "rocketmqHome" || name === "configBlackList") return true;
    return this.config.configBlackList.split(";").includes(name);
  }
}
