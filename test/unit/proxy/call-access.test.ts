/** Rights to what gRPC calls name. */
import { expect, test } from "vitest";
import type { GrpcCall, GrpcPeer } from "#src/grpc/types.js";
import { openAccess } from "#src/server/auth/open-access.js";
import { User } from "#src/server/auth/user.js";
import { dateSignature } from "#src/server/auth/signature.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { checkCall } from "#src/server/proxy/call-access.js";

const DATE = "20260102T030405Z";

test("a right to all topics is none to the retry topics of others", () => {
  const access = openAccess({ reading: { config: defaultBrokerConfig({ authorizationEnabled: true }) } })!;
  const user = new User("reader", "reader-pw", "Normal");
  access.control.users.set(user);
  const allowed = { actions: ["Pub", "Sub"] as const, sourceIps: [], decision: "Allow" as const };
  const everyTopic = { ...allowed, resource: { type: "Topic" as const, pattern: "ANY" as const, name: "" } };
  const ownGroup = { ...allowed, resource: { type: "Group" as const, pattern: "LITERAL" as const, name: "mine" } };
  access.control.acls.set("reader", { Custom: [everyTopic, ownGroup], Default: [] });
  const authorization = `MQv2-HMAC-SHA1 Credential=reader, Signature=${dateSignature(DATE, user.key)}`;
  const headers: Record<string, string> = { authorization, "x-mq-date-time": DATE };
  const peer = { remoteAddress: "127.0.0.1", remotePort: 1, localAddress: "127.0.0.1", localPort: 2 };
  const call = { peer, header: (name: string) => headers[name] ?? "" } as unknown as GrpcCall<GrpcPeer>;
  const group = { name: "mine" };
  const answers = (name: string) => {
    const topic = { name };
    const requests = {
      ReceiveMessage: { group, messageQueue: { topic } },
      SendMessage: { messages: [{ topic }] },
      Telemetry: { settings: { subscription: { group, subscriptions: [{ topic }] } } },
      QueryRoute: { topic },
    };
    return Object.entries(requests).map(([method, request]) => {
      try {
        checkCall(access, method, call, request);
        return "allowed";
      } catch (error) {
        return (error as { code?: number }).code;
      }
    });
  };
  expect(answers("T")).toEqual(["allowed", "allowed", "allowed", "allowed"]);
  expect(answers("%RETRY%mine")).toEqual(["allowed", "allowed", "allowed", "allowed"]);
  expect(answers("%RETRY%others")).toEqual([40100, 40100, 40100, 40100]);
});
