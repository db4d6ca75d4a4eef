/** PROXY headers from anybody: junk never throws, and how a header is cut into pieces changes nothing. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type ProxyHeader, parseProxyHeader, PROXY_HEADER_BYTES_MAX } from "#src/remoting/proxy-header.js";
import { SIGNATURE, tlv, v1, v2 } from "../unit/remoting/proxy-headers.js";

const port = fc.integer({ min: 1, max: 65535 });
const bytesOf = (min: number, max = min) =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => Buffer.from(bytes));

const headers = fc.oneof(
  fc.tuple(fc.ipV4(), port).map(([source, number]) => v1(source, number)),
  fc.tuple(fc.ipV6(), port).map(([source, number]) => v1(source, number, "TCP6", "::1")),
  fc.stringMatching(/^[ -~]{0,91}$/).map((text) => Buffer.from(`PROXY UNKNOWN ${text}\r\n`)),
  fc.tuple(bytesOf(12), fc.nat({ max: 300 })).map(([block, valueBytes]) => v2(1, 0x11, block, tlv(5, valueBytes))),
  bytesOf(36).map((block) => v2(1, 0x21, block)),
  bytesOf(0, 40).map((block) => v2(0, 0, block)),
);

const junk = fc.oneof(
  bytesOf(0, 300),
  bytesOf(0, 300).map((rest) => Buffer.concat([Buffer.from("PROXY "), rest])),
  fc.stringMatching(/^[TCP46 0-9.:\r\n]{0,120}$/).map((rest) => Buffer.from(`PROXY ${rest}`)),
  bytesOf(0, 300).map((rest) => Buffer.concat([SIGNATURE, rest])),
  fc
    .tuple(headers, fc.nat(), fc.nat({ max: 255 }))
    .map(([header, at, byte]) => Buffer.from(header.map((old, i) => (i === at % header.length ? byte : old)))),
);

/** What who reads byte by byte gets to know, and when. */
function firstAnswer(bytes: Buffer): ProxyHeader {
  for (let length = 0; length <= bytes.length; length++) {
    const header = parseProxyHeader(bytes.subarray(0, length));
    if (header.kind === "partial") continue;
    if (header.kind === "whole") expect(header.headerBytes).toBe(length);
    return header;
  }
  return { kind: "partial" };
}

test("a header is whole with its last byte, and what comes behind it changes nothing", () => {
  fc.assert(
    fc.property(headers, bytesOf(0, 60), (header, behind) => {
      const whole = parseProxyHeader(header);
      expect(whole).toMatchObject({ kind: "whole", headerBytes: header.length });
      expect(firstAnswer(header)).toEqual(whole);
      expect(parseProxyHeader(Buffer.concat([header, behind]))).toEqual(whole);
    }),
    { numRuns: 60 },
  );
});

test("junk is refused or waited for, never for longer than a header can be, and never thrown over", () => {
  fc.assert(
    fc.property(junk, (bytes) => {
      const first = firstAnswer(bytes);
      const all = parseProxyHeader(bytes);
      expect(all.kind).toBe(first.kind);
      if (first.kind === "whole") expect(all).toEqual(first);
      const filled = Buffer.concat([bytes, Buffer.alloc(PROXY_HEADER_BYTES_MAX)]);
      expect(parseProxyHeader(filled).kind).not.toBe("partial");
    }),
    { numRuns: 150 },
  );
});
