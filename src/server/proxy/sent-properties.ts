/**
 * From a sent message to the properties that the broker stores (proxy/grpc/v2/producer/SendMessageActivity.java), with
 * the proxy's limits. Throws what is wrong, with the API's code.
 */
import { Code, MessageType } from "../../grpc/enums.js";
import { type Message, type SystemProperties, toMs } from "../../grpc/messages.js";
import { PropertyName } from "../../record/property-names.js";
import { isBlank } from "../broker/names.js";
import type { ProxyServices, RpcContext } from "./proxy.js";
import { ProxyError } from "./proxy-error.js";
import { isSystemProperty } from "./system-properties.js";
import { hasControlCharacter } from "./validation.js";

const KEYS_MAX = 1024;

/** In the order in which they are set; `topic` stands for the producer's group. */
export function sentProperties(
  proxy: ProxyServices,
  context: RpcContext,
  message: Message,
  topic: string,
): ReadonlyMap<string, string> {
  const system = message.systemProperties ?? {};
  const properties = new Map<string, string>();
  let userBytes = takeUserProperties(proxy, message.userProperties, properties);
  userBytes += takeTagAndKeys(system, properties);
  const { maxUserPropertySize } = proxy.broker.config;
  if (userBytes > maxUserPropertySize) {
    const text = `the total size of user property is too large, max is ${maxUserPropertySize}`;
    throw new ProxyError(Code.MESSAGE_PROPERTIES_TOO_LARGE, text);
  }
  const { messageId = "" } = system;
  if (isBlank(messageId)) throw new ProxyError(Code.ILLEGAL_MESSAGE_ID, "message id cannot be empty");
  if (hasControlCharacter(messageId)) {
    throw new ProxyError(Code.ILLEGAL_MESSAGE_ID, "message id cannot contain control character");
  }
  properties.set(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX, messageId);
  takeTransaction(proxy, system, properties);
  takeDelivery(proxy, system, properties);
  if (system.priority != null) properties.set(PropertyName.PRIORITY, String(system.priority));
  properties.set(PropertyName.RECONSUME_TIME, String(system.deliveryAttempt ?? 0));
  properties.set(PropertyName.PRODUCER_GROUP, topic);
  takeMessageGroup(proxy, system, properties);
  takeOrigin(context, system, properties);
  return properties;
}

/** Bytes of all names and values. */
function takeUserProperties(
  proxy: ProxyServices,
  sent: Record<string, string>,
  properties: Map<string, string>,
): number {
  const { userPropertyMaxNum } = proxy.broker.config;
  const entries = Object.entries(sent);
  if (entries.length > userPropertyMaxNum) {
    const text = `too many user properties, max is ${userPropertyMaxNum}`;
    throw new ProxyError(Code.MESSAGE_PROPERTIES_TOO_LARGE, text);
  }
  let bytes = 0;
  for (const [name, value] of entries) {
    const problem = isSystemProperty(name)
      ? `property is used by system: ${name}`
      : hasControlCharacter(name)
        ? "the key of property cannot contain control character"
        : hasControlCharacter(value)
          ? "the value of property cannot contain control character"
          : undefined;
    if (problem !== undefined) throw new ProxyError(Code.ILLEGAL_MESSAGE_PROPERTY_KEY, problem);
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
    properties.set(name, value);
  }
  return bytes;
}

function takeTagAndKeys({ tag, keys = [] }: SystemProperties, properties: Map<string, string>): number {
  let bytes = 0;
  if (tag != null && tag !== "") {
    if (isBlank(tag)) throw new ProxyError(Code.ILLEGAL_MESSAGE_TAG, "tag cannot be the char sequence of whitespace");
    if (tag.includes("|")) throw new ProxyError(Code.ILLEGAL_MESSAGE_TAG, "tag cannot contain '|'");
    if (hasControlCharacter(tag)) {
      throw new ProxyError(Code.ILLEGAL_MESSAGE_TAG, "tag cannot contain control character");
    }
    properties.set(PropertyName.TAGS, tag);
    bytes += Buffer.byteLength(tag);
  }
  if (keys.length > KEYS_MAX) throw new ProxyError(Code.ILLEGAL_MESSAGE_KEY, `more than ${KEYS_MAX} keys`);
  for (const key of keys) {
    if (key !== "" && isBlank(key)) {
      throw new ProxyError(Code.ILLEGAL_MESSAGE_KEY, "key cannot be the char sequence of whitespace");
    }
    if (hasControlCharacter(key)) {
      throw new ProxyError(Code.ILLEGAL_MESSAGE_KEY, "key cannot contain control character");
    }
    bytes += Buffer.byteLength(key);
  }
  if (keys.length > 0) properties.set(PropertyName.KEYS, keys.join(" "));
  return bytes;
}

function takeTransaction({ broker }: ProxyServices, system: SystemProperties, properties: Map<string, string>): void {
  if (system.messageType !== MessageType.TRANSACTION) return;
  properties.set(PropertyName.TRANSACTION_PREPARED, "true");
  const recovery = system.orphanedTransactionRecoveryDuration;
  if (recovery == null) return;
  const { maxTransactionRecoverySecond } = broker.config;
  if (maxTransactionRecoverySecond > 0 && recovery.seconds > maxTransactionRecoverySecond) {
    const text = `the max transaction recovery time of message is too large, max is ${maxTransactionRecoverySecond}`;
    throw new ProxyError(Code.BAD_REQUEST, text);
  }
  properties.set(PropertyName.CHECK_IMMUNITY_TIME_IN_SECONDS, String(recovery.seconds));
}

function takeDelivery(
  { broker, clock }: ProxyServices,
  system: SystemProperties,
  properties: Map<string, string>,
): void {
  if (system.deliveryTimestamp == null) return;
  const deliverMs = toMs(system.deliveryTimestamp);
  const { maxDelayTimeMills } = broker.config;
  if (maxDelayTimeMills > 0 && deliverMs - clock.nowMs() > maxDelayTimeMills) {
    const text = `the max delay time of message is too large, max is ${maxDelayTimeMills}`;
    throw new ProxyError(Code.ILLEGAL_DELIVERY_TIME, text);
  }
  properties.set(PropertyName.TIMER_DELIVER_MS, String(deliverMs));
}

function takeMessageGroup(
  { broker }: ProxyServices,
  { messageGroup }: SystemProperties,
  properties: Map<string, string>,
) {
  if (messageGroup == null || messageGroup === "") return;
  const refuse = (problem: string) => new ProxyError(Code.ILLEGAL_MESSAGE_GROUP, `message group ${problem}`);
  const { maxMessageGroupSize } = broker.config;
  if (isBlank(messageGroup)) throw refuse("cannot be the char sequence of whitespace");
  if (maxMessageGroupSize > 0 && Buffer.byteLength(messageGroup) >= maxMessageGroupSize) {
    throw refuse(`exceed the max size ${maxMessageGroupSize}`);
  }
  if (hasControlCharacter(messageGroup)) throw refuse("cannot contain control character");
  properties.set(PropertyName.SHARDING_KEY, messageGroup);
}

function takeOrigin({ peer }: RpcContext, system: SystemProperties, properties: Map<string, string>): void {
  const { traceContext, bornHost = "", bornTimestamp } = system;
  if (traceContext != null && traceContext !== "") {
    if (hasControlCharacter(traceContext)) {
      throw new ProxyError(Code.BAD_REQUEST, "trace context cannot contain control character");
    }
    properties.set(PropertyName.TRACE_CONTEXT, traceContext);
  }
  const told = !isBlank(bornHost) && !hasControlCharacter(bornHost);
  properties.set(PropertyName.BORN_HOST, told ? bornHost : peer.connection.remoteAddress);
  // Without one, protobuf's default is 1970, which Apache stores.
  properties.set(PropertyName.BORN_TIMESTAMP, String(toMs(bornTimestamp)));
}
