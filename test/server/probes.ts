/**
 * Every golden request of a code, once for each thing that can be wrong with each of its fields and with its body. What
 * Apache answered to the same bytes, in the same state, is in test/golden/data/probes.jsonl.
 */
import { RequestCode } from "#src/remoting/codes.js";
import { frameOf, type GoldenRequest, goldenRequests } from "../fuzz/mutations.js";
import { BareSocket, until } from "../unit/remoting/peers.js";

export interface Probe {
  /** As in `PULL_MESSAGE(11) queueId: wrong type`. */
  readonly name: string;
  readonly server: "broker" | "namesrv";
  readonly field: string;
  /** A sound request has a number there. */
  readonly numeric: boolean;
  readonly bytes: (opaque: number) => Buffer;
}

export interface ProbeAnswer {
  /** Undefined where none came. */
  readonly code?: number | undefined;
  readonly remark?: string | undefined;
}

const WRONG_VALUES: readonly [string, string][] = [
  ["empty", ""],
  ["no number", "x"],
  ["negative", "-1"],
  ["a large int", "2147483648"],
  ["beyond a long", "99999999999999999999"],
  ["a path out", "../../escaped"],
  ["a NUL", "a\0b"],
  ["a prototype's key", "__proto__"],
  ["a kilobyte", "x".repeat(1000)],
];

const WRONG_BODIES: readonly [string, Buffer][] = [
  ["absent", Buffer.alloc(0)],
  ["cut off", Buffer.from('{"topic":')],
  ["a list", Buffer.from("[]")],
  ["null", Buffer.from("null")],
  ["a number", Buffer.from("1")],
  ["a prototype's key", Buffer.from('{"__proto__":{"x":1}}')],
  ["deeply nested", Buffer.from("[".repeat(20_000))],
  ["no text", Buffer.from([0xff, 0xfe, 0, 1])],
  ["a megabyte", Buffer.from(`{"x":"${"y".repeat(1_000_000)}"}`)],
];

/** These change what later probes find, or the very port that they are sent to. */
const LEFT_OUT = new Set<number>([9999, RequestCode.UPDATE_BROKER_CONFIG]);

/** Fields of the golden requests that would have a probe wait. */
const AT_ONCE: Readonly<Record<string, string>> = { sysFlag: "4", suspendTimeoutMillis: "0" };

function firstOfEachCode(): GoldenRequest[] {
  const first = new Map<number, GoldenRequest>();
  for (const request of goldenRequests()) {
    if (!first.has(request.code) && !LEFT_OUT.has(request.code)) first.set(request.code, request);
  }
  return [...first.values()].sort((a, b) => a.code - b.code);
}

export function probes(): Probe[] {
  return firstOfEachCode().flatMap((request) => {
    const { code, server, body } = request;
    const fields: Record<string, string> = { ...request.fields };
    if (code === RequestCode.PULL_MESSAGE) Object.assign(fields, AT_ONCE);
    const title = request.name.replace(/\.request.*/, "");
    const probe = (name: string, field: string, changed: Record<string, string>, otherBody = body): Probe => ({
      name: `${title} ${field}: ${name}`,
      server,
      field,
      numeric: /^-?\d+$/.test(fields[field] ?? ""),
      bytes: (opaque) => frameOf(code, changed, otherBody, opaque),
    });
    const found = [probe("sound", "everything", fields), probe("none", "every field", {})];
    for (const field of Object.keys(fields)) {
      const { [field]: _, ...others } = fields;
      found.push(probe("missing", field, others));
      for (const [name, value] of WRONG_VALUES) found.push(probe(name, field, { ...fields, [field]: value }));
    }
    found.push(probe("unheard of", "extra", { ...fields, extra: "x", constructor: "x" }));
    for (const [name, other] of WRONG_BODIES) {
      if (body.length > 0 || name === "no text") found.push(probe(name, "body", fields, other));
    }
    return found;
  });
}

/** The topics and groups that the golden requests are about. */
export function preparations(): Buffer[] {
  const topics = new Set<string>();
  const groups = new Set<string>();
  for (const { fields, code } of goldenRequests()) {
    const topic = code === 310 || code === 320 ? fields["b"] : fields["topic"];
    if (topic !== undefined && !topic.includes("%") && topic !== "TBW102") topics.add(topic);
    for (const name of ["consumerGroup", "group", "groupName", "srcGroup"]) {
      if (fields[name] !== undefined) groups.add(fields[name]);
    }
  }
  const topicFields = { defaultTopic: "TBW102", readQueueNums: "4", writeQueueNums: "4", perm: "6" };
  const rest = { topicFilterType: "SINGLE_TAG", topicSysFlag: "0", order: "false", attributes: "", force: "false" };
  return [
    ...[...topics].map((topic) => frameOf(17, { ...topicFields, ...rest, topic }, Buffer.alloc(0), 0)),
    ...[...groups].map((groupName) => frameOf(200, {}, Buffer.from(JSON.stringify({ groupName })), 0)),
  ];
}

/** Sends one frame after the other, each when the one before is answered. */
export class Prober {
  readonly #port: number;
  readonly #limitMs: number;
  #peer: BareSocket | undefined;
  #opaque = 1000;

  constructor(port: number, limitMs: number) {
    this.#port = port;
    this.#limitMs = limitMs;
  }

  async ask(bytes: (opaque: number) => Buffer): Promise<ProbeAnswer> {
    this.#peer ??= (await BareSocket.open(this.#port)).readFrames();
    const peer = this.#peer;
    const opaque = ++this.#opaque;
    let closed = false;
    void peer.closed.then(() => {
      closed = true;
    });
    peer.frames.length = 0;
    peer.socket.write(bytes(opaque));
    const answer = () => peer.frames.find((frame) => frame.opaque === opaque && (frame.flag & 1) === 1);
    const limit = new Promise<void>((resolve) => setTimeout(resolve, this.#limitMs).unref());
    await Promise.race([until(() => closed || answer() !== undefined, "an answer").catch(() => {}), limit]);
    const found = answer();
    if (closed || found === undefined) this.close();
    return found === undefined ? {} : { code: found.code, remark: found.remark };
  }

  close(): void {
    this.#peer?.socket.destroy();
    this.#peer = undefined;
  }
}
