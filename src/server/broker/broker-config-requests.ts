/**
 * Codes 25 and 26: the configuration of the running broker, as properties text (AdminBrokerProcessor.java). What may be
 * changed is an allow-list, and a request is taken as a whole or not at all.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { toFastjson } from "../../remoting/fastjson.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, quoted, SUCCESS } from "../answer.js";
import { dataVersionJson } from "../protocol/data-version.js";
import { parseProperties } from "../protocol/java-properties.js";
import type { UpdateRefusal } from "./broker-config.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";

const BODY_BYTES_MAX = 65_536;

const refusalCodes: Readonly<Record<UpdateRefusal["kind"], number>> = {
  blacklisted: ResponseCode.NO_PERMISSION,
  fixed: ResponseCode.NO_PERMISSION,
  unknown: ResponseCode.INVALID_PARAMETER,
  wrong: ResponseCode.INVALID_PARAMETER,
};

export function registerBrokerConfigRequests(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.UPDATE_BROKER_CONFIG, updateConfig);
  serve(processors, context, RequestCode.GET_BROKER_CONFIG, getConfig);
}

function updateConfig(context: BrokerContext, { body }: Request, connection: Connection): Answer | Promise<Answer> {
  if (body.length > BODY_BYTES_MAX) return failure(ResponseCode.SYSTEM_ERROR, "The configuration is too long.");
  const properties = parseProperties(body.toString());
  const client = connection.remoteAddress;
  const refusal = context.settings.update(properties);
  if (refusal !== undefined) {
    context.log.warn({ ...refusal, client }, "a change of configuration is refused");
    return failure(refusalCodes[refusal.kind], quoted(refusal.remark));
  }
  context.log.info({ properties: [...properties], client }, "configuration changed");
  if (properties.has("brokerPermission")) context.topics.touch();
  return savedConfig(context, properties) ?? SUCCESS;
}

/** A file that cannot be written, as where it is mounted for reading only, does not make the change fail. */
function savedConfig({ configFile, log }: BrokerContext, properties: Map<string, string>): Promise<Answer> | undefined {
  return configFile?.save(properties).then(
    () => SUCCESS,
    (error: unknown) => {
      log.warn({ err: error, path: configFile.path }, "changed settings could not be saved: they hold until the end");
      const why = error instanceof Error ? error.message : String(error);
      return { ...SUCCESS, remark: quoted(`Changed until the broker ends; it could not be saved: ${why}`) };
    },
  );
}

function getConfig({ settings }: BrokerContext): Answer {
  const version = toFastjson(dataVersionJson(settings.dataVersion));
  return { code: ResponseCode.SUCCESS, fields: { version }, body: Buffer.from(settings.format()) };
}
