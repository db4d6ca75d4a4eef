/** `cometmq bench send | consume | e2e | fanout | many-queues`: a RocketMQ server, CometMQ's or Apache's, measured over the wire. */
import { type Command, InvalidArgumentError } from "commander";
import type { WireFlags } from "./bench/wire-case.js";
import { STAMP_BYTES } from "./bench/stamp.js";
import type { WireCase } from "./bench/result.js";
import { clusterVerb, onCluster, positiveNumber, type Remote } from "./remote/remote-verb.js";
import type { ExitCode } from "./store-run.js";

const BODY_BYTES_MAX = 4 * 1024 * 1024;
const IN_FLIGHT_MAX = 100_000;
const QUEUES_MAX = 100_000;
const GROUPS_MAX = 1000;

interface Defaults {
  readonly connections: number;
  readonly inFlight: number;
  readonly rate?: number;
  readonly queues: number;
  readonly groups?: number;
  /** To fill the topic with. */
  readonly count?: number;
}

const CASES: Readonly<Record<WireCase, { readonly description: string; readonly defaults: Defaults }>> = {
  send: {
    description: "messages sent, until they are acknowledged; then all of them are read back and checked",
    defaults: { connections: 4, inFlight: 64, queues: 8 },
  },
  consume: {
    description: "a topic is filled, then pulled from its beginning to its end, round after round",
    defaults: { connections: 4, inFlight: 4, queues: 8, count: 200_000 },
  },
  e2e: {
    description: "from when a message is due to its arrival at a consumer with a long poll on each queue",
    defaults: { connections: 1, inFlight: 1024, rate: 1000, queues: 8, groups: 1 },
  },
  fanout: {
    description: "the same for several groups, each of which receives every message",
    defaults: { connections: 1, inFlight: 1024, rate: 1000, queues: 8, groups: 8 },
  },
  "many-queues": {
    description: "as send, over many queues in turn",
    defaults: { connections: 4, inFlight: 64, queues: 1000 },
  },
};

function atMost(max: number): (text: string) => number {
  return (text) => {
    const value = positiveNumber(text);
    if (value > max) throw new InvalidArgumentError(`At most ${max}.`);
    return value;
  };
}

function bodySize(text: string): number {
  const value = atMost(BODY_BYTES_MAX)(text);
  if (value < STAMP_BYTES) {
    throw new InvalidArgumentError(`A body has at least ${STAMP_BYTES} bytes: number, time and checksum.`);
  }
  return value;
}

function seconds(text: string): number {
  const value = /^\d{1,6}(\.\d{1,3})?s?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (Number.isNaN(value)) throw new InvalidArgumentError("A number of seconds is needed.");
  return value;
}

function someSeconds(text: string): number {
  const value = seconds(text);
  if (value === 0) throw new InvalidArgumentError("A number of seconds above 0 is needed.");
  return value;
}

function rate(text: string): number | "max" {
  if (text === "max") return "max";
  const value = Number(text);
  if (!/^\d{1,9}(\.\d{1,3})?$/.test(text) || value <= 0) {
    throw new InvalidArgumentError("A rate is a number of messages a second, or max.");
  }
  return value;
}

export function addWireBenchCommands(bench: Command): void {
  for (const [name, { description, defaults }] of Object.entries(CASES)) {
    const verb = clusterVerb(bench, name, description)
      .option("--topic <topic>", "made where there is none, and kept (default: one of its own, deleted afterwards)")
      .option("--queues <n>", "of a topic that it makes, on each broker", atMost(QUEUES_MAX), defaults.queues)
      .option("--size <bytes>", "of a body", bodySize, 1024)
      .option("--connections <n>", "to send with, or to pull with", atMost(1000), defaults.connections)
      .option("--in-flight <n>", "requests on each connection at a time", atMost(IN_FLIGHT_MAX), defaults.inFlight);
    if (name !== "consume") {
      verb.option("--rate <n>", "messages a second, or max: as fast as it goes", rate, defaults.rate ?? "max");
    }
    if (defaults.groups !== undefined && name === "fanout") {
      verb.option("--groups <n>", "consumer groups", atMost(GROUPS_MAX), defaults.groups);
    }
    verb
      .option("--warmup <seconds>", "before the measured window", seconds, 3)
      .option("--duration <seconds>", "of the measured window (default: 10)", someSeconds);
    if (defaults.count === undefined)
      verb.option("--count <n>", "messages to measure, instead of a time", positiveNumber);
    else verb.option("--count <n>", "messages to fill the topic with", atMost(100_000_000), defaults.count);
    if (defaults.groups === undefined && name !== "consume") {
      verb.option("--no-read-back", "count what is stored, but do not read it back");
    }
    verb
      .option("--server-pid <pid>", "of the broker, when it runs on this machine: its CPU and memory", positiveNumber)
      .option("--json [file]", "the result as JSON, to a file or to stdout")
      .option("--html <file>", "the result as a page with plots");
    onCluster(verb, async (remote: Remote<WireFlags>): Promise<ExitCode> => {
      const { runWireCase } = await import("./bench/wire-case.js");
      return runWireCase(remote, name as WireCase);
    });
  }
}
