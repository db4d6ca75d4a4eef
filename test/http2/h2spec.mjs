#!/usr/bin/env node
/**
 * Runs h2spec (https://github.com/summerwind/h2spec) against the server's HTTP/2. Not against a gRPC endpoint, which
 * answers what is no call before h2spec's requests are whole: here each is answered with 200 and a body when it has ended.
 *
 *   node test/http2/h2spec.mjs [PATH-OF-h2spec] [arguments of h2spec]
 */
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { systemClock } from "../../dist/base/clock.js";
import { Connection } from "../../dist/http2/connection.js";
import { hpackEncode } from "../../dist/http2/hpack.js";
import { BufferPool } from "../../dist/remoting/buffer-pool.js";
import { ReceiveBuffer } from "../../dist/remoting/receive-buffer.js";
import { Turns } from "../../dist/remoting/turns.js";

const [program = "h2spec", ...args] = process.argv.slice(2);
const HEADERS = hpackEncode([
  [":status", "200"],
  ["content-type", "text/plain"],
]);
const TRAILERS = hpackEncode([["x-end", "yes"]]);
const pool = new BufferPool();
const receiveBuffer = new ReceiveBuffer();
const turns = new Turns();

const server = createServer({ noDelay: true }, (socket) => {
  socket.pause();
  new Connection(socket, {
    clock: systemClock,
    pool,
    turns,
    receiveBuffer,
    streamsMax: 100,
    onStream: (stream) => {
      stream.listener = {
        received: () => {},
        requestEnded: () => {
          stream.respond(HEADERS);
          stream.write(Buffer.from("hello, h2spec"));
          stream.end(TRAILERS);
        },
        closed: () => {},
      };
    },
    onFault: () => {},
    onClosed: () => {},
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  const child = spawn(program, ["-h", "127.0.0.1", "-p", String(address.port), ...args], { stdio: "inherit" });
  child.on("error", (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  });
  child.on("exit", (code) => process.exit(code ?? 2));
});
