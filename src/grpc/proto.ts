/**
 * The codec of the API: reads the proto files of the package once, when an endpoint starts, and has protobufjs compile
 * each message on its first use. What goes back and forth under load is read and written by hand (hot-requests.ts,
 * hot-answers.ts).
 */
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import { BackwardWriter } from "./backward-writer.js";
import { HOT_ANSWERS, type Write } from "./hot-answers.js";
import { HOT_REQUESTS, type Read } from "./hot-requests.js";
import { PREFIX_BYTES, writePrefix } from "./message-frame.js";
import { ProtoCursor } from "./proto-cursor.js";

const PACKAGE = "apache.rocketmq.v2";
const SERVICE = "MessagingService";
/** From the compiled file, in dist as in a package. */
const PROTO_FOLDER = "../../proto/";

export interface Codec<T> {
  /** Throws for bytes that are no such message. */
  decode(bytes: Uint8Array): T;
  encode(message: T): Buffer;
  /** With the prefix of a message on its stream: not compressed, and its length. Good until the next is encoded. */
  encodeFramed(message: T): Buffer;
}

export interface Method {
  /** `/apache.rocketmq.v2.MessagingService/SendMessage` */
  readonly path: string;
  readonly name: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request: Codec<object>;
  readonly response: Codec<object>;
}

/** The methods of MessagingService by name. */
export function loadMethods(): ReadonlyMap<string, Method> {
  const root = loadRoot();
  const methods = new Map<string, Method>();
  for (const method of root.lookupService(`${PACKAGE}.${SERVICE}`).methodsArray) {
    methods.set(method.name, {
      path: `/${PACKAGE}.${SERVICE}/${method.name}`,
      name: method.name,
      requestStream: method.requestStream === true,
      responseStream: method.responseStream === true,
      request: codecOf(root.lookupType(`${PACKAGE}.${method.requestType}`)),
      response: codecOf(root.lookupType(`${PACKAGE}.${method.responseType}`)),
    });
  }
  return methods;
}

function loadRoot(): protobuf.Root {
  // Without Long, protobufjs reads and writes 64-bit integers as numbers.
  protobuf.util.Long = undefined as never;
  protobuf.configure();
  const root = new protobuf.Root();
  const folder = fileURLToPath(new URL(PROTO_FOLDER, import.meta.url));
  root.resolvePath = (_origin, target) => (target.startsWith("google/") ? target : folder + target);
  root.loadSync("apache/rocketmq/v2/service.proto");
  root.resolveAll();
  return root;
}

function codecOf(type: protobuf.Type): Codec<object> {
  const encodeFramed = (message: object): Buffer => {
    // Its writer takes numbers only: a byte and four bytes of zeros keep the place.
    const frame = type.encode(message, protobuf.Writer.create().uint32(0).fixed32(0)).finish() as Buffer;
    writePrefix(frame, 0, frame.length - PREFIX_BYTES);
    return frame;
  };
  const write = HOT_ANSWERS.get(type.name);
  const read = HOT_REQUESTS.get(type.name);
  const decode = (bytes: Uint8Array): object => type.decode(bytes);
  return {
    decode: read === undefined ? decode : (bytes) => readBy(read, bytes) ?? decode(bytes),
    encode: (message) => type.encode(message).finish() as Buffer,
    encodeFramed: write === undefined ? encodeFramed : (message) => framedBy(write, message) ?? encodeFramed(message),
  };
}

const cursor = new ProtoCursor();

/** Undefined where the message has what is not read by hand. */
function readBy(read: Read<object>, bytes: Uint8Array): object | undefined {
  if (!Buffer.isBuffer(bytes)) return undefined;
  cursor.begin(bytes);
  const message = read(cursor, bytes.length);
  return cursor.failed ? undefined : message;
}

const writer = new BackwardWriter();

/** Undefined where the message has what is not written by hand. */
function framedBy(write: Write<never>, message: object): Buffer | undefined {
  writer.begin();
  write(writer, message as never);
  if (writer.failed) return undefined;
  writer.framePrefix();
  return writer.bytes.subarray(writer.at);
}
