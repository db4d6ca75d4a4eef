/**
 * Requests made from the golden ones by changing them: most stay frames, so that they come as far as a processor, and
 * have fields or bodies that no client would send; some are no frames any more.
 */
import { readFileSync } from "node:fs";
import { FrameWriter } from "#src/remoting/frame-writer.js";

interface GoldenFrame {
  readonly name: string;
  readonly direction: string;
  readonly hex: string;
  readonly header: {
    readonly headerLength: number;
    readonly code: number;
    readonly extFields: Record<string, string | null> | null;
  };
}

export interface GoldenRequest {
  readonly name: string;
  /** Who answers it. */
  readonly server: "broker" | "namesrv";
  readonly bytes: Buffer;
  readonly code: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export function goldenRequests(): GoldenRequest[] {
  return ["json", "rocketmq"].flatMap((file) =>
    readFileSync(new URL(`../golden/data/frames/${file}.jsonl`, import.meta.url), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as GoldenFrame)
      .filter(({ name, direction }) => /\.request/.test(name) && /->(broker|namesrv)$/.test(direction))
      .map(({ name, direction, hex, header }) => {
        const bytes = Buffer.from(hex, "hex");
        const fields = Object.entries(header.extFields ?? {}).filter(([, value]) => value !== null);
        return {
          name,
          server: direction.endsWith("broker") ? ("broker" as const) : ("namesrv" as const),
          bytes,
          code: header.code,
          fields: Object.fromEntries(fields) as Record<string, string>,
          body: bytes.subarray(8 + header.headerLength),
        };
      }),
  );
}

/** Numbers that can be drawn again from their seed (mulberry32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  one<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** True once in `times`. */
  rarely(times: number): boolean {
    return this.below(times) === 0;
  }
}

export const HOSTILE_VALUES: readonly string[] = [
  ...["", " ", "0", "1", "-1", "2147483647", "2147483648", "-2147483648", "9223372036854775807", "9223372036854775808"],
  ...["-9223372036854775808", "99999999999999999999999", "1.5", "1e9", "0x10", "NaN", "Infinity", "true", "null", "+1"],
  ...[
    "../../escaped",
    "..",
    ".",
    "/",
    "a/b",
    "a\\b",
    "C:\\x",
    "a\0b",
    "\u0001\u0002",
    "%00",
    "~",
    "é",
    "日本",
    "\ud800",
  ],
  ...[
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "%RETRY%../x",
    "%DLQ%a/b",
    "RMQ_SYS_TRACE_TOPIC",
    "TBW102",
  ],
  ...["SCHEDULE_TOPIC_XXXX", "GoldenTopic", "golden-push", "*", "a || b", "{}", "[]", '{"a":1}', "x".repeat(300)],
];

const HOSTILE_BODIES: readonly string[] = [
  ...["", "null", "[]", "{}", "0", '"x"', "{", '{"a":', "\0", "true", '{"__proto__":{"x":1}}', '{"topic":null}'],
  ...['{"clientID":1,"consumerDataSet":{}}', '{"mqSet":[null]}', '{"mqSet":[{"queueId":-1,"topic":"../x"}]}', "a=b\nc"],
  ...["[".repeat(5000), '{"a":'.repeat(3000), `{"clientID":"${"x".repeat(10_000)}"}`],
];

/** A frame of which every length is right. */
export function frameOf(
  code: number,
  fields: Readonly<Record<string, string>>,
  body: Buffer,
  opaque: number,
  type: 0 | 1 = 0,
  oneway = false,
): Buffer {
  const writer = new FrameWriter();
  writer.request(opaque, type, code, oneway, fields, body);
  return Buffer.from(writer.buffer.subarray(0, writer.length));
}

export function mutated(dice: Dice, requests: readonly GoldenRequest[], opaque: number): Buffer {
  const request = dice.one(requests);
  const kind = dice.below(20);
  if (kind === 0) return damaged(dice, request.bytes);
  if (kind === 1) return flipped(dice, request.bytes);
  const fields: Record<string, string> = Object.assign(Object.create(null), request.fields);
  let body = request.body;
  const names = Object.keys(fields);
  for (let edits = 1 + dice.below(3); edits > 0; edits--) {
    const edit = dice.below(8);
    if (edit < 4 && names.length > 0) fields[dice.one(names)] = dice.one(HOSTILE_VALUES);
    else if (edit === 4 && names.length > 0) delete fields[dice.one(names)];
    else if (edit === 5) fields[dice.one(["__proto__", "constructor", "x", "", ...names])] = dice.one(HOSTILE_VALUES);
    else body = changedBody(dice, body);
  }
  const code = dice.rarely(30) ? dice.one(requests).code : request.code;
  return frameOf(code, fields, body, opaque, dice.rarely(4) ? 1 : 0, dice.rarely(20));
}

function changedBody(dice: Dice, body: Buffer): Buffer {
  if (body.length === 0 || dice.rarely(4)) return Buffer.from(dice.one(HOSTILE_BODIES));
  const text = body.toString("latin1");
  switch (dice.below(4)) {
    case 0:
      return body.subarray(0, dice.below(body.length));
    case 1:
      return Buffer.from(
        text.replace(/-?\d+/, dice.one(["-1", "99999999999999999999", "1e400", "null", '"x"'])),
        "latin1",
      );
    case 2: {
      const value = JSON.stringify(dice.one(HOSTILE_VALUES));
      const strings = text.split(/"[^"]*"/).length - 1;
      let left = strings === 0 ? 0 : dice.below(strings);
      return Buffer.from(text.replace(/"[^"]*"/g, (found) => (left-- === 0 ? value : found)));
    }
    default:
      return flipped(dice, body);
  }
}

function flipped(dice: Dice, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let count = 1 + dice.below(4); count > 0; count--) copy[dice.below(copy.length)] = dice.below(256);
  return copy;
}

/** Its lengths lie, its end is missing, or it is doubled. */
function damaged(dice: Dice, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  switch (dice.below(4)) {
    case 0:
      copy.writeInt32BE(dice.one([0, -1, 3, 2147483647, copy.length, copy.length + 40]), 0);
      return copy;
    case 1:
      copy.writeInt32BE(dice.one([0, -1, 0x01000005, 0x02000000, 0x00ffffff]), 4);
      return copy;
    case 2:
      return copy.subarray(0, dice.below(copy.length));
    default:
      return Buffer.concat([copy, copy.subarray(dice.below(copy.length))]);
  }
}
