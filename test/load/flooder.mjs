/**
 * A process that floods a broker with sends until it is killed: `node flooder.mjs PORT TOPIC CONNECTIONS WINDOW`, each
 * connection with WINDOW sends of 1 KB in flight; with WINDOW 0 it waits for no answer, and sends what the network takes.
 * Writes the number of messages acknowledged so far, a line a quarter second, all other answers (their figures as N) with
 * the shortest wait that any of them tells, and how many were handed to the network.
 */
import { connect } from "node:net";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";
import { SerializeType } from "#src/remoting/types.js";

const [port, topic, connectionCount, windowCount] = process.argv.slice(2);
const REPORT_MS = 250;
const header = new HeaderView();
const refusals = new Map();
let acknowledged = 0;
let shortestWaitMs = null;
let offered = 0;
const BLIND_COUNT = 64;

const body = Buffer.alloc(1024, "x");
const fields = {
  a: "P",
  b: topic,
  c: "TBW102",
  d: 4,
  e: 0,
  f: 0,
  g: Date.now(),
  h: 0,
  i: "",
  j: 0,
  k: "false",
  m: "false",
};

function sends(count) {
  const writer = new FrameWriter();
  for (let i = 0; i < count; i++)
    writer.request(i, SerializeType.JSON, RequestCode.SEND_MESSAGE_V2, false, fields, body);
  const { length } = writer;
  return writer.detach().subarray(0, length);
}

function refused(why) {
  const kind = why.replace(/\d+(?=ms|$)/g, "N");
  refusals.set(kind, (refusals.get(kind) ?? 0) + 1);
  const waitMs = /(\d+)ms/.exec(why)?.[1];
  if (waitMs !== undefined) shortestWaitMs = Math.min(shortestWaitMs ?? Number(waitMs), Number(waitMs));
}

function flood() {
  const decoder = new FrameDecoder();
  const socket = connect({ port: Number(port), host: "127.0.0.1", noDelay: true });
  socket.on("error", () => {});
  const isBlind = Number(windowCount) === 0;
  const pour = () => {
    do offered += BLIND_COUNT;
    while (socket.write(ofSize(BLIND_COUNT)));
  };
  if (isBlind) socket.on("connect", pour).on("drain", pour);
  else socket.once("connect", () => socket.write(sends(Number(windowCount))));
  socket.on("data", (chunk) => {
    let answered = 0;
    decoder.push(chunk);
    while (decoder.next() === FrameVerdict.FRAME) {
      header.parse(decoder.bytes, decoder.headerStart, decoder.headerEnd, decoder.serializeType);
      answered++;
      if (header.code === ResponseCode.SUCCESS) acknowledged++;
      else refused(`${header.code} ${header.remark}`);
    }
    if (answered > 0 && !isBlind) socket.write(ofSize(answered));
  });
}

const made = new Map();
function ofSize(count) {
  if (!made.has(count)) made.set(count, sends(count));
  return made.get(count);
}

for (let i = 0; i < Number(connectionCount); i++) flood();
setInterval(() => {
  process.stdout.write(
    `${JSON.stringify({ acknowledged, offered, shortestWaitMs, refusals: Object.fromEntries(refusals) })}\n`,
  );
}, REPORT_MS);
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
