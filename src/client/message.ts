/** What a producer is given, and what it makes of it before it goes out. */
import { PropertyName } from "../record/property-names.js";
import { encodeProperties } from "../record/properties.js";
import { shown } from "../base/given-values.js";
import { MessageError } from "./errors.js";

/** A message to send. Only topic and body are needed. */
export interface Message {
  readonly topic: string;
  /** A text goes out as UTF-8. */
  readonly body: string | Uint8Array;
  /** One tag, by which consumers choose. */
  readonly tags?: string;
  /** Keys by which the message can be found again. */
  readonly keys?: string | readonly string[];
  /** Further properties, also for SQL92 filters. */
  readonly properties?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  /** Messages of equal key go to the same queue, and so stay in order. */
  readonly orderKey?: string;
  /** One of the broker's levels: 1 is 1 s, 18 is 2 h where nobody changed them. */
  readonly delayLevel?: number;
  /** Delivered so many milliseconds after the broker has it. */
  readonly delayMs?: number;
  /** Delivered at that time (milliseconds since 1970, or a Date). */
  readonly deliverAt?: number | Date;
  /** From 0 on; a priority topic's consumers get higher ones first. */
  readonly priority?: number;
  /** An int32 that is the application's own. */
  readonly flag?: number;
  /** False: the answer need not wait until the message is on the disk. */
  readonly waitStoreMsgOk?: boolean;
}

/** A message as it goes out. */
export interface OutgoingMessage {
  readonly topic: string;
  readonly body: Uint8Array;
  readonly flag: number;
  readonly properties: Map<string, string>;
  readonly uniqueId: string;
}

/** Properties that the client and the broker keep to themselves. */
const RESERVED: ReadonlySet<string> = new Set(
  Object.values(PropertyName).filter((name) => name !== PropertyName.INSTANCE_ID && name !== PropertyName.BUYER_ID),
);
const PROPERTIES_BYTES_MAX = 32_767;
/** Between keys. */
const KEY_SEPARATOR = " ";

/**
 * Checks a message and gives it its properties and unique id. Throws MessageError for what no broker would take, or what
 * would come back as something else.
 */
export function outgoingOf(message: Message, uniqueId: string, maxMessageSize: number): OutgoingMessage {
  const body = typeof message.body === "string" ? Buffer.from(message.body) : message.body;
  if (!(body instanceof Uint8Array)) throw new MessageError(`The body is ${shown(body)}, neither a text nor bytes.`);
  if (body.length === 0) throw new MessageError("The body is empty.");
  if (body.length > maxMessageSize) {
    throw new MessageError(`The body has ${body.length} bytes, more than maxMessageSize (${maxMessageSize}).`);
  }
  const { flag = 0 } = message;
  if (!Number.isInteger(flag) || Math.abs(flag) > 2 ** 31) throw new MessageError(`flag is ${shown(flag)}, no int32.`);
  const properties = new Map<string, string>();
  for (const [name, value] of userProperties(message.properties)) {
    if (RESERVED.has(name)) throw new MessageError(`The property ${name} has a meaning of its own.`);
    setProperty(properties, name, value, `The property ${shown(name)}`);
  }
  setOwnProperties(properties, message);
  setProperty(properties, PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX, uniqueId, "The message id");
  const bytes = encodeProperties(properties).length;
  if (bytes > PROPERTIES_BYTES_MAX)
    throw new MessageError(`The properties take ${bytes} bytes, more than ${PROPERTIES_BYTES_MAX}.`);
  return { topic: message.topic, body, flag, properties, uniqueId };
}

function setOwnProperties(properties: Map<string, string>, message: Message): void {
  const { tags, keys, orderKey, delayLevel, delayMs, deliverAt, priority, waitStoreMsgOk } = message;
  const delays = [delayLevel, delayMs, deliverAt].filter((value) => value !== undefined);
  if (delays.length > 1) throw new MessageError("Of delayLevel, delayMs and deliverAt only one can be given.");
  const set = (name: string, value: string | undefined, argument: string) => {
    if (value !== undefined) setProperty(properties, name, value, argument);
  };
  const setInteger = (name: string, value: number | undefined, argument: string) =>
    set(name, integerText(argument, value), argument);
  set(PropertyName.TAGS, tags, "tags");
  set(PropertyName.KEYS, keysText(keys), "keys");
  set(PropertyName.SHARDING_KEY, orderKey, "orderKey");
  setInteger(PropertyName.DELAY_TIME_LEVEL, delayLevel, "delayLevel");
  setInteger(PropertyName.TIMER_DELAY_MS, delayMs, "delayMs");
  const time = deliverAt instanceof Date ? deliverAt.getTime() : deliverAt;
  setInteger(PropertyName.TIMER_DELIVER_MS, time, "deliverAt");
  setInteger(PropertyName.PRIORITY, priority, "priority");
  const waits = waitStoreMsgOk ?? true;
  if (typeof waits !== "boolean") throw new MessageError(`waitStoreMsgOk is ${shown(waits)}, neither true nor false.`);
  set(PropertyName.WAIT_STORE_MSG_OK, String(waits), "waitStoreMsgOk");
}

function keysText(keys: Message["keys"]): string | undefined {
  if (keys === undefined || typeof keys === "string") return keys;
  const isList = Array.isArray(keys);
  if (!isList || !keys.every((key) => typeof key === "string"))
    throw new MessageError(`keys is ${isList ? "a list of other things" : shown(keys)}, no text and no list of texts.`);
  return keys.join(KEY_SEPARATOR) || undefined;
}

function integerText(name: string, value: number | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || value < 0)
    throw new MessageError(`${name} is ${shown(value)}, not an integer from 0 on.`);
  return String(value);
}

function setProperty(properties: Map<string, string>, name: string, value: string, argument: string): void {
  const bad = typeof name !== "string" || typeof value !== "string" || name === "" || value === "";
  if (bad) throw new MessageError(`${argument} is ${shown(value)}: no text, or empty.`);
  if (name.includes("\u0001") || `${name}${value}`.includes("\u0002")) {
    throw new MessageError(`${argument} holds a separator of properties (U+0001, U+0002).`);
  }
  properties.set(name, value);
}

function userProperties(properties: Message["properties"]): Iterable<readonly [string, string]> {
  if (properties === undefined) return [];
  if (typeof properties !== "object" || properties === null || Array.isArray(properties))
    throw new MessageError(`properties is ${shown(properties)}, no object of texts.`);
  return properties instanceof Map ? properties : Object.entries(properties);
}
