import { expect, test } from "vitest";
import { addressText, hostBytes, hostText } from "#src/remoting/address.js";
import { RequestCode, ResponseCode, requestCodeName, responseCodeName } from "#src/remoting/codes.js";
import { LanguageCode, languageCode, languageName } from "#src/remoting/language-code.js";
import { CURRENT_VERSION, versionName, versionOrdinal } from "#src/remoting/mq-version.js";

test("codes have Apache's numbers and names", () => {
  expect(RequestCode.SEND_MESSAGE_V2).toBe(310);
  expect(RequestCode.POP_MESSAGE).toBe(200050);
  expect(ResponseCode.TOPIC_NOT_EXIST).toBe(17);
  expect(requestCodeName(105)).toBe("GET_ROUTEINFO_BY_TOPIC");
  expect(requestCodeName(9999)).toBe("9999");
  expect(responseCodeName(3)).toBe("REQUEST_CODE_NOT_SUPPORTED");
  expect(responseCodeName(-1006)).toBe("RPC_TIME_OUT");
  expect(new Set(Object.values(RequestCode)).size).toBe(Object.keys(RequestCode).length);
  expect(Object.keys(RequestCode).length).toBeGreaterThan(150);
});

test("versions are ordinals of Apache's enum", () => {
  expect(versionName(CURRENT_VERSION)).toBe("V5_4_0");
  // Frames of released clients carry these.
  expect(versionOrdinal("4.9.4")).toBe(401);
  expect(versionOrdinal("V4_9_9_SNAPSHOT")).toBe(410);
  expect(versionName(0)).toBe("V3_0_0_SNAPSHOT");
  expect(versionName(15)).toBe("V3_0_0_FINAL");
  expect(versionName(475)).toBe("V5_3_1");
  expect(versionName(611)).toBe("V5_9_9");
  expect(versionName(612)).toBe("HIGHER_VERSION");
  expect(versionName(100000)).toBe("HIGHER_VERSION");
  expect(versionName(-1)).toBe("HIGHER_VERSION");
  expect(versionOrdinal("6.0.0")).toBeUndefined();
});

test("languages", () => {
  expect(languageName(LanguageCode.DOTNET)).toBe("DOTNET");
  expect(languageCode("NODE_JS")).toBe(13);
  expect(languageCode("constructor")).toBe(LanguageCode.OTHER);
  expect(languageName(200)).toBe("OTHER");
});

test("addresses as Apache prints them", () => {
  expect(addressText("127.0.0.1", 50312)).toBe("127.0.0.1:50312");
  expect(addressText("::ffff:10.1.2.3", 1)).toBe("10.1.2.3:1");
  expect(addressText("::1", 9876)).toBe("[0:0:0:0:0:0:0:1]:9876");
  expect(hostText("2001:DB8::ff00:42:8329")).toBe("2001:db8:0:0:0:ff00:42:8329");
  expect(hostText("fe80::1%eth0")).toBe("fe80:0:0:0:0:0:0:1");
  expect(hostText("64:ff9b::192.0.2.33")).toBe("64:ff9b:0:0:0:0:c000:221");
  expect(hostText("1:2:3:4:5:6:7:8")).toBe("1:2:3:4:5:6:7:8");
});

test("addresses as records hold them", () => {
  expect(hostBytes("10.1.2.255", 65535).toString("hex")).toBe("0a0102ff0000ffff");
  expect(hostBytes("::ffff:10.1.2.3", 258).toString("hex")).toBe("0a01020300000102");
  expect(hostBytes("::1", 1).toString("hex")).toBe(`${"0".repeat(31)}1${"00000001"}`);
  expect(hostBytes("nonsense", 1).toString("hex")).toBe("0000000000000001");
});
