/**
 * What a broker tells a name server about itself. Shape: remoting/protocol/body/RegisterBrokerBody.java, which is one
 * JSON object, or with `compressed` a zlib stream of counted pieces:
 *
 *   length i32, data version (JSON)   topic count i32, each: length i32, line   length i32, filter servers (JSON)
 *   mapping count i32, each: length i32, mapping (JSON)      (mappings only from 5.0.0 on)
 */
import { deflateSync, inflateSync } from "node:zlib";
import { CometError } from "../../base/errors.js";
import { toFastjson } from "../../remoting/fastjson.js";
import { versionOrdinal } from "../../remoting/mq-version.js";
import { dataVersionJson, NO_DATA_VERSION, readDataVersion } from "./data-version.js";
import { mapMember, parseBody } from "./members.js";
import { parseTopicConfigLine, type TopicConfig, topicConfigLine } from "./topic-config.js";
import {
  readTopicConfigAndMappingWrapper,
  type TopicConfigAndMappingWrapper,
  topicConfigAndMappingWrapperJson,
} from "./topic-config-wrapper.js";
import {
  readTopicQueueMappingInfo,
  type TopicQueueMappingInfo,
  topicQueueMappingInfoJson,
} from "./topic-route-data.js";

const V5_0_0 = versionOrdinal("5.0.0")!;
/** Deflate with a window of 32 KiB; no JSON object begins like this. */
const ZLIB_FIRST_BYTE = 0x78;
/** Some 700,000 topics: what a frame of the usual bound can unpack to is more than an honest broker has. */
const INFLATED_BYTES_MAX = 64 * 1024 * 1024;

/** Filter servers are gone since RocketMQ 4.3: they are written as none and read over. */
export function writeRegisterBrokerBody(topics: TopicConfigAndMappingWrapper, compressed: boolean): Buffer {
  if (!compressed) {
    const wrapper = topicConfigAndMappingWrapperJson(topics);
    return Buffer.from(toFastjson({ filterServerList: [], topicConfigSerializeWrapper: wrapper }));
  }
  const pieces: Buffer[] = [];
  const count = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    pieces.push(bytes);
  };
  const piece = (text: string) => {
    const bytes = Buffer.from(text);
    count(bytes.length);
    pieces.push(bytes);
  };
  piece(toFastjson(dataVersionJson(topics.dataVersion)));
  count(topics.topicConfigTable.size);
  for (const config of topics.topicConfigTable.values()) piece(topicConfigLine(config));
  piece("[]");
  count(topics.topicQueueMappingInfoMap.size);
  for (const info of topics.topicQueueMappingInfoMap.values()) {
    piece(toFastjson(topicQueueMappingInfoJson(info, false)));
  }
  return deflateSync(Buffer.concat(pieces), { level: 9 });
}

/**
 * `version` is the broker's, from the request's header. Apache 5.4.0 brokers with compressedRegister=true send the
 * compressed form and say that it is not, so the first byte counts as well. Throws COMETMQ_BAD_REQUEST.
 */
export function readRegisterBrokerBody(
  body: Buffer,
  compressed: boolean,
  version: number,
): TopicConfigAndMappingWrapper {
  if (body.length === 0) return readTopicConfigAndMappingWrapper(undefined);
  if (compressed || body[0] === ZLIB_FIRST_BYTE) return new InflatedReader(inflate(body)).read(version >= V5_0_0);
  const map = parseBody(body, "RegisterBrokerBody");
  return readTopicConfigAndMappingWrapper(mapMember(map, "topicConfigSerializeWrapper"));
}

function inflate(body: Buffer): Buffer {
  try {
    return inflateSync(body, { maxOutputLength: INFLATED_BYTES_MAX });
  } catch (cause) {
    throw new CometError("COMETMQ_BAD_REQUEST", "The compressed body cannot be unpacked.", { cause });
  }
}

/** Every length is checked against what is left, so a hostile one costs nothing. */
class InflatedReader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(withMappings: boolean): TopicConfigAndMappingWrapper {
    const dataVersion = readDataVersion(parseBody(this.#piece(), "data version"));
    const topicConfigTable = new Map<string, TopicConfig>();
    for (let left = this.#count(); left > 0; left--) {
      const config = parseTopicConfigLine(this.#piece());
      topicConfigTable.set(config.topicName, config);
    }
    this.#piece();
    const topicQueueMappingInfoMap = new Map<string, TopicQueueMappingInfo>();
    for (let left = withMappings ? this.#count() : 0; left > 0; left--) {
      const info = readTopicQueueMappingInfo(parseBody(this.#piece(), "topic queue mapping"));
      topicQueueMappingInfoMap.set(info.topic, info);
    }
    return { dataVersion, mappingDataVersion: NO_DATA_VERSION, topicConfigTable, topicQueueMappingInfoMap };
  }

  #count(): number {
    const bytes = this.#bytes;
    const left = bytes.length - this.#position - 4;
    const count = left < 0 ? -1 : bytes.readInt32BE(this.#position);
    if (count < 0 || count > left) {
      throw new CometError("COMETMQ_BAD_REQUEST", "A count in the compressed body passes its end.");
    }
    this.#position += 4;
    return count;
  }

  #piece(): string {
    const length = this.#count();
    const start = this.#position;
    this.#position += length;
    return this.#bytes.toString("utf8", start, this.#position);
  }
}
