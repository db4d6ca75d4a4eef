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
import { createServer } from "node:http";
import { decodeRecord, encodeHost, MessageStore, PutStatus } from "cometmq/store";

const EVENT_BYTES_MAX = 1024 * 1024;
const NAME = /^\/([\w-]{1,100})$/;
const HOST = encodeHost("127.0.0.1", 0);
const NOTHING = Buffer.alloc(0);

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
    const url = new URL(request.url, "http://localhost");
    const [, name] = NAME.exec(url.pathname) ?? [];
    if (name === undefined) return response.writeHead(404).end("A stream is /name.\n");
    const queue = this.#store.queue(name, 0);
    if (request.method === "POST") return this.#append(queue, request, response);
    const from = Number(url.searchParams.get("from") ?? 0);
    if (!Number.isSafeInteger(from) || from < 0) return response.writeHead(400).end("from is an offset.\n");
    if (url.searchParams.has("follow")) return this.#follow(queue, from, request, response);
    return this.#read(queue, from, response);
  }

  async #append(queue, request, response) {
    const chunks = [];
    let bytes = 0;
    for await (const chunk of request) {
      bytes += chunk.length;
      if (bytes > EVENT_BYTES_MAX) return response.writeHead(413).end("An event has 1 MiB at most.\n");
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    const message = {
      ...{ queue, body, bodyStart: 0, bodyLength: body.length },
      ...{ properties: NOTHING, propertiesStart: 0, propertiesLength: 0 },
      ...{ bornHost: HOST, storeHost: HOST, bornTimestamp: Date.now() },
      ...{ flag: 0, sysFlag: 0, reconsumeTimes: 0, preparedTransactionOffset: 0 },
    };
    const result = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
    const status = this.#store.put(message, result);
    if (status === PutStatus.DISK_FULL) return response.writeHead(507).end("The disk is full.\n");
    if (status !== PutStatus.PUT_OK) return response.writeHead(503).end("Not taken.\n");
    // Whoever appends at the same time shares the sync.
    await this.#store.whenFlushed(result.phyOffset + result.sizeBytes);
    response.writeHead(201).end(`${JSON.stringify({ offset: result.queueOffset })}\n`);
  }

  async #read(queue, from, response) {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    // Who has appended finds it: queues follow the log a moment behind.
    await this.#store.settled();
    const end = this.#store.maxOffset(queue);
    if (from < end) {
      for await (const { queueOffset, record } of this.#store.tail(queue, { from, signal: this.#stop.signal })) {
        response.write(`${eventLine(queueOffset, record)}\n`);
        if (queueOffset + 1 >= end) break;
      }
    }
    response.end();
  }

  async #follow(queue, from, request, response) {
    const gone = new AbortController();
    request.on("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, this.#stop.signal]);
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    for await (const { queueOffset, record } of this.#store.tail(queue, { from, signal })) {
      response.write(`id: ${queueOffset}\ndata: ${eventLine(queueOffset, record)}\n\n`);
    }
  }

  #fail(response, error) {
    if (error.name !== "AbortError") process.stderr.write(`${error.message}\n`);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
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
