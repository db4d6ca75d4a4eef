/**
 * What the broker has done since its start, and at what rate (store/StoreStatsService.java, common BrokerStats): counted
 * on the hot path by plain additions, sampled every ten seconds by housekeeping.
 */
import type { Clock } from "../../base/clock.js";
import { entryOf } from "./entry-of.js";
import { Meter } from "./meter.js";
import { StatsItem } from "./stats-item.js";
import type { Topic } from "./topic-config.js";

const TEN_MINUTES_SAMPLES = 61;
const LATENCY_MS_MAX = 10_000;
/** Apache's names for ranges of time, and where each ends. */
const TIME_RANGES: readonly (readonly [name: string, endMs: number])[] = [
  ["[<=0ms]", 1],
  ["[0~10ms]", 10],
  ["[10~50ms]", 50],
  ["[50~100ms]", 100],
  ["[100~200ms]", 200],
  ["[200~500ms]", 500],
  ["[500ms~1s]", 1000],
  ["[1~2s]", 2000],
  ["[2~3s]", 3000],
  ["[3~4s]", 4000],
  ["[4~5s]", 5000],
  ["[5~10s]", 10_000],
  ["[10s~]", LATENCY_MS_MAX + 1],
];

/** Counts at the last two midnights, for "today" and "yesterday". */
class DayCount {
  yesterdayMorning = 0;
  todayMorning = 0;

  roll(total: number): void {
    this.yesterdayMorning = this.todayMorning;
    this.todayMorning = total;
  }
}

/** What one group reads of one topic. */
export class GroupGets {
  readonly nums = new StatsItem();
  readonly sizes = new StatsItem();
  /** Messages that the group gave back. */
  readonly sendBacks = new StatsItem();
}

export class BrokerStats {
  readonly startedMs: number;
  /** Messages stored. */
  readonly puts = new Meter(TEN_MINUTES_SAMPLES);
  /** Reads that found messages, and those that found none. */
  readonly getsFound = new Meter(TEN_MINUTES_SAMPLES);
  readonly getsMissed = new Meter(TEN_MINUTES_SAMPLES);
  /** Messages sent to consumers. */
  readonly transferred = new Meter(TEN_MINUTES_SAMPLES);
  /** `puts` and `transferred` once more, by the minute, hour and day. */
  readonly brokerPuts = new StatsItem();
  readonly brokerGets = new StatsItem();
  putBytes = 0;
  putsFailed = 0;
  /** Messages delivered to their topics, but not to the light queues that they name. */
  lightQueueMessagesMissed = 0;
  putTimeMsMax = 0;
  getTimeMsMax = 0;
  readonly putsByDay = new DayCount();
  readonly getsByDay = new DayCount();
  readonly #putTimes = new Float64Array(LATENCY_MS_MAX + 1);
  /** Group to topic. */
  readonly #groupGets = new Map<string, Map<string, GroupGets>>();
  readonly #clock: Clock;
  #day: string;
  #tick = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.startedMs = clock.nowMs();
    this.#day = dayOf(this.startedMs);
  }

  /** `bytes` is of all `count` records. */
  recordPut(topic: Topic, count: number, bytes: number): void {
    topic.puts.add(count);
    topic.putSizes.add(bytes);
    this.puts.total += count;
    this.putBytes += bytes;
  }

  recordPutTime(elapsedMs: number): void {
    if (elapsedMs > this.putTimeMsMax) this.putTimeMsMax = elapsedMs;
    this.#putTimes[Math.max(0, Math.min(LATENCY_MS_MAX, Math.floor(elapsedMs)))]! += 1;
  }

  recordGetTime(elapsedMs: number): void {
    if (elapsedMs > this.getTimeMsMax) this.getTimeMsMax = elapsedMs;
  }

  /** `count` messages of `bytes` went to a consumer; 0 when there were none. `gets` is of `groupGets`. */
  recordGet(gets: GroupGets, count: number, bytes: number): void {
    if (count === 0) {
      this.getsMissed.total++;
      return;
    }
    this.getsFound.total++;
    this.transferred.total += count;
    gets.nums.add(count);
    gets.sizes.add(bytes);
  }

  /** The one count of what `group` reads of `topic`; callers may keep it. */
  groupGets(group: string, topic: string): GroupGets {
    const topics = entryOf(this.#groupGets, group, () => new Map<string, GroupGets>());
    return entryOf(topics, topic, () => new GroupGets());
  }

  findGroupGets(group: string, topic: string): GroupGets | undefined {
    return this.#groupGets.get(group)?.get(topic);
  }

  /** Messages a second over the last minute. */
  topicPutTps(topic: Topic): number {
    return topic.puts.minute().tps;
  }

  groupGetTps(group: string, topic: string): number {
    return this.findGroupGets(group, topic)?.nums.minute().tps ?? 0;
  }

  forgetGroup(group: string): void {
    this.#groupGets.delete(group);
  }

  forgetTopic(topic: string): void {
    for (const topics of this.#groupGets.values()) topics.delete(topic);
  }

  /** The time, rounded down to milliseconds, within which `share` of the puts were done; 0 before the first. */
  putTimeMsAt(share: number): number {
    let count = 0;
    for (const times of this.#putTimes) count += times;
    let rest = Math.ceil(count * share);
    if (rest === 0) return 0;
    for (let ms = 0; ms < this.#putTimes.length; ms++) {
      rest -= this.#putTimes[ms]!;
      if (rest <= 0) return ms;
    }
    return LATENCY_MS_MAX;
  }

  /** How many of the puts that were timed since the start took how long. */
  putTimeDistribution(): string {
    let ms = 0;
    return TIME_RANGES.map(([name, endMs]) => {
      let count = 0;
      for (; ms < endMs; ms++) count += this.#putTimes[ms]!;
      return `${name}:${count} `;
    }).join("");
  }

  /** Called every SAMPLE_MS. */
  sample(topics: Iterable<Topic>): void {
    const nowMs = this.#clock.monotonicMs();
    for (const meter of [this.puts, this.getsFound, this.getsMissed, this.transferred]) meter.sample(nowMs);
    this.brokerPuts.total = this.puts.total;
    this.brokerGets.total = this.transferred.total;
    for (const item of this.#items(topics)) item.sample(nowMs, this.#tick);
    this.#tick++;
    const day = dayOf(this.#clock.nowMs());
    if (day === this.#day) return;
    this.#day = day;
    this.putsByDay.roll(this.puts.total);
    this.getsByDay.roll(this.transferred.total);
  }

  *#items(topics: Iterable<Topic>): Iterable<StatsItem> {
    yield this.brokerPuts;
    yield this.brokerGets;
    for (const { puts, putSizes } of topics) {
      yield puts;
      yield putSizes;
    }
    for (const gets of this.#groupGets.values()) {
      for (const { nums, sizes, sendBacks } of gets.values()) {
        yield nums;
        yield sizes;
        yield sendBacks;
      }
    }
  }
}

function dayOf(nowMs: number): string {
  return new Date(nowMs).toDateString();
}
