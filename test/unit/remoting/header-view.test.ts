import { describe, expect, test } from "vitest";
import { HEADER_FIELDS_MAX, HeaderView } from "#src/remoting/header-view.js";
import { LanguageCode } from "#src/remoting/language-code.js";

/** Parses with foreign bytes on both sides, which a scanner that runs over its bounds would read. */
function parse(text: string, around = '}"'): HeaderView | undefined {
  const header = Buffer.from(text);
  const bytes = Buffer.concat([Buffer.from(around), header, Buffer.from(around)]);
  const view = new HeaderView();
  return view.parse(bytes, around.length, around.length + header.length, 0) ? view : undefined;
}

function fieldsOf(text: string): Record<string, string> | undefined {
  const view = parse(text);
  return view && Object.fromEntries(view.fields());
}

describe("JSON headers", () => {
  test("members in any order, with white space and unknown ones between", () => {
    const view = parse(
      ' {\r\n\t"version" : 485 ,"what":"\\u0041","opaque":-12 ,"x":null,"language":"CPP","y":true,"z":-1, "flag":3,"remark":"a\\"b","code":310 } ',
    )!;
    expect(view).toMatchObject({ version: 485, opaque: -12, language: LanguageCode.CPP, flag: 3, code: 310 });
    expect(view.remark).toBe('a"b');
    expect(view.isResponse && view.isOneway).toBe(true);
    expect(view.fieldCount).toBe(0);
  });

  test("nothing of the header before stays", () => {
    const view = new HeaderView();
    const first = Buffer.from(
      '{"code":1,"flag":2,"opaque":3,"version":4,"language":"GO","remark":"r","extFields":{"a":"x"}}',
    );
    const second = Buffer.from("{}");
    expect(view.parse(first, 0, first.length, 0)).toBe(true);
    expect(view.text("a")).toBe("x");
    expect(view.parse(second, 0, second.length, 0)).toBe(true);
    expect(view).toMatchObject({ code: 0, flag: 0, opaque: 0, version: 0, language: 0, fieldCount: 0, remark: "" });
    expect(view.find("a")).toBe(-1);
  });

  test("a one-letter name of the header before is not found where its byte happens to be the same", () => {
    const view = new HeaderView();
    const first = Buffer.from('{"extFields":{"a":"x"}}');
    const second = Buffer.from(`{"remark":"${"a".repeat(20)}"}`);
    expect(view.parse(first, 0, first.length, 0)).toBe(true);
    expect(view.find("a")).toBe(0);
    expect(view.parse(second, 0, second.length, 0)).toBe(true);
    expect(view.bytes[view.keyStart[0]!]).toBe(0x61);
    expect(view.find("a")).toBe(-1);
  });

  test("null members are absent ones", () => {
    const view = parse('{"code":34,"extFields":null,"remark":null,"language":null}')!;
    expect(view.remark).toBe("");
    expect(view.fields().size).toBe(0);
    expect(fieldsOf('{"code":34,"extFields":{"a":null,"b":"1"}}')).toEqual({ b: "1" });
  });

  test("values that are no strings become Apache's strings", () => {
    expect(fieldsOf('{"code":1,"extFields":{"a":12345678901234567890,"b":-1,"c":true,"d":false}}')).toEqual({
      a: "12345678901234567890",
      b: "-1",
      c: "true",
      d: "false",
    });
    expect(fieldsOf('{"code":1,"extFields":{"a":1.5,"b":{"c":[1]},"\\u0061b":"x"}}')).toEqual({
      a: "1.5",
      b: '{"c":[1]}',
      ab: "x",
    });
  });

  test("quoted numbers are taken where Java has ints", () => {
    expect(parse('{"code":"310","opaque":"7","extFields":{}}')).toMatchObject({ code: 310, opaque: 7 });
  });

  test("escapes in values", () => {
    const view = parse(
      '{"code":1,"extFields":{"i":"k\\u0001v\\u0002\\"\\\\\\/\\n\\t\\r\\b\\f\\u00e9\\u4e2d\\ud83d\\ude00\\ud83d!\\udc00\\udc00é中😀"}}',
    )!;
    const meant = 'k\u0001v\u0002"\\/\n\t\r\b\fé中😀?!??é中😀';
    const index = view.find("i");
    expect(view.valueText(index)).toBe(meant);
    const target = Buffer.alloc(200, 0xee);
    const count = view.copyValue(index, target, 3);
    expect(target.subarray(3, 3 + count).toString()).toBe(meant);
    expect(count).toBeLessThanOrEqual(view.valueBytesMax(index));
    expect(target[3 + count]).toBe(0xee);
    expect(target[2]).toBe(0xee);
  });

  test("a long value without escapes is copied as it is", () => {
    const text = "é".repeat(100);
    const view = parse(`{"code":1,"extFields":{"i":"${text}"}}`)!;
    const target = Buffer.alloc(400);
    expect(view.copyValue(view.find("i"), target, 1)).toBe(200);
    expect(target.toString("utf8", 1, 201)).toBe(text);
  });

  test("of equal names the last counts", () => {
    const view = parse('{"code":1,"code":2,"extFields":{"a":"1","name":"x","a":"2","name":"y"}}')!;
    expect([view.code, view.text("a"), view.text("name")]).toEqual([2, "2", "y"]);
    expect(fieldsOf('{"extFields":{"a":"1"},"extFields":{"b":"2"}}')).toEqual({ b: "2" });
  });

  test("names of JavaScript's own are names like any other", () => {
    const text =
      '{"code":1,"__proto__":{"code":9},"constructor":1,"extFields":{"__proto__":"p","toString":"t","x":1.5}}';
    const view = parse(text)!;
    expect(view.code).toBe(1);
    expect([...view.fields()]).toEqual([
      ["__proto__", "p"],
      ["toString", "t"],
      ["x", "1.5"],
    ]);
    expect(view.text("constructor")).toBeUndefined();
    expect(({} as { code?: number }).code).toBeUndefined();
  });

  test("a language that Apache does not know is OTHER", () => {
    expect(parse('{"language":"COBOL"}')!.language).toBe(LanguageCode.OTHER);
    expect(parse('{"language":"NODE_JS"}')!.language).toBe(LanguageCode.NODE_JS);
    expect(parse('{"language":9}')!.language).toBe(LanguageCode.GO);
    expect(parse('{"language":99}')!.language).toBe(LanguageCode.OTHER);
  });

  test.each([
    "",
    "{",
    "[]",
    "null",
    '"code"',
    '{"code":1',
    '{"code":1}x',
    '{"code":1,,}',
    '{"code":}',
    '{"code":1 "flag":0}',
    '{"code":2147483648}',
    '{"code":1.5}',
    '{"code":"x"}',
    '{"code":true}',
    '{"code":{}}',
    '{"code":-}',
    '{"extFields":"x"}',
    '{"extFields":[1]}',
    '{"extFields":{"a":"1"',
    '{"extFields":{"a":"1}}',
    '{"extFields":{"a"}}',
    '{"extFields":{"a":"\\x"}}',
    '{"extFields":{"a":"\\u12g4"}}',
    '{"extFields":{"a":"\\u12',
    '{"extFields":{"a":nul}}',
    '{"extFields":{"a":tru}}',
    '{"extFields":{a:"1"}}',
  ])("malformed: %s", (text) => {
    expect(parse(text)).toBeUndefined();
    expect(parse(text, '"}}')).toBeUndefined();
    expect(parse(text, "1")).toBeUndefined();
  });

  test("a header cut anywhere is malformed, though its rest follows in the buffer", () => {
    const text =
      '{"code":310,"extFields":{"a":"pg","n":12,"t":true,"x":null,"i":"k\\u0001v"},"flag":0,"language":"JAVA","opaque":12,"remark":"r","serializeTypeCurrentRPC":"JSON","version":485}';
    const bytes = Buffer.from(text);
    const spaced = Buffer.from(text.replaceAll(/([{}:,])/g, " $1 "));
    const view = new HeaderView();
    for (const whole of [bytes, spaced]) {
      expect(view.parse(whole, 0, whole.length, 0)).toBe(true);
      expect(view.fields().size).toBe(4);
      const last = whole.lastIndexOf("}");
      for (let end = 0; end <= last; end++) expect(view.parse(whole, 0, end, 0), `cut at ${end}`).toBe(false);
    }
  });

  test("more fields than the tables hold are refused", () => {
    const fields = (count: number) => Array.from({ length: count }, (_, i) => `"key${i}":"${i}"`).join();
    expect(parse(`{"extFields":{${fields(HEADER_FIELDS_MAX)}}}`)!.integer("key255")).toBe(255);
    expect(parse(`{"extFields":{${fields(HEADER_FIELDS_MAX + 1)}}}`)).toBeUndefined();
  });

  test("deep nesting is refused or read, never fatal", () => {
    const deep = `{"code":1,"x":${"[".repeat(200000)}${"]".repeat(200000)}}`;
    expect([undefined, 1]).toContain(parse(deep)?.code);
  });

  test("an unknown serialisation is malformed", () => {
    expect(new HeaderView().parse(Buffer.from("{}"), 0, 2, 2)).toBe(false);
  });
});

describe("look-ups", () => {
  const view = parse(
    `{"code":1,"extFields":{"a":"1","b":"","topic":"T","topik":"K","zero":"-0","plus":"+7","neg":"-42","long":"9223372036854775807",
     "min":"-9223372036854775808","over":"9223372036854775808","big":"9007199254740991","word":"1x","space":" 1","esc":"\\u0031","sign":"-",
     "t":"TrUe","f":"false","u":"\\u0074rue","one":"1"}}`,
  )!;

  test("find compares whole names", () => {
    expect(view.text("topic")).toBe("T");
    expect(view.text("topik")).toBe("K");
    for (const name of ["topi", "topicx", "c", "x", "A", ""]) expect(view.find(name), name).toBe(-1);
    expect(view.find("a")).toBe(0);
    expect(view.keyText(2)).toBe("topic");
  });

  test("integers are Java's", () => {
    const values = ["a", "b", "none", "zero", "plus", "neg", "big", "esc"].map((name) => view.integer(name));
    expect(values).toEqual([1, undefined, undefined, 0, 7, -42, 2 ** 53 - 1, 1]);
    expect(view.integer("long")).toBe(2 ** 63);
    expect(view.integer("min")).toBe(-(2 ** 63));
    for (const name of ["over", "word", "space", "sign", "topic"]) expect(view.integer(name), name).toBeNaN();
  });

  test("booleans are Java's", () => {
    const values = ["t", "f", "u", "one", "none", "b"].map((name) => view.boolean(name));
    expect(values).toEqual([true, false, true, false, undefined, false]);
  });
});

describe("binary headers", () => {
  function binary(fields: [string, string][], remark = ""): Buffer {
    const parts = fields.map(([name, value]) => {
      const head = Buffer.alloc(2);
      head.writeInt16BE(Buffer.byteLength(name));
      const length = Buffer.alloc(4);
      length.writeInt32BE(Buffer.byteLength(value));
      return Buffer.concat([head, Buffer.from(name), length, Buffer.from(value)]);
    });
    const map = Buffer.concat(parts);
    const fixed = Buffer.from("013600" + "01ed" + "0000005d" + "00000002", "hex");
    const lengths = [Buffer.byteLength(remark), map.length].map((length) => {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32BE(length);
      return bytes;
    });
    return Buffer.concat([fixed, lengths[0]!, Buffer.from(remark), lengths[1]!, map]);
  }

  test("every member", () => {
    const view = new HeaderView();
    const bytes = binary(
      [
        ["a", "group"],
        ["empty", ""],
        ["", "nameless"],
        ["i", "x\u0001é\u0002"],
      ],
      "héllo",
    );
    expect(view.parse(bytes, 0, bytes.length, 1)).toBe(true);
    expect(view).toMatchObject({ code: 310, language: 0, version: 493, opaque: 93, flag: 2, serializeType: 1 });
    expect(view.remark).toBe("héllo");
    expect([...view.fields()]).toEqual([
      ["a", "group"],
      ["i", "x\u0001é\u0002"],
    ]);
    expect(view.text("empty")).toBeUndefined();
  });

  test("codes are 16 bits with a sign, as Apache reads them", () => {
    const bytes = binary([]);
    bytes.writeUInt16BE(200050 & 0xffff, 0);
    const view = new HeaderView();
    expect(view.parse(bytes, 0, bytes.length, 1)).toBe(true);
    expect(view.code).toBe(3442);
    bytes.writeInt16BE(-1, 0);
    view.parse(bytes, 0, bytes.length, 1);
    expect(view.code).toBe(-1);
  });

  test("any cut, and any length that lies, is malformed", () => {
    const bytes = binary(
      [
        ["topic", "TopicTest"],
        ["i", "x"],
      ],
      "remark",
    );
    const view = new HeaderView();
    for (let end = 0; end < bytes.length; end++) expect(view.parse(bytes, 0, end, 1), `cut at ${end}`).toBe(false);
    for (const at of [13, 23, 27 + 2 + 5]) {
      for (const length of [-1, -2147483648, 2147483647, 1000]) {
        const lying = Buffer.from(bytes);
        lying.writeInt32BE(length, at);
        expect(view.parse(lying, 0, lying.length, 1), `${length} at ${at}`).toBe(false);
      }
    }
    const lying = Buffer.from(bytes);
    lying.writeInt16BE(-1, 27);
    expect(view.parse(lying, 0, lying.length, 1)).toBe(false);
  });
});
