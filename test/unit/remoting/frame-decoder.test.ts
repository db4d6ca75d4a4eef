import { expect, test } from "vitest";
import { AssemblyBudget } from "#src/remoting/assembly-budget.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { HandClock } from "./peers.js";

function frame(header: string, body: string, serializeType = 0): Buffer {
  const bytes = Buffer.alloc(8 + header.length + body.length);
  bytes.writeInt32BE(4 + header.length + body.length, 0);
  bytes.writeInt32BE((serializeType << 24) | header.length, 4);
  bytes.write(header + body, 8, "latin1");
  return bytes;
}

function prefix(length: number, headerLength: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(length >>> 0, 0);
  bytes.writeUInt32BE(headerLength >>> 0, 4);
  return bytes;
}

/** Each frame as `type|header|body`, then the last verdict. */
function pull(decoder: FrameDecoder): [string[], FrameVerdict] {
  const frames: string[] = [];
  for (;;) {
    const verdict = decoder.next();
    if (verdict !== FrameVerdict.FRAME) return [frames, verdict];
    const { bytes, headerStart, headerEnd, bodyEnd } = decoder;
    const header = bytes.toString("latin1", headerStart, headerEnd);
    frames.push(`${decoder.serializeType}|${header}|${bytes.toString("latin1", headerEnd, bodyEnd)}`);
  }
}

const SAMPLE = [frame("{h1}", "body"), frame("", "", 1), frame("{header}", ""), frame("h", "b".repeat(3000), 7)];
const SAMPLE_TEXT = ["0|{h1}|body", "1||", "0|{header}|", `7|h|${"b".repeat(3000)}`];

test("whole frames are given out where they lie", () => {
  const decoder = new FrameDecoder();
  const chunk = Buffer.concat(SAMPLE);
  decoder.push(chunk);
  expect(decoder.next()).toBe(FrameVerdict.FRAME);
  expect(decoder.bytes).toBe(chunk);
  expect(pull(decoder)).toEqual([SAMPLE_TEXT.slice(1), FrameVerdict.MORE]);
  expect(decoder.hasBytes).toBe(false);
});

test("frames survive a cut at every byte, and two cuts", () => {
  const all = Buffer.concat(SAMPLE.slice(0, 3));
  for (let first = 0; first <= all.length; first++) {
    for (let second = first; second <= all.length; second++) {
      const decoder = new FrameDecoder();
      const frames: string[] = [];
      for (const piece of [all.subarray(0, first), all.subarray(first, second), all.subarray(second)]) {
        decoder.push(piece);
        const [some, verdict] = pull(decoder);
        expect(verdict).toBe(FrameVerdict.MORE);
        frames.push(...some);
      }
      expect(frames).toEqual(SAMPLE_TEXT.slice(0, 3));
    }
  }
});

test("single bytes make the same frames", () => {
  const decoder = new FrameDecoder();
  const frames: string[] = [];
  for (const byte of Buffer.concat([...SAMPLE, ...SAMPLE])) {
    decoder.push(Buffer.from([byte]));
    frames.push(...pull(decoder)[0]);
  }
  expect(frames).toEqual([...SAMPLE_TEXT, ...SAMPLE_TEXT]);
});

test("lengths out of bounds are final, and frames before them still come", () => {
  for (const bad of [
    prefix(0, 0),
    prefix(3, 0),
    prefix(16777213, 0),
    prefix(-1, 0),
    prefix(0x80000000, 0),
    prefix(10, 7),
    prefix(10, 0x01ffffff),
    prefix(4, 1),
  ]) {
    const decoder = new FrameDecoder();
    decoder.push(Buffer.concat([SAMPLE[0]!, bad, SAMPLE[0]!]));
    expect(pull(decoder)).toEqual([[SAMPLE_TEXT[0]], FrameVerdict.BAD_LENGTH]);
    expect(decoder.next()).toBe(FrameVerdict.BAD_LENGTH);
    const slow = new FrameDecoder();
    let last: FrameVerdict = FrameVerdict.MORE;
    for (const byte of bad) {
      slow.push(Buffer.from([byte]));
      last = slow.next();
      if (last !== FrameVerdict.MORE) break;
    }
    expect(last).toBe(FrameVerdict.BAD_LENGTH);
  }
});

test("the largest frame is Apache's, its length word included", () => {
  const decoder = new FrameDecoder({ frameBytesMax: 32 });
  decoder.push(frame("h".repeat(8), "b".repeat(16)));
  expect(pull(decoder)[0]).toHaveLength(1);
  decoder.push(frame("h".repeat(8), "b".repeat(17)));
  expect(pull(decoder)).toEqual([[], FrameVerdict.BAD_LENGTH]);
  const whole = new FrameDecoder();
  whole.push(prefix(16777212, 4));
  expect(whole.next()).toBe(FrameVerdict.MORE);
});

test("a header is bounded of its own", () => {
  const decoder = new FrameDecoder({ headerBytesMax: 100 });
  decoder.push(prefix(1000, 101));
  expect(decoder.next()).toBe(FrameVerdict.BAD_LENGTH);
});

test("a promised frame takes no more memory than what arrived", () => {
  const budget = new AssemblyBudget();
  const decoder = new FrameDecoder({ budget });
  decoder.push(prefix(16777212, 100));
  expect(decoder.next()).toBe(FrameVerdict.MORE);
  expect(budget.bytes).toBeLessThanOrEqual(1024);
  let receivedBytes = 8;
  while (receivedBytes < 1_000_000) {
    decoder.push(Buffer.alloc(1000));
    expect(decoder.next()).toBe(FrameVerdict.MORE);
    receivedBytes += 1000;
    expect(budget.bytes).toBeLessThanOrEqual(2 * receivedBytes + 1024);
  }
  decoder.release();
  expect(budget.bytes).toBe(0);
});

test("a large assembly is given back with its frame, a small one kept", () => {
  const budget = new AssemblyBudget();
  const decoder = new FrameDecoder({ budget });
  const large = frame("h", "b".repeat(100000));
  decoder.push(large.subarray(0, 50));
  expect(decoder.next()).toBe(FrameVerdict.MORE);
  decoder.push(large.subarray(50));
  expect(pull(decoder)[0]).toEqual([`0|h|${"b".repeat(100000)}`]);
  expect(budget.bytes).toBe(0);
  decoder.push(SAMPLE[0]!.subarray(0, 5));
  expect(decoder.next()).toBe(FrameVerdict.MORE);
  expect(budget.bytes).toBe(1024);
  decoder.push(SAMPLE[0]!.subarray(5));
  expect(pull(decoder)[0]).toEqual([SAMPLE_TEXT[0]]);
  expect(budget.bytes).toBe(1024);
});

test("over the common budget a connection is refused, not another one's", () => {
  const budget = new AssemblyBudget(5500);
  const first = new FrameDecoder({ budget });
  const second = new FrameDecoder({ budget });
  const large = frame("h", "b".repeat(5000));
  first.push(large.subarray(0, 3000));
  expect(first.next()).toBe(FrameVerdict.MORE);
  second.push(large.subarray(0, 3000));
  expect(second.next()).toBe(FrameVerdict.NO_ROOM);
  expect(second.next()).toBe(FrameVerdict.NO_ROOM);
  second.release();
  first.push(SAMPLE[0]!.subarray(0, 1));
  expect(first.next()).toBe(FrameVerdict.MORE);
  first.release();
  expect(budget.bytes).toBe(0);
});

test("where there is no room the oldest large frame makes some, if it is ten seconds old", () => {
  const clock = new HandClock();
  const budget = new AssemblyBudget(100_000, clock);
  const given: string[] = [];
  const large = frame("h", "b".repeat(40_000));
  const open = (name: string) => {
    const decoder = new FrameDecoder({ budget, onGivenUp: () => given.push(name) });
    decoder.push(large.subarray(0, 39_000));
    return { decoder, verdict: decoder.next() };
  };
  const small = new FrameDecoder({ budget, onGivenUp: () => given.push("small") });
  small.push(large.subarray(0, 10_000));
  expect(small.next()).toBe(FrameVerdict.MORE);
  const first = open("first");
  clock.advance(5_000);
  const second = open("second");
  clock.advance(4_999);
  expect(open("too early").verdict).toBe(FrameVerdict.NO_ROOM);
  expect(given).toEqual([]);
  clock.advance(1);
  const third = open("third");
  expect([first, second, third].map(({ verdict }) => verdict)).toEqual(Array(3).fill(FrameVerdict.MORE));
  expect(given).toEqual(["first"]);
  expect(first.decoder.next()).toBe(FrameVerdict.BAD_LENGTH);
  expect(open("fourth").verdict).toBe(FrameVerdict.NO_ROOM);
  // A frame that ends is no longer old: its connection's next one is young.
  second.decoder.push(large.subarray(39_000));
  expect(second.decoder.next()).toBe(FrameVerdict.FRAME);
  clock.advance(5_000);
  second.decoder.push(large.subarray(0, 39_000));
  expect(second.decoder.next()).toBe(FrameVerdict.MORE);
  clock.advance(5_000);
  expect(open("fifth").verdict).toBe(FrameVerdict.MORE);
  expect(given).toEqual(["first", "third"]);
  expect(budget.bytes).toBeLessThanOrEqual(100_000);
});

test.each([
  ["GET / HTTP/1.1\r\n", FrameVerdict.HTTP1],
  ["POST /x HTTP/1.1\r\n", FrameVerdict.HTTP1],
  ["OPTIONS * HTTP/1.1\r\n", FrameVerdict.HTTP1],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FrameVerdict.HTTP2],
  ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", FrameVerdict.TLS],
  ["SSH-2.0-OpenSSH_9.2\r\n", FrameVerdict.BAD_LENGTH],
])("strangers are known by their first bytes: %j", (text, verdict) => {
  const bytes = Buffer.from(text, "latin1");
  const decoder = new FrameDecoder();
  decoder.push(bytes);
  expect(decoder.next()).toBe(verdict);
  const slow = new FrameDecoder();
  let last: FrameVerdict = FrameVerdict.MORE;
  for (let i = 0; i < bytes.length && last === FrameVerdict.MORE; i++) {
    slow.push(bytes.subarray(i, i + 1));
    last = slow.next();
  }
  expect(last).toBe(verdict);
  const later = new FrameDecoder();
  later.push(Buffer.concat([SAMPLE[0]!, bytes]));
  expect(pull(later)[1]).toBe(FrameVerdict.BAD_LENGTH);
});

test("a chunk must be used up before the next", () => {
  const decoder = new FrameDecoder();
  decoder.push(SAMPLE[0]!);
  expect(() => decoder.push(SAMPLE[0]!)).toThrow(/used up/);
});
