/** Topic, route, heartbeat and offset requests: what surrounds a measured case, as a Java client sends it. */
import { setTimeout as delay } from "node:timers/promises";
import { Connection } from "./connection.mjs";
import { RequestCode } from "./frames.mjs";

export const QUEUE_COUNT = 8;
const ROUTE_WAIT_MS = 40_000;
const STORED_WAIT_MS = 30_000;
const POLL_MS = 200;

/**
 * @typedef {object} Target
 * @property {string} broker host:port
 * @property {string | undefined} namesrv host:port
 * @property {string} brokerName
 */

/**
 * Creates the topic on the broker and, with a name server, waits until its route is there.
 *
 * @param {Target} target
 * @param {string} topic
 */
export async function createTopic(target, topic) {
  const broker = await Connection.open(target.broker);
  try {
    await broker.requestOk(RequestCode.UPDATE_AND_CREATE_TOPIC, {
      readQueueNums: String(QUEUE_COUNT),
      perm: "6",
      writeQueueNums: String(QUEUE_COUNT),
      topicFilterType: "SINGLE_TAG",
      topic,
      attributes: "",
      force: "false",
      defaultTopic: "TBW102",
      order: "false",
      topicSysFlag: "0",
    });
  } finally {
    broker.close();
  }
  if (target.namesrv !== undefined) await waitForRoute(target.namesrv, topic);
}

/**
 * @param {string} namesrv
 * @param {string} topic
 */
async function waitForRoute(namesrv, topic) {
  const connection = await Connection.open(namesrv);
  try {
    const deadline = Date.now() + ROUTE_WAIT_MS;
    for (;;) {
      const answer = await connection.request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic });
      if (answer.code === 0) return;
      if (Date.now() > deadline) throw new Error(`no route for ${topic} after ${ROUTE_WAIT_MS} ms: ${answer.remark}`);
      await delay(POLL_MS);
    }
  } finally {
    connection.close();
  }
}

/**
 * @param {Target} target
 * @param {string} topic
 * @returns {Promise<number[]>} by queue
 */
export async function maxOffsets(target, topic) {
  const connection = await Connection.open(target.broker);
  try {
    const offsets = [];
    for (let queueId = 0; queueId < QUEUE_COUNT; queueId++) {
      const answer = await connection.requestOk(RequestCode.GET_MAX_OFFSET, {
        queueId: String(queueId),
        committed: "true",
        bname: target.brokerName,
        ReqT: "0",
        topic,
      });
      offsets.push(Number(answer.extFields["offset"]));
    }
    return offsets;
  } finally {
    connection.close();
  }
}

/**
 * Waits until the queues hold as many messages as were acknowledged: a store may build its queues a little later.
 *
 * @param {Target} target
 * @param {string} topic
 * @param {number} acknowledged
 * @returns {Promise<number>} what they hold in the end
 */
export async function waitStored(target, topic, acknowledged) {
  const deadline = Date.now() + STORED_WAIT_MS;
  for (;;) {
    let stored = 0;
    for (const offset of await maxOffsets(target, topic)) stored += offset;
    if (stored >= acknowledged || Date.now() > deadline) return stored;
    await delay(POLL_MS);
  }
}

/**
 * What a push consumer subscribed to all tags of a topic tells the broker every 30 s.
 *
 * @typedef {object} Subscription
 * @property {string} topic
 * @property {string} group
 * @property {number} version
 */

export const HEARTBEAT_EVERY_MS = 30_000;

/**
 * @param {Connection} connection
 * @param {Subscription} subscription
 * @param {string} clientId
 */
export async function heartbeat(connection, subscription, clientId) {
  const body = {
    clientID: clientId,
    consumerDataSet: [
      {
        consumeFromWhere: "CONSUME_FROM_FIRST_OFFSET",
        consumeType: "CONSUME_PASSIVELY",
        groupName: subscription.group,
        messageModel: "CLUSTERING",
        subscriptionDataSet: [
          {
            classFilterMode: false,
            codeSet: [],
            expressionType: "TAG",
            subString: "*",
            subVersion: subscription.version,
            tagsSet: [],
            topic: subscription.topic,
          },
        ],
        unitMode: false,
      },
    ],
    heartbeatFingerprint: 0,
    producerDataSet: [{ groupName: "CLIENT_INNER_PRODUCER" }],
    withoutSub: false,
  };
  await connection.requestOk(RequestCode.HEART_BEAT, {}, Buffer.from(JSON.stringify(body)));
}

/**
 * @param {object} pull
 * @param {Subscription} pull.subscription
 * @param {string} pull.brokerName
 * @param {number} pull.queueId
 * @param {number} pull.queueOffset
 * @param {number} pull.commitOffset 0 commits nothing
 * @param {number} pull.messagesMax
 * @returns {Record<string, string>}
 */
export function pullFields({ subscription, brokerName, queueId, queueOffset, commitOffset, messagesMax }) {
  const mayWait = 2;
  const commits = commitOffset > 0 ? 1 : 0;
  return {
    queueId: String(queueId),
    maxMsgBytes: "262144",
    maxMsgNums: String(messagesMax),
    sysFlag: String(mayWait + commits),
    suspendTimeoutMillis: "15000",
    commitOffset: String(commitOffset),
    bname: brokerName,
    topic: subscription.topic,
    queueOffset: String(queueOffset),
    expressionType: "TAG",
    subVersion: String(subscription.version),
    consumerGroup: subscription.group,
  };
}
