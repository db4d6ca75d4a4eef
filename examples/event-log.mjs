/**
 * A broker that is not RocketMQ: an event log over HTTP on CometMQ's store, with what the store brings along: group commit,
 * recovery after a kill, followers that are told of new events.
 *
 *   POST /STREAM                    appends the body; answers {"offset": 7} once it is on the disk
 *   GET  /STREAM?from=7             events from there on, a JSON line each
 *   GET  /STREAM?from=7&follow      the same, and then what comes, as server-sent events
 *
 *   node examples/event-log.mjs ./event-log 8000
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { appendMessage, decodeRecord, MessageStore } from "cometmq/store";

const EVENT_BYTES_MAX = 1024 * 1024;
const NAME = /^\/([\w-]{1,100})$/;
const STATUS_OF = { COMETMQ_DISK_FULL: 507, COMETMQ_STORE_READ_ONLY: 503, COMETMQ_STORE_CLOSED: 503 };

export class EventLog {
  #store;
  #server;
  #stop = new AbortController();

  static async start(directory, port) {
    const log = new EventLog();
    log.#store = await MessageStore.open({ directory, flushDiskType: "SYNC_FLUSH", segmentBytes: 64 * 1024 * 1024 });
    log.#server = createServer((request, response) => {
      log.#answer(request, response).catch((error) => log.#fail(response, error));
    });
    await new Promise((resolve, reject) => log.#server.once("error", reject).listen(port, "127.0.0.1", resolve));
    return log;
  }

  get port() {
    return this.#server.address().port;
  }

  async close() {
    this.#stop.abort();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#store.close();
  }

  async #answer(request, response) {
    const { pathname, searchParams } = new URL(`http://localhost${request.url}`);
    const name = NAME.exec(pathname)?.[1];
    if (name === undefined) return response.writeHead(404).end("A stream is /name.\n");
    if (request.method === "POST") return this.#append(name, request, response);
    if (request.method !== "GET") return response.writeHead(405, { allow: "GET, POST" }).end();
    const from = Number(searchParams.get("from") ?? 0);
    if (!Number.isSafeInteger(from) || from < 0) return response.writeHead(400).end("from is an offset.\n");
    // `queue` makes what is not there yet, and nobody shall do that by asking.
    const queue = this.#store.findQueue(name, 0);
    if (queue === undefined) return response.writeHead(404).end("There is no such stream.\n");
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, this.#stop.signal]);
    if (searchParams.has("follow")) return this.#follow(queue, from, signal, response);
    return this.#read(queue, from, signal, response);
  }

  async #append(name, request, response) {
    const chunks = [];
    let bytes = 0;
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      bytes += chunk.length;
      if (bytes > EVENT_BYTES_MAX) {
        return response.writeHead(413, { connection: "close" }).end("An event has 1 MiB at most.\n");
      }
      chunks.push(chunk);
    }
    const { queueOffset } = await appendMessage(this.#store, this.#store.queue(name, 0), {
      body: Buffer.concat(chunks),
    });
    response.writeHead(201).end(`${JSON.stringify({ offset: queueOffset })}\n`);
  }

  async #read(queue, from, signal, response) {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    // Who has appended finds it: queues follow the log a moment behind.
    await this.#store.settled();
    const end = this.#store.maxOffset(queue);
    if (from < end) {
      for await (const { queueOffset, record } of this.#store.tail(queue, { from, signal })) {
        await write(response, `${eventLine(queueOffset, record)}\n`, signal);
        if (queueOffset + 1 >= end) break;
      }
    }
    response.end();
  }

  async #follow(queue, from, signal, response) {
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    for await (const { queueOffset, record } of this.#store.tail(queue, { from, signal })) {
      await write(response, `id: ${queueOffset}\ndata: ${eventLine(queueOffset, record)}\n\n`, signal);
    }
  }

  #fail(response, error) {
    if (error.name !== "AbortError") process.stderr.write(`${error.message}\n`);
    if (!response.headersSent) response.writeHead(STATUS_OF[error.code] ?? 500);
    response.end();
  }
}

/** Waits for a reader that is slower than the log. */
async function write(response, text, signal) {
  if (!response.write(text)) await once(response, "drain", { signal });
}

function eventLine(offset, record) {
  const { body, storeTimestamp } = decodeRecord(record);
  return JSON.stringify({ offset, time: new Date(storeTimestamp).toISOString(), event: body.toString() });
}

if (process.argv[1] === import.meta.filename) {
  const log = await EventLog.start(process.argv[2] ?? "./event-log", Number(process.argv[3] ?? 8000));
  process.stdout.write(`http://127.0.0.1:${log.port}\n`);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => log.close());
}
