/**
 * Access control of gRPC calls: who signed the date in their metadata, and what their messages ask for
 * (auth/authentication/builder/DefaultAuthenticationContextBuilder.java, authorization/builder/
 * DefaultAuthorizationContextBuilder.java).
 */
import { ClientType, Code } from "../../grpc/enums.js";
import type { Message, MessageQueue, Resource, Settings } from "../../grpc/messages.js";
import type { GrpcCall, GrpcPeer } from "../../grpc/types.js";
import { hostText } from "../../remoting/address.js";
import { type AccessControl, AccessDenied, type Claim } from "../auth/access-control.js";
import type { Access } from "../auth/open-access.js";
import type { Need } from "../auth/policy.js";
import { needOf } from "../auth/request-needs.js";
import type { Action } from "../auth/resource.js";
import { dateSignature } from "../auth/signature.js";
import { ProxyError } from "./proxy-error.js";

const HEX_SHA1 = /^[0-9a-fA-F]{40}$/;

/** What messages of the API have of topics and groups, whichever they are. */
interface AnyRequest {
  readonly topic?: Resource | null;
  readonly group?: Resource | null;
  readonly messageQueue?: MessageQueue | null;
  readonly messages?: readonly Message[];
  readonly clientType?: number | null;
  readonly settings?: Settings | null;
}

type Asked = (request: AnyRequest) => Need[];

const pubOfTopic: Asked = ({ topic }) => [topicNeed(topic, "Pub")];
const subOfBoth: Asked = ({ group, topic, messageQueue }) => [
  groupNeed(group),
  topicNeed(messageQueue == null ? topic : messageQueue.topic, "Sub"),
];
const subOfGroup: Asked = ({ group }) => [groupNeed(group)];

const ASKED: Readonly<Record<string, Asked>> = {
  QueryRoute: ({ topic }) => [topicNeed(topic, "Pub", "Sub")],
  QueryAssignment: subOfBoth,
  Heartbeat: (request) => (isConsumer(request.clientType) ? subOfGroup(request) : []),
  NotifyClientTermination: (request) => (request.group == null || request.group.name === "" ? [] : subOfGroup(request)),
  SendMessage: ({ messages = [] }) => {
    const topics = new Set(messages.map(({ topic }) => topic?.name ?? ""));
    return [...topics].map((name) => topicNeed({ name }, "Pub"));
  },
  AckMessage: subOfBoth,
  // Apache asks for the group; but what is given more time comes again, from the topic that is named here.
  ChangeInvisibleDuration: subOfBoth,
  ForwardMessageToDeadLetterQueue: subOfBoth,
  EndTransaction: pubOfTopic,
  RecallMessage: pubOfTopic,
  ReceiveMessage: subOfBoth,
  PullMessage: subOfBoth,
  UpdateOffset: subOfBoth,
  GetOffset: subOfBoth,
  QueryOffset: ({ messageQueue }) => [topicNeed(messageQueue?.topic, "Sub")],
  SyncLiteSubscription: subOfBoth,
  Telemetry: ({ settings }) => (settings == null ? [] : askedBySettings(settings)),
};

/** Names of the messages that a white list of Apache's has. */
function rpcCode(method: string): string {
  return method === "Telemetry" ? "apache.rocketmq.v2.TelemetryCommand" : `apache.rocketmq.v2.${method}Request`;
}

/** Throws a ProxyError with UNAUTHORIZED. A retry topic is its group's, as it is over Remoting; Apache takes it for any topic. */
export function checkCall(access: Access | undefined, method: string, call: GrpcCall<GrpcPeer>, request: object): void {
  if (access?.enforced !== true) return;
  const { control } = access;
  const host = hostText(call.peer.remoteAddress);
  try {
    check(control, method, call, request, host);
  } catch (error) {
    if (!(error instanceof AccessDenied)) throw error;
    control.noteRefusal(method, host, error);
    throw new ProxyError(Code.UNAUTHORIZED, error.message);
  }
}

function check(control: AccessControl, method: string, call: GrpcCall, request: object, host: string): void {
  const asked = (): Need[] => (ASKED[method] ?? denied)(request);
  control.admit(rpcCode(method), claimOf(call), host, asked);
}

function denied(): Need[] {
  throw new AccessDenied("the call is not known to access control.");
}

/** `MQv2-HMAC-SHA1 Credential=NAME/…, SignedHeaders=x-mq-date-time, Signature=HEX` */
function claimOf(call: GrpcCall): Claim {
  const authorization = call.header("authorization");
  const dateTime = call.header("x-mq-date-time");
  const claim = { username: "", signature: undefined as string | undefined };
  if (authorization !== "") {
    if (dateTime === "") throw new AccessDenied("datetime is null.");
    const space = authorization.indexOf(" ");
    if (space < 0) throw new AccessDenied("authentication header is incorrect.");
    for (const item of authorization.slice(space + 1).split(",")) {
      const [name, value] = cut(item.trim(), "=");
      if (value === undefined) throw new AccessDenied("authentication keyValues length is incorrect.");
      if (name === "Credential") [claim.username] = cut(value, "/");
      else if (name === "Signature" && HEX_SHA1.test(value)) claim.signature = value.toLowerCase();
    }
  }
  return { ...claim, expected: ({ key }) => dateSignature(dateTime, key) };
}

function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function isConsumer(clientType: number | null | undefined): boolean {
  return (
    clientType === ClientType.PUSH_CONSUMER ||
    clientType === ClientType.SIMPLE_CONSUMER ||
    clientType === ClientType.PULL_CONSUMER
  );
}

function askedBySettings({ publishing, subscription }: Settings): Need[] {
  const needs = (publishing?.topics ?? []).map((topic) => topicNeed(topic, "Pub"));
  if (subscription == null) return needs;
  const entries = subscription.subscriptions ?? [];
  return [...needs, groupNeed(subscription.group), ...entries.map(({ topic }) => topicNeed(topic, "Sub"))];
}

function topicNeed(topic: Resource | null | undefined, ...actions: Action[]): Need {
  const name = topic?.name ?? "";
  if (name.trim() === "") throw new AccessDenied("topic is null.");
  return needOf("Topic", name, actions);
}

function groupNeed(group: Resource | null | undefined): Need {
  const name = group?.name ?? "";
  if (name.trim() === "") throw new AccessDenied("group is null.");
  return { type: "Group", name, actions: ["Sub"] };
}
