/** A name server and broker in one that does as a test says. */
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { RemotingServer } from "#src/remoting/server.js";
import type { Processor } from "#src/remoting/types.js";
import { onCloseAll } from "../server/harness.js";

/** Answers sends with the given codes, the last one for ever; undefined is no answer at all. Its routes have `others`, too; with `hidesRoutes` it tells none. */
export async function scriptedServer(answers: readonly (number | undefined)[], others: readonly string[] = []) {
  const sends: string[] = [];
  const script = { sends, hidesRoutes: false };
  let route = Buffer.alloc(0);
  const answerWith =
    (code: number, body: () => Buffer): Processor =>
    ({ header }, { writer }) =>
      writer.response(header.opaque, header.serializeType, code, "scripted", {}, body());
  const empty = () => Buffer.alloc(0);
  const send: Processor = (request, connection) => {
    sends.push(request.header.text("i")!);
    const code = answers[Math.min(sends.length, answers.length) - 1];
    if (code !== undefined) answerWith(code, empty)(request, connection);
  };
  const processors = new Map<number, Processor>([
    [
      RequestCode.GET_ROUTEINFO_BY_TOPIC,
      (request, connection) => {
        if (!script.hidesRoutes) answerWith(ResponseCode.SUCCESS, () => route)(request, connection);
      },
    ],
    [RequestCode.HEART_BEAT, answerWith(ResponseCode.SUCCESS, empty)],
    [RequestCode.UNREGISTER_CLIENT, answerWith(ResponseCode.SUCCESS, empty)],
    [RequestCode.SEND_MESSAGE_V2, send],
  ]);
  const server = new RemotingServer({ name: "scripted", processors });
  await server.listen();
  onCloseAll(() => server.close());
  const address = `127.0.0.1:${server.port}`;
  const masters = [address, ...others].map((master, i) => ({ brokerName: `b${i}`, master }));
  const brokerDatas = masters.map(({ brokerName, master }) => ({
    cluster: "c",
    brokerName,
    brokerAddrs: { "0": master },
  }));
  const queue = { readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 };
  const queueDatas = masters.map(({ brokerName }) => ({ brokerName, ...queue }));
  route = Buffer.from(JSON.stringify({ brokerDatas, queueDatas }));
  return Object.assign(script, { address });
}
