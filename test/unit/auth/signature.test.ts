/** Frames that Apache's AclClientRPCHook has signed (test/java/acl/AclVectors.java), byte for byte as it sent them. */
import { createSecretKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { AssemblyBudget } from "#src/remoting/assembly-budget.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";
import { type Request, SerializeType } from "#src/remoting/types.js";
import { requestSigner } from "#src/remoting/request-signer.js";
import { dateSignature, sameSignature, signatureOf } from "#src/server/auth/signature.js";

interface Vector {
  readonly name: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly signature: string;
  readonly frame: string;
}

const vectors = readFileSync(new URL("signed-frames.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Vector);

const keyOf = (secret: string) => createSecretKey(Buffer.from(secret));

function requestOf(frame: Buffer): Request | undefined {
  const decoder = new FrameDecoder({ frameBytesMax: 1 << 20, budget: new AssemblyBudget(1 << 20) });
  decoder.push(frame);
  if (decoder.next() !== FrameVerdict.FRAME) return undefined;
  const header = new HeaderView();
  const { bytes, headerStart, headerEnd, bodyEnd, serializeType } = decoder;
  if (!header.parse(bytes, headerStart, headerEnd, serializeType)) return undefined;
  return { header, bytes, bodyStart: headerEnd, bodyEnd, body: bytes.subarray(headerEnd, bodyEnd) };
}

describe.each(vectors)("$name", ({ accessKey, secretKey, signature, frame }) => {
  const bytes = Buffer.from(frame, "hex");

  test("has the signature that we make of it", () => {
    const request = requestOf(bytes)!;
    expect(request.header.text("AccessKey")).toBe(accessKey);
    expect(request.header.text("Signature")).toBe(signature);
    expect(signatureOf(request, keyOf(secretKey))).toBe(signature);
    expect(signatureOf(request, keyOf(`${secretKey}x`))).not.toBe(signature);
  });

  test("has another one when a value or the body is changed", () => {
    const { header, bodyStart, bodyEnd } = requestOf(bytes)!;
    const places = header.version <= 399 ? [] : [bodyEnd - 1].filter((at) => at >= bodyStart);
    for (let i = 0; i < header.fieldCount; i++) {
      const ignored = ["Signature", "_UNIQUE_KEY_QUERY"].includes(header.keyText(i)) && header.version <= 399;
      if (header.keyText(i) !== "Signature" && !ignored) places.push(header.valueStart[i]!);
    }
    for (const at of places) {
      const changed = Buffer.from(bytes);
      changed[at] = changed[at]! ^ 1;
      const request = requestOf(changed);
      if (request !== undefined) expect(signatureOf(request, keyOf(secretKey))).not.toBe(signature);
    }
  });
});

test("there are vectors of both serialisations", () => {
  expect(vectors.length).toBe(14);
});

test.each([SerializeType.JSON, SerializeType.ROCKETMQ])(
  "what we sign ourselves is verified, serialised as %i",
  (type) => {
    const signer = requestSigner({ accessKey: "inner", secretKey: "ünner" });
    const body = Buffer.from("body");
    const fields = signer({ clusterName: "c", brokerId: 0, compressed: false, nothing: undefined, Z: "z" }, body);
    const writer = new FrameWriter();
    writer.request(1, type, 103, false, fields, body);
    const request = requestOf(Buffer.from(writer.buffer.subarray(0, writer.length)))!;
    expect(signatureOf(request, keyOf("ünner"))).toBe(request.header.text("Signature"));
  },
);

test("the date of gRPC metadata is signed as Apache's clients sign it", () => {
  // AclSigner.calSignature of 5.4.0, in hexadecimal.
  const signed = "ff32ef6e9be54e7aee628ada2c07f8e72665302c";
  expect(dateSignature("20260102T030405Z", keyOf("12345678"))).toBe(signed);
});

test("signatures are compared whole", () => {
  const good = "TthXP52+y9BXjTDNSFuzYLlnlhA=";
  expect(sameSignature(good, good)).toBe(true);
  for (const bad of [
    "",
    good.slice(0, -1),
    `${good}=`,
    ` ${good}`,
    good.replace("+", "-"),
    "\u0141",
    good.toLowerCase(),
  ])
    expect(sameSignature(good, bad)).toBe(false);
});
