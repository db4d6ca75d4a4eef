import { describe, expect, test } from "vitest";
import { addressRange } from "#src/remoting/address-range.js";
import { parseFastjson, type FastjsonMap } from "#src/remoting/fastjson.js";
import { hostPattern } from "#src/server/auth/host-pattern.js";
import { type Acl, objection, readPolicies, updatedAcl, withoutResource } from "#src/server/auth/policy.js";
import { parseResource, resourceKey } from "#src/server/auth/resource.js";

type Line = [resource: string, actions: string, decision: string, sourceIps?: string | undefined, policyType?: string];

function info(lines: Line[]): FastjsonMap {
  const policies = lines.map(([resource, actions, decision, sourceIps, policyType]) => ({
    policyType,
    entries: [{ resource, actions: actions.split(","), decision, sourceIps: sourceIps?.split(",") }],
  }));
  return parseFastjson(JSON.stringify({ policies })) as FastjsonMap;
}

const aclOf = (...lines: Line[]): Acl => readPolicies(info(lines));
const DENIED = "the decision is deny.";
const NONE = "no matched policies.";

function asks(acl: Acl, what: string, action: "Pub" | "Sub" | "Get" | "Update" | "Any", host = "10.1.2.3") {
  const { type, name } = parseResource(what)!;
  return objection(acl, { type, name, actions: [action] }, host);
}

test.each([
  ["*", "*"],
  ["Topic:a", "Topic:a"],
  ["topic:a", "Topic:a"],
  ["Topic:a*", "Topic:a*"],
  ["Topic:*", "Topic:*"],
  ["Group:a*b*", "Group:a*"],
  ["Cluster:DefaultCluster", "Cluster:DefaultCluster"],
  ["Any:x", "*"],
])("the resource %s is %s", (given, key) => {
  expect(resourceKey(parseResource(given)!)).toBe(key);
});

test.each(["", "x", "Unknown:a", "Topics:a", "**"])("%j is no resource", (text) => {
  expect(parseResource(text)).toBeUndefined();
});

describe("who decides", () => {
  test.each<[string, Line[], string | undefined]>([
    ["nobody: it is refused", [], NONE],
    [
      "the literal before the prefix",
      [
        ["Topic:abc", "Pub", "Allow"],
        ["Topic:ab*", "Pub", "Deny"],
      ],
      undefined,
    ],
    [
      "the longer prefix",
      [
        ["Topic:a*", "Pub", "Allow"],
        ["Topic:ab*", "Pub", "Deny"],
      ],
      DENIED,
    ],
    [
      "the prefix before all topics",
      [
        ["Topic:*", "Pub", "Deny"],
        ["Topic:a*", "Pub", "Allow"],
      ],
      undefined,
    ],
    [
      "all topics before everything",
      [
        ["*", "All", "Deny"],
        ["Topic:*", "Pub", "Allow"],
      ],
      undefined,
    ],
    [
      "custom before default, however vague",
      [
        ["*", "All", "Deny"],
        ["Topic:abc", "Pub", "Allow", undefined, "Default"],
      ],
      DENIED,
    ],
    [
      "default where no custom one matches",
      [
        ["Topic:x", "Pub", "Deny"],
        ["Topic:*", "Pub", "Allow", undefined, "Default"],
      ],
      undefined,
    ],
    ["the action", [["Topic:abc", "Sub", "Allow"]], NONE],
    ["All", [["Topic:abc", "All", "Allow"]], undefined],
    ["the source", [["Topic:abc", "Pub", "Allow", "10.0.0.0/8"]], undefined],
    ["another source", [["Topic:abc", "Pub", "Allow", "10.1.2.4"]], NONE],
    [
      "a denial from elsewhere does not count",
      [
        ["Topic:abc", "Pub", "Deny", "192.168.0.0/16"],
        ["Topic:a*", "Pub", "Allow"],
      ],
      undefined,
    ],
    ["a group's entry says nothing of topics", [["Group:abc", "Pub", "Allow"]], NONE],
  ])("%s", (_what, lines, verdict) => {
    const acl = lines.length === 0 ? { Custom: [], Default: [] } : aclOf(...lines);
    expect(asks(acl, "Topic:abc", "Pub")).toBe(verdict);
    const backwards = { Custom: [...acl.Custom].reverse(), Default: [...acl.Default].reverse() };
    expect(asks(backwards, "Topic:abc", "Pub")).toBe(verdict);
  });

  test("of two for the same resource the denial", () => {
    const [allow] = aclOf(["*", "All", "Allow"]).Custom;
    const [deny] = aclOf(["*", "All", "Deny"]).Custom;
    expect(asks({ Custom: [allow!, deny!], Default: [] }, "Topic:abc", "Pub")).toBe(DENIED);
    expect(asks({ Custom: [deny!, allow!], Default: [] }, "Topic:abc", "Pub")).toBe(DENIED);
  });
});

test("what is told comes on top, by resource, and can be taken away again", () => {
  const acl = updatedAcl(
    aclOf(["Topic:a", "Pub", "Allow"], ["Topic:b", "Pub", "Allow"]),
    aclOf(["Topic:a", "Sub", "Deny"]),
  );
  expect(asks(acl, "Topic:a", "Pub")).toBe(NONE);
  expect(asks(acl, "Topic:a", "Sub")).toBe(DENIED);
  expect(asks(acl, "Topic:b", "Pub")).toBeUndefined();
  const left = withoutResource(acl, "Custom", parseResource("Topic:b")!);
  expect(asks(left, "Topic:b", "Pub")).toBe(NONE);
});

test.each<[string, Line]>([
  ["The resource is null.", ["Nothing:a", "Pub", "Allow"]],
  ["The resource is null.", ["", "Pub", "Allow"]],
  ["The actions is empty.", ["Topic:a", "Publish", "Allow"]],
  ["The actions can not be Any.", ["Topic:a", "Pub,Any", "Allow"]],
  ["The decision is null or illegal.", ["Topic:a", "Pub", "Perhaps"]],
  ["The source ip is invalid.", ["Topic:a", "Pub", "Allow", "10.0.0.0/33"]],
  ["The source ip is invalid.", ["Topic:a", "Pub", "Allow", "localhost"]],
  ["The source ip is empty.", ["Topic:a", "Pub", "Allow", " "]],
])("%s %j", (message, line) => {
  expect(() => aclOf(line)).toThrow(message);
});

test.each(["{}", '{"policies":[{}]}', '{"policies":1}', '{"policies":[1]}', '{"policies":[{"entries":["x"]}]}'])(
  "policies %s are refused",
  (text) => {
    expect(() => readPolicies(parseFastjson(text) as FastjsonMap)).toThrow();
  },
);

test.each<[string, string[], string[]]>([
  ["10.0.0.0/8", ["10.0.0.1", "10.255.255.255"], ["11.0.0.1", "::1", "x", ""]],
  ["0.0.0.0/0", ["1.2.3.4"], ["nobody"]],
  ["127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]],
  ["2001:db8::/32", ["2001:db8:0:0:0:0:0:1"], ["2001:db9::1", "32.1.13.184"]],
  ["::1", ["0:0:0:0:0:0:0:1"], ["::2"]],
])("the range %s", (text, within, without) => {
  const range = addressRange(text)!;
  for (const host of within) expect(range.contains(host), host).toBe(true);
  for (const host of without) expect(range.contains(host), host).toBe(false);
});

test.each(["", "10.0.0", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/8x", "::/129", "*"])(
  "%j is no range",
  (text) => {
    expect(addressRange(text)).toBeUndefined();
  },
);

test.each<[string, string[], string[]]>([
  ["*", ["1.2.3.4", "::1"], []],
  ["*.*.*.*", ["1.2.3.4"], []],
  ["10.0.0.*", ["10.0.0.9"], ["10.0.1.9", "::1"]],
  ["10.0.1-5.*", ["10.0.3.9"], ["10.0.6.9"]],
  ["10.0.0.{7,9}", ["10.0.0.7", "10.0.0.9"], ["10.0.0.8"]],
  ["10.0.0.7,10.0.0.9", ["10.0.0.9"], ["10.0.0.8"]],
])("the white list %s of 4.x", (text, within, without) => {
  const pattern = hostPattern(text)!;
  for (const host of within) expect(pattern(host), host).toBe(true);
  for (const host of without) expect(pattern(host), host).toBe(false);
});

test.each(["", "10.0.*", "10.0.0.a", "10.0.0.1-", "{", "host"])("%j is no white list", (text) => {
  expect(hostPattern(text)).toBeUndefined();
});
