/**
 * Where topics are on the other brokers of the cluster, as name servers tell, for some seconds: what clients ask for again
 * and again (proxy/service/route/TopicRouteService.java has a cache as well).
 */
import type { Clock } from "../../base/clock.js";
import type { TopicRouteData } from "../protocol/topic-route-data.js";

const KEPT_MS = 5000;
const ROUTES_MAX = 10_000;

export type TopicRoute = (topic: string) => Promise<TopicRouteData | undefined>;

interface Entry {
  readonly route: Promise<TopicRouteData | undefined>;
  readonly deadlineMs: number;
}

export class RouteCache {
  /** Oldest first, for all entries live equally long. */
  readonly #entries = new Map<string, Entry>();
  readonly #clock: Clock;
  readonly #ask: TopicRoute;

  constructor(clock: Clock, ask: TopicRoute) {
    this.#clock = clock;
    this.#ask = ask;
  }

  get(topic: string): Promise<TopicRouteData | undefined> {
    const nowMs = this.#clock.monotonicMs();
    for (const [name, { deadlineMs }] of this.#entries) {
      if (deadlineMs > nowMs && this.#entries.size < ROUTES_MAX) break;
      this.#entries.delete(name);
    }
    const known = this.#entries.get(topic);
    if (known !== undefined) return known.route;
    // A name server that cannot be asked does not keep clients from what this broker has.
    const route = this.#ask(topic).catch(() => undefined);
    this.#entries.set(topic, { route, deadlineMs: nowMs + KEPT_MS });
    return route;
  }
}
