import { describe, expect, test } from "vitest";
import { encodeHost, hostAddress, hostPort, hostText, parseHost } from "#src/record/host.js";
import { createMessageId, parseMessageId, writeMessageId } from "#src/record/message-id.js";

const hex = (bytes: Buffer | undefined) => bytes?.toString("hex");

describe("hosts", () => {
  test.each([
    ["10.0.66.233:48763", "0a0042e90000be7b", "10.0.66.233:48763"],
    ["0.0.0.0:0", "0000000000000000", "0.0.0.0:0"],
    ["255.255.255.255:65535", "ffffffff0000ffff", "255.255.255.255:65535"],
    ["[::1]:10911", "0000000000000000000000000000000100002a9f", "0:0:0:0:0:0:0:1:10911"],
    ["fe80::1:2:10911", "fe80000000000000000000000001000200002a9f", "fe80:0:0:0:0:0:1:2:10911"],
    ["[fe80::a%eth0]:1", "fe80000000000000000000000000000a00000001", "fe80:0:0:0:0:0:0:a:1"],
    ["2001:DB8:0:0:0:0:0:FF:80", "20010db80000000000000000000000ff00000050", "2001:db8:0:0:0:0:0:ff:80"],
    ["[1::]:9", "0001000000000000000000000000000000000009", "1:0:0:0:0:0:0:0:9"],
    ["[64:ff9b::1.2.3.4]:9", "0064ff9b00000000000000000102030400000009", "64:ff9b:0:0:0:0:102:304:9"],
    ["::ffff:10.0.0.1:9", "0a00000100000009", "10.0.0.1:9"],
  ])("%s", (text, bytes, printed) => {
    const host = parseHost(text)!;
    expect(hex(host)).toBe(bytes);
    expect(hostText(host, 0, host.length)).toBe(printed);
    expect(hex(parseHost(printed))).toBe(bytes);
  });

  test.each([
    "",
    "10.0.0.1",
    "10.0.0.1:",
    "10.0.0.1:65536",
    "10.0.0.1:-1",
    "10.0.0.256:1",
    "10.0.0:1",
    "localhost:1",
    ":1",
    "1:2:3:4:5:6:7:1",
    "1:2:3:4:5:6:7:8:9:1",
    "[1::2::3]:1",
    "[1:2:3:4:5:6:7::8]:1",
    "[12345::]:1",
    "[1.2.3.4::]:1",
    "[:::]:1",
  ])("%j is no host", (text) => {
    expect(parseHost(text)).toBeUndefined();
  });

  test("an IPv4-mapped address prints as Java prints it, and ports are as they are on disk", () => {
    const mapped = Buffer.from("00000000000000000000ffff0a000001ffffffff", "hex");
    expect(hostAddress(mapped, 0, 20)).toBe("10.0.0.1");
    expect(hostPort(mapped, 0, 20)).toBe(-1);
    expect(encodeHost("10.0.0.1", 1.5)).toBeUndefined();
  });
});

describe("message ids", () => {
  test.each([
    ["127.0.0.1:10911", 0x1aba1, "7F00000100002A9F000000000001ABA1"],
    ["127.0.0.1:10911", 0, "7F00000100002A9F0000000000000000"],
    ["10.255.0.1:1", 2 ** 53 - 1, "0AFF000100000001001FFFFFFFFFFFFF"],
    ["[fe80::1]:10911", 0x1_0000_0000, "FE80000000000000000000000000000100002A9F0000000100000000"],
  ])("of %s at %d", (storeHost, phyOffset, id) => {
    const host = parseHost(storeHost)!;
    expect(createMessageId(host, phyOffset)).toBe(id);
    expect(parseMessageId(id)).toEqual({ storeHost: hostText(host, 0, host.length), phyOffset });
    expect(parseMessageId(id.toLowerCase())).toEqual(parseMessageId(id));
    const target = Buffer.alloc(60, "-");
    const end = writeMessageId(target, 2, host, phyOffset);
    expect(target.toString("latin1", 0, end + 1)).toBe(`--${id}-`);
  });

  test.each([
    "",
    "7F00000100002A9F000000000001ABA",
    "7F00000100002A9F000000000001ABAG",
    "7F00000100002A9F0020000000000000",
    "7F00000100002A9FFFFFFFFFFFFFFFFF",
    "7F00000100002A9F000000000001ABA100000000",
  ])("%j is none", (text) => {
    expect(parseMessageId(text)).toBeUndefined();
  });
});
