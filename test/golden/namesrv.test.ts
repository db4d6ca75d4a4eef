/** Requests that an Apache broker, client and mqadmin sent to Apache's name server, with its answers. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseFastjson } from "#src/remoting/fastjson.js";
import { Bench, decodeFrame, FakeConnection } from "../unit/namesrv/harness.js";

interface GoldenFrame {
  readonly name: string;
  readonly direction: string;
  readonly hex: string;
  readonly header: {
    readonly opaque: number;
    readonly code: number;
    readonly extFields: Record<string, string> | null;
  };
}

/** A list without an order of its own: Apache's is that of a hash table. */
function sorted(value: unknown): unknown {
  if (!(value instanceof Map)) return value;
  const list = value.get("topicList");
  return Array.isArray(list) ? new Map(value).set("topicList", [...list].sort()) : value;
}

describe.each(["json", "rocketmq"])("%s frames", (file) => {
  const lines = readFileSync(new URL(`data/frames/${file}.jsonl`, import.meta.url), "utf8")
    .trim()
    .split("\n");
  const frames = lines
    .map((line) => JSON.parse(line) as GoldenFrame)
    .filter((frame) => frame.direction.includes("namesrv"));
  const named = (name: string) => frames.find((frame) => frame.name === name)!;
  const bytes = (name: string) => Buffer.from(named(name).hex, "hex");
  const body = (name: string) => decodeFrame(bytes(name)).body;
  const fields = (frame: GoldenFrame) => frame.header.extFields ?? {};

  /** With the golden broker registered, then with the topics that it had by the time of the capture. */
  function goldenBench(): { bench: Bench; broker: FakeConnection } {
    const bench = new Bench();
    const broker = new FakeConnection();
    bench.send(bytes("REGISTER_BROKER(103).request"), broker);
    const { topicList } = JSON.parse(body("GET_ALL_TOPIC_LIST_FROM_NAMESERVER(206).response.SUCCESS").toString());
    const known = new Set(bench.table.allTopics().topicList);
    for (const topic of topicList as string[]) {
      const queues = topic.startsWith("%RETRY%") ? 1 : 4;
      const data = { brokerName: "broker-a", readQueueNums: queues, writeQueueNums: queues, perm: 6, topicSysFlag: 0 };
      if (!known.has(topic)) bench.table.registerTopic(topic, [data]);
    }
    return { bench, broker };
  }

  test("the first registration is answered alike, and later ones bring the order configuration", () => {
    const { bench, broker } = goldenBench();
    const register = () => bench.send(bytes("REGISTER_BROKER(103).request"), broker);
    const first = named("REGISTER_BROKER(103).response.SUCCESS");
    expect(register()).toMatchObject({
      opaque: first.header.opaque,
      code: 0,
      fields: fields(first),
      body: Buffer.alloc(0),
    });
    bench.state.kvConfig.put("ORDER_TOPIC_CONFIG", "GoldenOrder", "broker-a:2");
    expect(register().body).toEqual(body("REGISTER_BROKER(103).response.SUCCESS#2"));
  });

  const pairs = [
    "GET_ROUTEINFO_BY_TOPIC(105)",
    "GET_BROKER_CLUSTER_INFO(106)",
    "GET_ALL_TOPIC_LIST_FROM_NAMESERVER(206)",
    "GET_TOPICS_BY_CLUSTER(224)",
    "WIPE_WRITE_PERM_OF_BROKER(205)",
    "ADD_WRITE_PERM_OF_BROKER(327)",
    "PUT_KV_CONFIG(100)",
    "DELETE_TOPIC_IN_NAMESRV(216)",
    "UNREGISTER_BROKER(104)",
  ];

  test.each(pairs)("%s is answered alike", (name) => {
    const { bench, broker } = goldenBench();
    const golden = named(`${name}.response.SUCCESS`);
    const answer = bench.send(bytes(`${name}.request`), broker);
    expect(answer).toMatchObject({ opaque: golden.header.opaque, code: 0, remark: "", fields: fields(golden) });
    const goldenBody = body(golden.name);
    if (answer.body.length === 0) expect(goldenBody).toHaveLength(0);
    else expect(sorted(parseFastjson(answer.body))).toEqual(sorted(parseFastjson(goldenBody)));
  });

  test("where Apache's order is a fixed one, bodies are the same bytes", () => {
    const { bench } = goldenBench();
    for (const name of ["GET_ROUTEINFO_BY_TOPIC(105)", "GET_BROKER_CLUSTER_INFO(106)"]) {
      expect(bench.send(bytes(`${name}.request`)).body.toString()).toBe(body(`${name}.response.SUCCESS`).toString());
    }
  });

  test("every captured route request has an answer of the captured kind", () => {
    const { bench } = goldenBench();
    const asked = frames.filter((frame) => /^GET_ROUTEINFO_BY_TOPIC.*request/.test(frame.name));
    expect(asked.length).toBeGreaterThanOrEqual(3);
    for (const frame of asked) expect(bench.send(Buffer.from(frame.hex, "hex")).code).toBe(0);
    const nobody = new Bench();
    const golden = decodeFrame(bytes("GET_ROUTEINFO_BY_TOPIC(105).response.TOPIC_NOT_EXIST")).header;
    for (const frame of asked) expect(nobody.send(Buffer.from(frame.hex, "hex")).code).toBe(golden.code);
    const remark = nobody.send(bytes("GET_ROUTEINFO_BY_TOPIC(105).request")).remark;
    expect(remark.split("\n")[0]).toBe(golden.remark.split("\n")[0]!.replace("GoldenAutoCreated", "GoldenTopic"));
  });

  test("key-value settings: put, get, list and delete as captured", () => {
    const { bench } = goldenBench();
    for (const name of [
      "PUT_KV_CONFIG(100)",
      "GET_KV_CONFIG(101)",
      "GET_KVLIST_BY_NAMESPACE(219)",
      "DELETE_KV_CONFIG(102)",
    ]) {
      const golden = named(`${name}.response.SUCCESS`);
      const answer = bench.send(bytes(`${name}.request`));
      expect(answer).toMatchObject({ opaque: golden.header.opaque, code: 0, fields: fields(golden) });
      expect(answer.body).toEqual(body(golden.name));
    }
    expect(bench.send(bytes("GET_KV_CONFIG(101).request")).code).toBe(22);
  });

  test("the configuration has Apache's defaults where it has Apache's names", () => {
    const { bench } = goldenBench();
    const text = (bytesOf: Buffer) =>
      new Map(
        bytesOf
          .toString()
          .trim()
          .split("\n")
          .map((line) => line.split("=") as [string, string]),
      );
    const golden = text(body("GET_NAMESRV_CONFIG(319).response.SUCCESS"));
    const ours = text(bench.send(bytes("GET_NAMESRV_CONFIG(319).request")).body);
    expect(ours.size).toBe(10);
    for (const [name, value] of ours) expect(golden.get(name)).toBe(value);
  });

  test("a deleted topic and an unregistered broker are gone", () => {
    const { bench, broker } = goldenBench();
    expect(bench.table.topicRouteData("GoldenDoomed")).toBeDefined();
    bench.send(bytes("DELETE_TOPIC_IN_NAMESRV(216).request"), broker);
    expect(bench.table.topicRouteData("GoldenDoomed")).toBeUndefined();
    bench.send(bytes("UNREGISTER_BROKER(104).request"), broker);
    expect(bench.table.allTopics().topicList).toEqual([]);
  });
});
