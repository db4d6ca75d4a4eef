/** A gRPC endpoint in this process and calls to it over real sockets, on node:http2 with the API's own codec. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { MessageReader } from "#src/grpc/message-reader.js";
import { loadMethods } from "#src/grpc/proto.js";
import { GrpcEndpoint } from "#src/server/proxy/endpoint.js";
import { framed } from "../unit/grpc/framed.js";
import { type BrokerSettings, onCloseAll, type StartedBroker, startBroker } from "./harness.js";

const METHODS = loadMethods();
const SERVICE = "/apache.rocketmq.v2.MessagingService/";

/** What a test looks for in an answer of any method. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Answer = Record<string, any>;

export interface RpcResult {
  readonly httpStatus: number;
  readonly grpcStatus: number;
  readonly grpcMessage: string;
  readonly messages: Answer[];
}

export interface StartedEndpoint extends StartedBroker {
  readonly endpoint: GrpcEndpoint;
}

export async function startEndpoint(settings: BrokerSettings = {}): Promise<StartedEndpoint> {
  const started = await startBroker(settings);
  const { context, processors, store } = started.broker;
  const endpoint = await GrpcEndpoint.start({ broker: context, processors, files: store.disk, port: 0 });
  onCloseAll(() => endpoint.close());
  return { ...started, endpoint };
}

export function connectTo(endpoint: Pick<GrpcEndpoint, "port">, scheme = "http"): ClientHttp2Session {
  const session = connect(`${scheme}://127.0.0.1:${endpoint.port}`, { rejectUnauthorized: false });
  session.on("error", () => {});
  onCloseAll(() => session.destroy());
  return session;
}

/** Opens the method's stream with a client's metadata. */
export function open(session: ClientHttp2Session, method: string, headers: Record<string, string> = {}) {
  const stream = session.request({
    ":method": "POST",
    ":path": SERVICE + method,
    "content-type": "application/grpc",
    te: "trailers",
    "x-mq-client-id": "client-1",
    "x-mq-language": "JAVA",
    "x-mq-client-version": "5.0.8",
    "grpc-timeout": "30S",
    ...headers,
  });
  stream.on("error", () => {});
  return stream;
}

/** Sends raw bytes and gathers what comes until the stream ends. */
export function gather(stream: ClientHttp2Stream, method: string, bytes?: Buffer): Promise<RpcResult> {
  const { response } = METHODS.get(method) ?? { response: undefined };
  const reader = new MessageReader(1 << 30, { bytes: 0, bytesMax: 1 << 30 }, "identity");
  const messages: Answer[] = [];
  let headers: Record<string, unknown> = {};
  stream.on("response", (received) => {
    headers = { ...headers, ...received };
  });
  stream.on("trailers", (received) => {
    headers = { ...headers, ...received };
  });
  stream.on("data", (chunk: Buffer) => {
    reader.push(chunk, (message) => messages.push(response!.decode(Buffer.from(message))));
  });
  if (bytes !== undefined) stream.end(bytes);
  return new Promise((resolve) => {
    stream.on("close", () =>
      resolve({
        httpStatus: Number(headers[":status"]),
        grpcStatus: Number(headers["grpc-status"]),
        grpcMessage: decodeURIComponent(String(headers["grpc-message"] ?? "")),
        messages,
      }),
    );
  });
}

export function encoded(method: string, request: object): Buffer {
  const type = METHODS.get(method)!;
  return framed(type.request.encode(request));
}

export async function call(
  session: ClientHttp2Session,
  method: string,
  request: object,
  headers = {},
): Promise<Answer> {
  const result = await gather(open(session, method, headers), method, encoded(method, request));
  return result.messages[0] ?? { status: { code: -result.grpcStatus, message: result.grpcMessage } };
}

/** A telemetry stream: commands out, and those that come in, one after the other. */
export class Telemetry {
  readonly stream: ClientHttp2Stream;
  readonly ended: Promise<RpcResult>;
  readonly #received: Answer[] = [];
  #wake: () => void = () => {};

  constructor(session: ClientHttp2Session, headers: Record<string, string> = {}) {
    this.stream = open(session, "Telemetry", headers);
    this.ended = gather(this.stream, "Telemetry");
    const reader = new MessageReader(1 << 30, { bytes: 0, bytesMax: 1 << 30 }, "identity");
    this.stream.on("data", (chunk: Buffer) => {
      reader.push(chunk, (message) =>
        this.#received.push(METHODS.get("Telemetry")!.response.decode(Buffer.from(message))),
      );
      this.#wake();
    });
  }

  send(command: object): void {
    this.stream.write(encoded("Telemetry", command));
  }

  async next(): Promise<Answer> {
    while (this.#received.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#received.shift()!;
  }
}

export const TOPIC = { name: "T" };
export const GROUP = { name: "G" };
export const ClientType = { PRODUCER: 1, PUSH_CONSUMER: 2, SIMPLE_CONSUMER: 3 };

let lastId = 0;

/** A message as clients make it. */
export function message(changes: Answer = {}) {
  const { systemProperties, ...others } = changes;
  return {
    topic: TOPIC,
    body: Buffer.from("hello"),
    ...others,
    systemProperties: {
      messageId: `01${String(++lastId).padStart(32, "0")}`,
      messageType: 1,
      bodyEncoding: 1,
      bornTimestamp: { seconds: 1_795_000_000, nanos: 0 },
      bornHost: "somewhere",
      ...systemProperties,
    },
  };
}
