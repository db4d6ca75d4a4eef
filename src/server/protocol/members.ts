/**
 * Reads members of a JSON body that came over the wire. Absent and null are the same (to fastjson2 null is 0 or false where
 * Java has a primitive, which nobody means by it), and fastjson2's usual conversions hold (a decimal text for a number, a
 * number for a text); what cannot be converted is refused with COMETMQ_BAD_REQUEST, so readers of bodies need no further
 * checks of type.
 */
import { CometError } from "../../base/errors.js";
import { type FastjsonMap, type FastjsonValue, parseFastjson } from "../../remoting/fastjson.js";

const DECIMAL = /^[+-]?\d{1,16}$/;
const INT32_MAX = 2 ** 31 - 1;

function wrongType(name: string, wanted: string): CometError {
  return new CometError("COMETMQ_BAD_REQUEST", `${name} is not ${wanted}.`);
}

/** The body as an object. */
export function parseBody(body: string | Buffer, name: string): FastjsonMap {
  const value = parseFastjson(body);
  if (!(value instanceof Map)) throw wrongType(`The body (${name})`, "a JSON object");
  return value;
}

export function asMap(value: FastjsonValue, name: string): FastjsonMap {
  if (!(value instanceof Map)) throw wrongType(name, "an object");
  return value;
}

export function mapMember(map: FastjsonMap, name: string): FastjsonMap | undefined {
  const value = map.get(name);
  return value === undefined || value === null ? undefined : asMap(value, name);
}

export function asList(value: FastjsonValue, name: string): FastjsonValue[] {
  if (!Array.isArray(value)) throw wrongType(name, "a list");
  return value;
}

export function listMember(map: FastjsonMap, name: string): FastjsonValue[] {
  const value = map.get(name);
  return value === undefined || value === null ? [] : asList(value, name);
}

export function asText(value: FastjsonValue, name: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw wrongType(name, "a text");
}

export function textMember(map: FastjsonMap, name: string): string | undefined {
  const value = map.get(name);
  return value === undefined || value === null ? undefined : asText(value, name);
}

/** A Java long, as far as a number holds it. */
export function asLong(value: FastjsonValue, name: string): number {
  const number = typeof value === "string" && DECIMAL.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(Math.trunc(number))) return Math.trunc(number);
  throw wrongType(name, "an integer");
}

export function longMember(map: FastjsonMap, name: string, fallback: number): number {
  const value = map.get(name);
  return value === undefined || value === null ? fallback : asLong(value, name);
}

export function asInt(value: FastjsonValue, name: string): number {
  const number = asLong(value, name);
  if (number > INT32_MAX || number < -INT32_MAX - 1) throw wrongType(name, "a 32-bit integer");
  return number;
}

export function intMember(map: FastjsonMap, name: string, fallback: number): number {
  const value = map.get(name);
  return value === undefined || value === null ? fallback : asInt(value, name);
}

export function booleanMember(map: FastjsonMap, name: string, fallback: boolean): boolean {
  const value = map.get(name);
  if (value === undefined || value === null) return fallback;
  if (typeof value === "boolean") return value;
  if (value === "true" || value === 1) return true;
  if (value === "false" || value === 0) return false;
  throw wrongType(name, "a boolean");
}

/** A map of texts; members that are null are left out. */
export function asTextMap(value: FastjsonValue, name: string): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [key, text] of asMap(value, name)) {
    if (text !== null) texts.set(asKey(key, name), asText(text, name));
  }
  return texts;
}

export function textMapMember(map: FastjsonMap, name: string): Map<string, string> {
  const value = map.get(name);
  return value === undefined || value === null ? new Map() : asTextMap(value, name);
}

/** A key as a name: bare integers are names too. */
export function asKey(key: string | number | FastjsonMap, name: string): string {
  if (typeof key === "object") throw wrongType(`A key of ${name}`, "a text");
  return String(key);
}
