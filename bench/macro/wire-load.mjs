#!/usr/bin/env node
/**
 * Loads any RocketMQ broker over the Remoting protocol and prints one JSON line a case: throughput, latency, errors
 * and, with --pid, the broker's CPU per message. README.md in the folder above says how the cases are meant.
 *
 *   node bench/macro/wire-load.mjs --broker 127.0.0.1:10911 --namesrv 127.0.0.1:9876 --pid $PID --case send-sync
 */
import { parseArgs } from "node:util";
import { runMeasured, runRequests, WINDOW_MAX } from "./closed-loop.mjs";
import { runDelays, runPops, runTransactions } from "./cycles.mjs";
import { runEndToEnd, STAMP_BYTES } from "./end-to-end.mjs";
import { readUsage } from "./measure.mjs";
import { FilledTopic, pullSource, sendSource } from "./sources.mjs";
import { createTopic, HEARTBEAT_EVERY_MS, heartbeat, maxOffsets, waitStored } from "./topic.mjs";

const BATCH_COUNT = 16;
const PULL_COUNT = 32;
const FILL_TIMEOUT_MS = 120_000;

/** @type {Record<string, {connections: number, window: number, run: (settings: Settings) => Promise<object>}>} */
const CASES = {
  "send-sync": { connections: 16, window: 1, run: (settings) => runSends(settings, 1) },
  "send-pipelined": { connections: 4, window: 64, run: (settings) => runSends(settings, 1) },
  "batch-16": { connections: 4, window: 4, run: (settings) => runSends(settings, BATCH_COUNT) },
  "pull-32": { connections: 4, window: 2, run: runPulls },
  e2e: { connections: 1, window: 8, run: runLatency },
  delay: { connections: 4, window: 64, run: runDelays },
  transaction: { connections: 4, window: 16, run: runTransactions },
  pop: { connections: 4, window: 16, run: runPops },
};

/**
 * @typedef {object} Settings
 * @property {import("./topic.mjs").Target} target
 * @property {string} topic
 * @property {number | undefined} pid
 * @property {number} warmupMs
 * @property {number} measureMs
 * @property {number} messagesMax
 * @property {number} connections
 * @property {number} window
 * @property {number} bodyBytes
 * @property {number} fill
 * @property {number} rate
 * @property {number} cycleCount
 * @property {number} delayMs
 */

/**
 * @param {Settings} settings
 * @param {number} messageCount in each request
 * @returns {import("./closed-loop.mjs").Loop}
 */
function sendLoop({ target, topic, connections, window, bodyBytes }, messageCount) {
  const options = { topic, brokerName: target.brokerName, bodyBytes, messageCount };
  return {
    broker: target.broker,
    connections,
    window,
    sourceOf: (connectionIndex, tally) => sendSource(options, connectionIndex, tally),
  };
}

/**
 * @param {Settings} settings
 * @param {number} messageCount
 */
async function runSends(settings, messageCount) {
  const { tally, windowMessages, figures } = await runMeasured(sendLoop(settings, messageCount), settings);
  const stored = await waitStored(settings.target, settings.topic, tally.messages);
  return {
    sends: windowMessages,
    ...figures,
    ...tally.errorFields(),
    ...tally.latencies.summary(),
    acknowledged: tally.messages,
    stored,
    isVerified: stored === tally.messages,
  };
}

/** @param {Settings} settings */
async function runPulls(settings) {
  const { target, topic, connections, window } = settings;
  const requests = Math.ceil(settings.fill / BATCH_COUNT);
  const fillLoop = sendLoop({ ...settings, connections: 4, window: 4 }, BATCH_COUNT);
  const filling = await runRequests(fillLoop, requests, FILL_TIMEOUT_MS);
  const stored = await waitStored(target, topic, filling.messages);
  if (stored !== filling.messages) throw new Error(`${filling.messages} messages filled in, ${stored} in the queues`);

  const subscription = { topic, group: `${topic}-group`, version: Date.now() };
  const offsets = await maxOffsets(target, topic);
  const filled = new FilledTopic(subscription, target.brokerName, offsets, settings.bodyBytes);
  /** @type {NodeJS.Timeout[]} */
  const beats = [];
  try {
    const { tally, windowMessages, windowAnswers, figures } = await runMeasured(
      {
        broker: target.broker,
        connections,
        window,
        sourceOf: async (connectionIndex, tally, connection) => {
          const beat = () => heartbeat(connection, subscription, `127.0.0.1@${process.pid}-${connectionIndex}`);
          await beat();
          beats.push(setInterval(() => void beat().catch((error) => connection.onFailure(error)), HEARTBEAT_EVERY_MS));
          return pullSource(filled, { connectionIndex, window, messagesMax: PULL_COUNT }, tally);
        },
      },
      { ...settings, messagesMax: Number.MAX_SAFE_INTEGER }, // time ends it: a pull takes no disk
    );
    return {
      sends: 0,
      pulled: windowMessages,
      messagesPerPull: windowAnswers === 0 ? 0 : Math.round((windowMessages / windowAnswers) * 10) / 10,
      ...figures,
      ...tally.errorFields(),
      fillErrors: filling.errors, // a cold JVM may refuse a send or two: what counts is what is there to be pulled
      ...tally.latencies.summary(),
      acknowledged: filling.messages,
      stored,
      checked: filled.checkedCount(),
      isVerified: tally.errors === 0 && filled.checkedCount() === stored,
    };
  } finally {
    for (const beat of beats) clearInterval(beat);
  }
}

/** @param {Settings} settings */
async function runLatency(settings) {
  const subscription = { topic: settings.topic, group: `${settings.topic}-group`, version: Date.now() };
  const { consumer, report, figures, windowMessages } = await runEndToEnd({ ...settings, subscription });
  const stored = await waitStored(settings.target, settings.topic, report.acknowledged);
  const lost = report.acknowledged - consumer.tally.messages;
  return {
    sends: windowMessages,
    pulled: windowMessages,
    rate: settings.rate,
    ...figures,
    errors: report.errors + consumer.tally.errors + Math.max(0, lost),
    warmupErrors: report.warmupErrors,
    errorKinds: { ...report.errorKinds, ...consumer.tally.errorFields().errorKinds },
    ...consumer.tally.latencies.summary(),
    latestSendUs: Math.round(report.latestUs),
    acknowledged: report.acknowledged,
    stored,
    received: consumer.tally.messages,
    duplicates: consumer.duplicates,
    isVerified: stored === report.acknowledged && lost === 0 && consumer.duplicates === 0,
  };
}

const USAGE = `wire-load.mjs --broker HOST:PORT [--namesrv HOST:PORT] [--pid PID] [options]
  --case NAMES         comma list of ${Object.keys(CASES).join(", ")}, or all (all)
  --seconds N          measured window (10)          --warmup N       load before it, unmeasured (15)
  --max-messages N     ends a warm-up or window of sends early (2000000 each)
  --connections N      of the case                   --window N       in flight on each connection, of the case
  --body-bytes N       (1024)                        --rate N         messages a second of e2e (2000)
  --fill N             messages to pull from (200000)
  --cycle N            messages of a cycle of delay, transaction, pop (40000)
  --delay-ms N         of delay (2000)
  --broker-name NAME   (broker-a)                    --topic-prefix P (WireLoad)
`;

const OPTIONS = /** @type {const} */ ({
  broker: { type: "string" },
  namesrv: { type: "string" },
  pid: { type: "string" },
  case: { type: "string", default: "all" },
  seconds: { type: "string", default: "10" },
  warmup: { type: "string", default: "15" },
  "max-messages": { type: "string", default: "2000000" },
  connections: { type: "string" },
  window: { type: "string" },
  "body-bytes": { type: "string", default: "1024" },
  rate: { type: "string", default: "2000" },
  fill: { type: "string", default: "200000" },
  cycle: { type: "string", default: "40000" },
  "delay-ms": { type: "string", default: "2000" },
  "broker-name": { type: "string", default: "broker-a" },
  "topic-prefix": { type: "string", default: "WireLoad" },
  help: { type: "boolean", default: false },
});

/**
 * @param {string} name
 * @param {string} text
 * @param {number} min
 * @param {number} max
 */
function numberOf(name, text, min, max) {
  const value = Number(text);
  if (text.trim() === "" || !(value >= min && value <= max)) {
    throw new Error(`--${name} takes a number from ${min} to ${max}`);
  }
  return value;
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} min
 * @param {number} max
 */
function integerOf(name, text, min, max) {
  const value = numberOf(name, text, min, max);
  if (!Number.isInteger(value)) throw new Error(`--${name} takes a whole number`);
  return value;
}

/** @param {string[]} args */
async function main(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  if (values.help || values.broker === undefined) {
    process.stdout.write(USAGE);
    return values.help;
  }
  if (!/^[A-Za-z0-9_-]{1,40}$/.test(values["topic-prefix"])) throw new Error("--topic-prefix has odd characters");
  const names = values.case === "all" ? Object.keys(CASES) : values.case.split(",");
  for (const name of names) if (!Object.hasOwn(CASES, name)) throw new Error(`no case is called ${name}`);
  const pid = values.pid === undefined ? undefined : integerOf("pid", values.pid, 1, 2 ** 22);
  if (pid !== undefined) readUsage(pid);
  const shared = {
    target: { broker: values.broker, namesrv: values.namesrv, brokerName: values["broker-name"] },
    pid,
    warmupMs: numberOf("warmup", values.warmup, 0, 600) * 1_000,
    measureMs: numberOf("seconds", values.seconds, 0.1, 600) * 1_000,
    messagesMax: integerOf("max-messages", values["max-messages"], 1, 1e9),
    bodyBytes: integerOf("body-bytes", values["body-bytes"], STAMP_BYTES, 1024 * 1024),
    fill: integerOf("fill", values.fill, 1_000, 1e8),
    cycleCount: integerOf("cycle", values.cycle, 100, 1e7),
    delayMs: integerOf("delay-ms", values["delay-ms"], 1, 86_400_000),
    rate: numberOf("rate", values.rate, 1, 100_000),
  };
  let isGood = true;
  for (const name of names) {
    const chosen = /** @type {(typeof CASES)[string]} */ (CASES[name]);
    const connections = integerOf("connections", values.connections ?? String(chosen.connections), 1, 1_000);
    const window = integerOf("window", values.window ?? String(chosen.window), 1, WINDOW_MAX);
    const topic = `${values["topic-prefix"]}-${name}-${Date.now().toString(36)}`;
    await createTopic(shared.target, topic);
    const result = await chosen.run({ ...shared, topic, connections, window });
    const line = { case: name, connections, window, bodyBytes: shared.bodyBytes, ...result };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    if (!("isVerified" in result && result.isVerified) || !("errors" in result && result.errors === 0)) isGood = false;
  }
  return isGood;
}

try {
  process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
} catch (error) {
  process.stderr.write(`wire-load: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
