/** What is a PROXY header and whom it names: the answers are those of a released Apache broker, but where a title says so. */
import { expect, test } from "vitest";
import { beginsAsProxyHeader, parseProxyHeader } from "#src/remoting/proxy-header.js";
import { IPV4_BLOCK, IPV6_BLOCK, SIGNATURE, tlv, v1, v2 } from "./proxy-headers.js";

const CLIENT = { address: "203.0.113.9", port: 4444 };
const CLIENT6 = { address: "2001:db8:0:0:0:0:0:1", port: 4444 };
const UNIX_BLOCK = Buffer.alloc(216, 0x61);
const MAPPED_BLOCK = Buffer.concat([
  Buffer.from("00000000000000000000ffffcb007109", "hex"),
  Buffer.from("00000000000000000000ffff7f000001", "hex"),
  IPV4_BLOCK.subarray(8),
]);
const longest = `PROXY UNKNOWN ${"x".repeat(91)}\r\n`;

test.each([
  ["TCP4", v1("203.0.113.9", 4444), CLIENT],
  ["TCP6", v1("2001:db8::1", 4444, "TCP6", "::1"), { address: "2001:db8::1", port: 4444 }],
  ["a port with a zero before it", v1("203.0.113.9", "04444"), CLIENT],
  ["UNKNOWN", Buffer.from("PROXY UNKNOWN\r\n"), undefined],
  ["UNKNOWN and whatever", Buffer.from("PROXY UNKNOWN ffff::1 any thing\r\n"), undefined],
  ["the longest text", Buffer.from(longest), undefined],
  ["IPv4", v2(1, 0x11, IPV4_BLOCK), CLIENT],
  ["UDP over IPv4", v2(1, 0x12, IPV4_BLOCK), CLIENT],
  ["IPv6", v2(1, 0x21, IPV6_BLOCK), CLIENT6],
  ["IPv4 in IPv6, told as IPv4 unlike Apache", v2(1, 0x21, MAPPED_BLOCK), CLIENT],
  ["a UNIX socket", v2(1, 0x31, UNIX_BLOCK), undefined],
  ["LOCAL", v2(0, 0, Buffer.alloc(0)), undefined],
  ["LOCAL with addresses", v2(0, 0x11, IPV4_BLOCK), undefined],
  ["LOCAL of no known family", v2(0, 0x77, IPV4_BLOCK), undefined],
  ["no family", v2(1, 0, Buffer.from("whatever")), undefined],
  ["no port", v2(1, 0x11, Buffer.from([203, 0, 113, 9, 127, 0, 0, 1, 0, 0, 1, 1])), undefined],
  ["TLVs", v2(1, 0x11, IPV4_BLOCK, tlv(1, 2), tlv(4, 0), tlv(0xe0, 300)), CLIENT],
  ["a TLV that is cut before its value", v2(1, 0x11, IPV4_BLOCK, Buffer.from([4, 0, 9])), CLIENT],
  ["all that a length can say", v2(1, 0x11, IPV4_BLOCK, tlv(4, 65535 - 15)), CLIENT],
])("%s is taken, with what comes behind it or without", (_name, bytes, client) => {
  const whole = { kind: "whole", headerBytes: bytes.length, client };
  expect(parseProxyHeader(bytes)).toEqual(whole);
  expect(parseProxyHeader(Buffer.concat([bytes, bytes]))).toEqual(whole);
  expect(beginsAsProxyHeader(bytes)).toBe(true);
  for (const cut of [0, 1, 4, 6, 12, 15, bytes.length - 1]) {
    if (cut < bytes.length) expect(parseProxyHeader(bytes.subarray(0, cut))).toEqual({ kind: "partial" });
  }
});

test.each([
  ["another word", Buffer.from("PROXYX TCP4 203.0.113.9 127.0.0.1 4444 10911\r\n"), /begin/],
  ["another signature", Buffer.from("0d0a0d0a000d0a515549540b21110000", "hex"), /begin/],
  ["an address that is none", v1("203.0.113.999", 4444), /address/],
  ["an address of the other family", v1("203.0.113.9", 4444, "TCP6", "::1"), /address/],
  ["a zone", v1("fe80::1%eth0", 4444, "TCP6", "::1"), /address/],
  ["a destination that is none", v1("203.0.113.9", 4444, "TCP4", "x"), /address/],
  ["port 0", v1("203.0.113.9", 0), /port/],
  ["port 65536", v1("203.0.113.9", 65536), /port/],
  ["a port with a sign, which Apache takes", v1("203.0.113.9", "+444"), /port/],
  ["a small letter", v1("203.0.113.9", 4444, "tcp4"), /protocol/],
  ["no protocol", Buffer.from("PROXY \r\n"), /protocol/],
  ["a part too few", Buffer.from("PROXY TCP4 203.0.113.9 127.0.0.1 4444\r\n"), /ports/],
  ["a space too many, which Apache takes", Buffer.from("PROXY TCP4 203.0.113.9 127.0.0.1 4 4 \r\n"), /ports/],
  ["no carriage return", Buffer.from(`PROXY TCP4 203.0.113.9 127.0.0.1 4444 10911\n${"x".repeat(90)}`), /line end/],
  ["a byte too many, which Apache takes", Buffer.from(longest.replace("N x", "N xx")), /line end/],
  ["version 1 in binary", Buffer.concat([SIGNATURE, Buffer.from([0x11, 0x11, 0, 12]), IPV4_BLOCK]), /version/],
  ["no known command", v2(2, 0x11, IPV4_BLOCK), /command/],
  ["no known family", v2(1, 0x41, IPV4_BLOCK), /family/],
  ["no known transport", v2(1, 0x13, IPV4_BLOCK), /transport/],
  ["a family without a transport", v2(1, 0x10, IPV4_BLOCK), /transport/],
  ["IPv4 cut short", v2(1, 0x11, IPV4_BLOCK.subarray(1)), /short/],
  ["IPv6 cut short", v2(1, 0x21, IPV4_BLOCK), /short/],
  ["a UNIX socket cut short", v2(1, 0x31, IPV6_BLOCK), /short/],
  ["a TLV past the end", v2(1, 0x11, IPV4_BLOCK, tlv(4, 2, 3)), /TLV/],
])("%s is refused", (_name, bytes, reason) => {
  expect(parseProxyHeader(bytes)).toEqual({ kind: "malformed", reason: expect.stringMatching(reason) });
});

test("what is wrong is known before the rest has come", () => {
  expect(parseProxyHeader(v2(2, 0x11, IPV4_BLOCK).subarray(0, 16)).kind).toBe("malformed");
  expect(parseProxyHeader(Buffer.from("PROXI")).kind).toBe("malformed");
  expect(parseProxyHeader(Buffer.alloc(107, "PROXY UNKNOWN ")).kind).toBe("malformed");
  expect(parseProxyHeader(Buffer.alloc(106, "PROXY UNKNOWN ")).kind).toBe("partial");
});

test.each(["PRI * HTTP/2.0", "POST / HTTP/1.1", "PROPFIND /", "\x16\x03\x01", "\0\0\0\x10", "\r\n\r\0", ""])(
  "%j begins as none",
  (text) => expect(beginsAsProxyHeader(Buffer.from(text, "latin1"))).toBe(false),
);
