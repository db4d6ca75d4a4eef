/**
 * Policies of one user, and how they decide (auth/authorization/model/{Acl,Policy,PolicyEntry}.java,
 * chain/AclAuthorizationHandler.java). Custom policies come before default ones; among those that match, the most exact
 * resource decides, a longer prefix before a shorter one, and Deny before Allow.
 */
import { type AddressRange, addressRange } from "../../remoting/address-range.js";
import type { FastjsonMap, FastjsonValue } from "../../remoting/fastjson.js";
import { asMap, asText, listMember, textMember } from "../protocol/members.js";
import { type Action, actionNamed, matches, named, parseResource, type Resource, resourceKey } from "./resource.js";
import type { ResourceType } from "./resource.js";

const ENTRIES_MAX = 4096;
const SOURCE_IPS_MAX = 256;
const KEY_CHARS_MAX = 512;

const POLICY_TYPES = ["Custom", "Default"] as const;
export type PolicyType = (typeof POLICY_TYPES)[number];
const DECISIONS = ["Allow", "Deny"] as const;
export type Decision = (typeof DECISIONS)[number];

export interface PolicyEntry {
  readonly resource: Resource;
  readonly actions: readonly Action[];
  /** Empty: wherever a request comes from. */
  readonly sourceIps: readonly AddressRange[];
  readonly decision: Decision;
}

export type Acl = { readonly [Type in PolicyType]: readonly PolicyEntry[] };

export const NO_POLICIES: Acl = { Custom: [], Default: [] };

/** What a request asks for; one of the actions is enough. */
export interface Need {
  readonly type: ResourceType;
  readonly name: string;
  readonly actions: readonly Action[];
}

/** Thrown for policies that make no sense; the sentence is Apache's where it has one. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
}

/** Undefined when it is allowed, else why not. */
export function objection(acl: Acl, need: Need, host: string): string | undefined {
  const entry = deciding(acl.Custom, need, host) ?? deciding(acl.Default, need, host);
  if (entry === undefined) return "no matched policies.";
  return entry.decision === "Deny" ? "the decision is deny." : undefined;
}

function deciding(entries: readonly PolicyEntry[], need: Need, host: string): PolicyEntry | undefined {
  let best: PolicyEntry | undefined;
  for (const entry of entries) {
    if (!matches(entry.resource, need.type, need.name) || !meets(entry, need.actions)) continue;
    if (entry.sourceIps.length > 0 && !entry.sourceIps.some((range) => range.contains(host))) continue;
    if (best === undefined || compare(entry, best) < 0) best = entry;
  }
  return best;
}

function meets({ actions }: PolicyEntry, asked: readonly Action[]): boolean {
  return asked.includes("Any") || actions.includes("All") || asked.some((action) => actions.includes(action));
}

/** Negative when `a` goes before `b`. */
function compare(a: PolicyEntry, b: PolicyEntry): number {
  const byExactness = exactness(b.resource) - exactness(a.resource);
  if (byExactness !== 0) return byExactness;
  return (a.decision === "Deny" ? 0 : 1) - (b.decision === "Deny" ? 0 : 1);
}

function exactness({ type, pattern, name }: Resource): number {
  if (type === "Any") return -2;
  if (pattern === "ANY") return -1;
  return pattern === "LITERAL" ? Number.MAX_SAFE_INTEGER : name.length;
}

/** `changes` on top of `acl`: entries for a resource that has one already take its place. Throws PolicyError. */
export function updatedAcl(acl: Acl, changes: Acl): Acl {
  const updated = { Custom: merged(acl.Custom, changes.Custom), Default: merged(acl.Default, changes.Default) };
  if (updated.Custom.length + updated.Default.length > ENTRIES_MAX) {
    throw new PolicyError(`A user has at most ${ENTRIES_MAX} policy entries.`);
  }
  return updated;
}

function merged(entries: readonly PolicyEntry[], changes: readonly PolicyEntry[]): readonly PolicyEntry[] {
  const byResource = new Map(entries.map((entry) => [resourceKey(entry.resource), entry]));
  for (const entry of changes) byResource.set(resourceKey(entry.resource), entry);
  return [...byResource.values()];
}

/** `acl` without what it says of `resource`. */
export function withoutResource(acl: Acl, type: PolicyType, resource: Resource): Acl {
  const key = resourceKey(resource);
  return { ...acl, [type]: acl[type].filter((entry) => resourceKey(entry.resource) !== key) };
}

export function isEmptyAcl(acl: Acl): boolean {
  return acl.Custom.length === 0 && acl.Default.length === 0;
}

export function policyTypeNamed(text: string): PolicyType | undefined {
  return named(POLICY_TYPES, text);
}

/**
 * Reads the policies of an AclInfo (remoting/protocol/body/AclInfo.java). Throws PolicyError, or COMETMQ_BAD_REQUEST for
 * members of the wrong type.
 */
export function readPolicies(info: FastjsonMap): Acl {
  const read: Record<PolicyType, PolicyEntry[]> = { Custom: [], Default: [] };
  const policies = listMember(info, "policies");
  if (policies.length === 0) throw new PolicyError("The policies is empty.");
  for (const value of policies) {
    const policy = asMap(value, "policies");
    const type = policyTypeNamed(textMember(policy, "policyType") ?? "") ?? "Custom";
    const entries = listMember(policy, "entries");
    if (entries.length === 0) throw new PolicyError("The policy entries is empty.");
    if (read[type].length + entries.length > ENTRIES_MAX) {
      throw new PolicyError(`A user has at most ${ENTRIES_MAX} policy entries.`);
    }
    for (const entry of entries) read[type].push(readEntry(entry));
  }
  return read;
}

function readEntry(value: FastjsonValue): PolicyEntry {
  const entry = asMap(value, "entries");
  const key = textMember(entry, "resource") ?? "";
  const resource = key.length > KEY_CHARS_MAX ? undefined : parseResource(key);
  if (resource === undefined) throw new PolicyError("The resource is null.");
  const texts = listMember(entry, "actions").map((action) => asText(action, "actions"));
  const actions = [...new Set(texts.map(actionNamed))].filter((action) => action !== undefined);
  if (actions.length === 0) throw new PolicyError("The actions is empty.");
  if (actions.includes("Any")) throw new PolicyError("The actions can not be Any.");
  const ips = listMember(entry, "sourceIps").map((ip) => asText(ip, "sourceIps"));
  if (ips.length > SOURCE_IPS_MAX) throw new PolicyError(`An entry has at most ${SOURCE_IPS_MAX} source ips.`);
  const sourceIps = ips.map((ip) => {
    if (ip.trim() === "") throw new PolicyError("The source ip is empty.");
    const range = addressRange(ip);
    if (range === undefined) throw new PolicyError("The source ip is invalid.");
    return range;
  });
  const decision = named(DECISIONS, textMember(entry, "decision") ?? "");
  if (decision === undefined) throw new PolicyError("The decision is null or illegal.");
  return { resource, actions, sourceIps, decision };
}

/** As AclInfo; only entries whose resource contains `filter`. Undefined where nothing is left. */
export function policiesJson(acl: Acl, filter = "") {
  const policies = POLICY_TYPES.map((policyType) => ({ entries: entriesJson(acl[policyType], filter), policyType }));
  const left = policies.filter(({ entries }) => entries.length > 0);
  return left.length === 0 ? undefined : left;
}

function entriesJson(entries: readonly PolicyEntry[], filter: string) {
  return entries
    .filter(({ resource }) => resourceKey(resource).includes(filter))
    .map(({ resource, actions, sourceIps, decision }) => ({
      actions,
      decision,
      resource: resourceKey(resource),
      sourceIps: sourceIps.length === 0 ? undefined : sourceIps.map(({ text }) => text),
    }));
}
