/** Every frame that Apache's client, broker and name server were seen to exchange, read and written again. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { requestCodeName, responseCodeName } from "#src/remoting/codes.js";
import { parseFastjson, toFastjson } from "#src/remoting/fastjson.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";
import { languageName } from "#src/remoting/language-code.js";

interface GoldenFrame {
  readonly name: string;
  readonly hex: string;
  readonly bodyLen: number;
  readonly header: {
    readonly serializeType: "JSON" | "ROCKETMQ";
    readonly headerLength: number;
    readonly code: number;
    readonly language: string;
    readonly version: number;
    readonly opaque: number;
    readonly flag: number;
    readonly remark: string | null;
    readonly extFields: Record<string, string | null> | null;
  };
}

function load(name: string): GoldenFrame[] {
  const lines = readFileSync(new URL(`data/frames/${name}.jsonl`, import.meta.url), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => JSON.parse(line) as GoldenFrame);
}

function decode(bytes: Buffer): { decoder: FrameDecoder; header: HeaderView } {
  const decoder = new FrameDecoder();
  const header = new HeaderView();
  decoder.push(bytes);
  expect(decoder.next()).toBe(FrameVerdict.FRAME);
  expect(header.parse(decoder.bytes, decoder.headerStart, decoder.headerEnd, decoder.serializeType)).toBe(true);
  return { decoder, header };
}

/** What a view has, in the form of the golden header; a field that Java has as null is absent. */
function plain(header: HeaderView): object {
  return {
    code: header.code,
    language: languageName(header.language),
    version: header.version,
    opaque: header.opaque,
    flag: header.flag,
    remark: header.remark,
    fields: Object.fromEntries(header.fields()),
  };
}

function expected(frame: GoldenFrame): object {
  const { code, language, version, opaque, flag, remark, extFields } = frame.header;
  const fields = Object.fromEntries(Object.entries(extFields ?? {}).filter(([, value]) => value !== null));
  return { code, language, version, opaque, flag, remark: remark ?? "", fields };
}

function encode(header: HeaderView, remark: string | undefined, body: Buffer): Buffer {
  const writer = new FrameWriter({ language: header.language, version: header.version });
  const { opaque, serializeType, code } = header;
  if (header.isResponse) writer.beginResponse(opaque, serializeType, code, remark);
  else writer.beginRequest(opaque, serializeType, code, header.isOneway);
  for (let i = 0; i < header.fieldCount; i++) writer.field(header.keyText(i), header.valueText(i));
  writer.endHeader();
  writer.bodyBytes(body);
  writer.end();
  return Buffer.from(writer.buffer.subarray(0, writer.length));
}

describe.each(["json", "rocketmq"])("%s frames", (name) => {
  const frames = load(name);

  it("has the frames", () => {
    expect(frames.length).toBeGreaterThan(180);
  });

  it.each(frames.map((frame) => [frame.name, frame] as const))("reads %s", (_, frame) => {
    const bytes = Buffer.from(frame.hex, "hex");
    const { decoder, header } = decode(bytes);
    expect(plain(header)).toEqual(expected(frame));
    expect(header.serializeType).toBe(frame.header.serializeType === "JSON" ? 0 : 1);
    expect(decoder.headerEnd - decoder.headerStart).toBe(frame.header.headerLength);
    expect(decoder.bodyEnd - decoder.headerEnd).toBe(frame.bodyLen);
    expect(decoder.next()).toBe(FrameVerdict.MORE);
  });

  it("writes them again, byte for byte but for empty fields and field objects", () => {
    let sameCount = 0;
    for (const frame of frames) {
      const bytes = Buffer.from(frame.hex, "hex");
      const { decoder, header } = decode(bytes);
      const before = plain(header);
      const body = Buffer.from(decoder.bytes.subarray(decoder.headerEnd, decoder.bodyEnd));
      const again = encode(header, frame.header.remark ?? undefined, body);
      const second = decode(again);
      expect(plain(second.header)).toEqual(before);
      expect(second.decoder.bytes.subarray(second.decoder.headerEnd, second.decoder.bodyEnd)).toEqual(body);
      const lossless = !bytes.includes('"extFields":{}') && !Object.values(frame.header.extFields ?? {}).includes(null);
      if (lossless) {
        expect(again.toString("latin1"), frame.name).toBe(bytes.toString("latin1"));
        sameCount++;
      }
    }
    expect(sameCount).toBeGreaterThan(170);
  });

  it("names the codes as Apache does", () => {
    for (const { name, header } of frames) {
      const match = /^(\w+)\((\d+)\)\.(?:request|oneway|response\.(\w+))/.exec(name);
      if (match === null || match[1] === "UNKNOWN") continue;
      expect(requestCodeName(Number(match[2]))).toBe(match[1]);
      if (match[3] !== undefined) expect(responseCodeName(header.code)).toBe(match[3]);
    }
  });

  it("reads and writes the bodies that are JSON, Apache's kind of it included", () => {
    let count = 0;
    let nonStandardCount = 0;
    for (const frame of frames) {
      const bytes = Buffer.from(frame.hex, "hex");
      const body = bytes.toString("utf8", bytes.length - frame.bodyLen);
      if (!body.startsWith("{")) continue;
      const value = parseFastjson(body);
      expect(value, frame.name).toBeDefined();
      // Doubles without a fraction are written `0.0` by Java and stay `0` here.
      if (!/:\d+\.0[,}]/.test(body)) expect(toFastjson(value)).toBe(body);
      count++;
      if (/[{,][{\d]/.test(body.replaceAll(/\[[^\]]*\]/g, ""))) nonStandardCount++;
    }
    expect(count).toBeGreaterThan(40);
    expect(nonStandardCount).toBeGreaterThan(8);
  });
});
