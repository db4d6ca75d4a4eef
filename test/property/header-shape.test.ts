/** A header that is compared with the one before reads as a header that is parsed, whatever differs. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { HeaderView } from "#src/remoting/header-view.js";

interface Sent {
  readonly opaque: number;
  readonly fields: readonly (readonly [string, string])[];
  /** Written without quotes. */
  readonly bare: string;
}

const value = fc.oneof(
  fc.stringMatching(/^[0-9]{13}$/),
  fc.stringMatching(/^UNIQ_KEY\\u0001[0-9A-F]{8}\\u0002TAGS\\u0001[a-z]\\u0002$/),
  fc.stringMatching(/^[a-zA-Z"\\]{0,5}$/).map((text) => JSON.stringify(text).slice(1, -1)),
);
const sent: fc.Arbitrary<Sent> = fc.record({
  opaque: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fields: fc.array(fc.tuple(fc.constantFrom("a", "b", "e", "i", "topic"), value), { minLength: 1, maxLength: 6 }),
  bare: fc.constantFrom("0", "12", "true", "null"),
});

function textOf({ opaque, fields, bare }: Sent): string {
  const ext = fields.map(([name, text]) => `"${name}":"${text}"`).join(",");
  return `{"code":310,"extFields":{${ext},"j":${bare}},"flag":0,"language":"JAVA","opaque":${opaque},"version":493}`;
}

/** Bytes at random places become others: digits and letters, or what ends or escapes a value. */
const changes = fc.array(
  fc.tuple(fc.nat(), fc.constantFrom(...'0123456789ABCDEF\\\\\\\\"""z,}-#\u0001\u0080'.split(""))),
  {
    maxLength: 3,
  },
);

/** Digits take the place of digits, most of which are values; anything else that of any byte. */
function changed(bytes: Buffer, places: readonly (readonly [number, string])[]): Buffer {
  const copy = Buffer.from(bytes);
  const digits = [...copy.keys()].filter((at) => isDigit(String.fromCharCode(copy[at]!)));
  for (const [place, character] of places) {
    const at = isDigit(character) ? digits[place % digits.length]! : place % copy.length;
    copy[at] = character.charCodeAt(0);
  }
  return copy;
}

const isDigit = (character: string) => /[0-9A-F]/.test(character);

function readingOf(view: HeaderView, bytes: Buffer, start: number, end: number): object {
  if (!view.parse(bytes, start, end, 0)) return { isHeader: false };
  const { code, flag, opaque, version, language, remark, serializeType } = view;
  const fields = Array.from({ length: view.fieldCount }, (_, i) => [
    view.keyText(i),
    view.valueText(i),
    view.find(view.keyText(i)),
  ]);
  return { isHeader: true, code, flag, opaque, version, language, remark, serializeType, fields };
}

test("it reads the same, changed within values or anywhere else, wherever it lies", () => {
  let hits = 0;
  fc.assert(
    fc.property(sent, fc.array(changes, { minLength: 3, maxLength: 8 }), fc.nat(9), (header, all, start) => {
      const bytes = Buffer.from(textOf(header));
      const view = new HeaderView();
      readingOf(view, bytes, 0, bytes.length);
      readingOf(view, bytes, 0, bytes.length);
      for (const places of all) {
        const next = changed(bytes, places);
        const around = Buffer.concat([Buffer.alloc(start, 0x22), next, Buffer.alloc(5, 0x22)]);
        const reading = readingOf(view, around, start, start + next.length);
        expect(reading).toEqual(readingOf(new HeaderView(), next, 0, next.length));
      }
      hits += view.shapes.hits;
    }),
    { numRuns: 2000 },
  );
  expect(hits).toBeGreaterThan(100);
});

test("a header in between, of another length or serialisation, takes the places of the one before", () => {
  const view = new HeaderView();
  const one: Sent = { opaque: 1, fields: [["b", "T"]], bare: "0" };
  const other: Sent = { opaque: 1, fields: [["a", "long"]], bare: "0" };
  const bytes = Buffer.from(textOf(one));
  const between = Buffer.from(textOf(other));
  for (let i = 0; i < 5; i++) expect(view.parse(bytes, 0, bytes.length, 0)).toBe(true);
  expect(view.shapes.hits).toBe(3);
  expect(view.parse(between, 0, between.length, 0)).toBe(true);
  expect(view.parse(bytes, 0, bytes.length, 0)).toBe(true);
  expect([...view.fields()]).toEqual([
    ["b", "T"],
    ["j", "0"],
  ]);
  expect(view.find("a")).toBe(-1);
});

test("headers of several shapes, one after the other, each read as parsed", () => {
  let hits = 0;
  const kinds = fc.array(sent, { minLength: 2, maxLength: 12 });
  const order = fc.array(fc.tuple(fc.nat(), changes), { minLength: 20, maxLength: 60 });
  fc.assert(
    fc.property(kinds, order, (headers, turns) => {
      const view = new HeaderView();
      const all = headers.map((header) => Buffer.from(textOf(header)));
      for (const bytes of [...all, ...all]) readingOf(view, bytes, 0, bytes.length);
      for (const [turn, places] of turns) {
        const next = changed(all[turn % all.length]!, places);
        expect(readingOf(view, next, 0, next.length)).toEqual(readingOf(new HeaderView(), next, 0, next.length));
      }
      hits += view.shapes.hits;
    }),
    { numRuns: 60 },
  );
  expect(hits).toBeGreaterThan(100);
});

test("two shapes that take turns are known for as long as they come", () => {
  const view = new HeaderView();
  const send = Buffer.from(textOf({ opaque: 1, fields: [["b", "T"]], bare: "0" }));
  const end = Buffer.from(textOf({ opaque: 1, fields: [["topic", "T"]], bare: "0" }));
  for (let i = 0; i < 100; i++) for (const bytes of [send, end]) view.parse(bytes, 0, bytes.length, 0);
  expect(view.shapes.hits).toBe(196);
  expect(view.find("topic")).toBe(0);
  view.parse(send, 0, send.length, 0);
  expect([view.find("b"), view.find("topic")]).toEqual([0, -1]);
});

test("of many shapes those that come most stay known", () => {
  const view = new HeaderView();
  const often = Buffer.from(textOf({ opaque: 1, fields: [["b", "often"]], bare: "0" }));
  let hits = 0;
  for (let i = 0; i < 5000; i++) {
    const seldom = Buffer.from(textOf({ opaque: 1, fields: [["topic", "x".repeat(10 + (i % 50))]], bare: "0" }));
    view.parse(seldom, 0, seldom.length, 0);
    view.parse(seldom, 0, seldom.length, 0);
    const before = view.shapes.hits;
    view.parse(often, 0, often.length, 0);
    hits += view.shapes.hits - before;
  }
  expect(hits).toBeGreaterThan(4900);
});
