/**
 * Carries out a repair plan. The store must not be in use; every byte that is taken out or overwritten is kept under
 * lost+found, in a directory of this repair, with the plan.
 */
import { resolve } from "node:path";
import type { Clock } from "../../base/clock.js";
import type { Disk } from "../../io/disk.js";
import { StoreCheckpoint } from "../checkpoint.js";
import { listLog, type LogLayout } from "../doctor/log-files.js";
import { WalkStep } from "../doctor/log-walk.js";
import { openWalk } from "../doctor/open-walk.js";
import type { StoreFacts } from "../doctor/store-facts.js";
import { LogSurgery } from "./log-surgery.js";
import { describeAction, type QueueName, type RepairAction, type RepairPlan } from "./plan.js";
import { rebuild, type RebuildReport } from "./rebuild.js";

export interface RepairOptions {
  /** A disk that may be written to. */
  readonly disk: Disk;
  readonly clock: Clock;
  readonly facts: StoreFacts;
  /** Of the log as the doctor saw it. */
  readonly segmentBytes: number;
  readonly plan: RepairPlan;
  readonly onAction?: (action: RepairAction) => void;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface RepairReport {
  /** Where everything is that was taken out of the store. */
  readonly lostDirectory: string;
  readonly rebuilt: RebuildReport | undefined;
}

export async function repairStore(options: RepairOptions): Promise<RepairReport> {
  return new Repair(options).run();
}

class Repair {
  readonly #options: RepairOptions;
  readonly #lost: string;
  readonly #surgery: LogSurgery;
  #queues: readonly QueueName[] | "all" = [];
  #index = false;
  #wantsRebuild = false;
  #rebuilt: RebuildReport | undefined;

  constructor(options: RepairOptions) {
    const { disk, clock, facts, segmentBytes } = options;
    this.#options = options;
    const at = new Date(clock.nowMs()).toISOString().replaceAll(/[-:]|\.\d+/g, "");
    this.#lost = unusedName(disk, `${facts.places.root}/lost+found/repair-${at}`);
    this.#surgery = new LogSurgery(disk, facts.places.commitLog, segmentBytes, this.#lost);
  }

  async run(): Promise<RepairReport> {
    const { disk, plan, onAction } = this.#options;
    disk.makeDirectory(this.#lost);
    const described = plan.actions.map((action) => ({ does: describeAction(action), ...action }));
    disk.writeAtomically(`${this.#lost}/plan.json`, `${JSON.stringify({ actions: described }, undefined, 2)}\n`);
    for (const action of plan.actions) {
      if (action.kind !== "rebuild-queues" && action.kind !== "rebuild-index") await this.#rebuildWanted();
      onAction?.(action);
      this.#do(action);
    }
    await this.#rebuildWanted();
    return { lostDirectory: this.#lost, rebuilt: this.#rebuilt };
  }

  #do(action: RepairAction): void {
    const surgery = this.#surgery;
    switch (action.kind) {
      case "resize-segment":
        surgery.resize(action.phyOffset);
        break;
      case "make-segments":
        surgery.makeBlankSegments(action.phyOffset, action.lengthBytes);
        break;
      case "fill":
        surgery.fill(action.phyOffset, action.lengthBytes, action.storeTimestamp, action.propertyCrc);
        break;
      case "blank":
        surgery.blank(action.phyOffset, action.lengthBytes);
        break;
      case "cut-tail":
        surgery.zero(action.phyOffset, action.lengthBytes);
        break;
      case "rebuild-queues":
        this.#queues = action.queues;
        this.#wantsRebuild = true;
        break;
      case "rebuild-index":
        this.#index = true;
        this.#wantsRebuild = true;
        break;
      case "write-checkpoint":
        this.#writeCheckpoint();
        break;
      case "set-aside":
        this.#setAside(resolve(this.#options.facts.places.root, action.path));
        break;
    }
  }

  /** Queues and index share one walk, over the log as it is by now. */
  async #rebuildWanted(): Promise<void> {
    if (!this.#wantsRebuild) return;
    this.#wantsRebuild = false;
    const { disk, clock, facts, onProgress } = this.#options;
    this.#rebuilt = await rebuild({
      disk,
      clock,
      facts,
      layout: this.#layout(),
      queues: this.#queues,
      index: this.#index,
      staging: `${facts.places.root}/lost+found/rebuilding`,
      lost: this.#lost,
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  }

  #layout(): LogLayout {
    const { disk, facts, segmentBytes } = this.#options;
    return listLog(disk, facts.places.commitLog, segmentBytes, segmentBytes);
  }

  #writeCheckpoint(): void {
    const { disk, clock, facts } = this.#options;
    const { places } = facts;
    const lastStoreTimestamp = this.#rebuilt?.lastStoreTimestamp ?? this.#lastStoreTimestamp();
    const checkpoint = StoreCheckpoint.load(disk, places.checkpoint, clock.nowMs());
    const { verdict } = checkpoint;
    checkpoint.close();
    this.#setAside(places.checkpoint);
    const renewed = StoreCheckpoint.load(disk, places.checkpoint, clock.nowMs());
    renewed.physicMsgTimestamp = lastStoreTimestamp;
    renewed.logicsMsgTimestamp = lastStoreTimestamp;
    const indexTime = this.#rebuilt?.indexMsgTimestamp ?? (verdict === "ok" ? checkpoint.indexMsgTimestamp : 0);
    renewed.indexMsgTimestamp = Math.min(indexTime, lastStoreTimestamp);
    if (verdict === "ok") renewed.masterFlushedOffset = checkpoint.masterFlushedOffset;
    renewed.saveNow();
    renewed.close();
    this.#setAside(places.dispatchCheckpoint);
  }

  /** Of the log's last record: the last segment that has one is walked through. */
  #lastStoreTimestamp(): number {
    const { disk, clock, facts } = this.#options;
    const layout = this.#layout();
    for (let i = layout.files.length - 1; i >= 0; i--) {
      const walk = openWalk({ disk, clock, facts, layout });
      walk.seek(layout.files[i]!.base);
      while (walk.next() !== WalkStep.END) {}
      if (walk.lastStoreTimestamp > 0) return walk.lastStoreTimestamp;
    }
    return 0;
  }

  #setAside(path: string): void {
    const { disk } = this.#options;
    if (disk.sizeOf(path) < 0) return;
    disk.makeDirectory(this.#lost);
    disk.rename(path, `${this.#lost}/${path.slice(path.lastIndexOf("/") + 1)}`);
  }
}

/** Two repairs of a second must not put one's bytes in place of the other's. */
function unusedName(disk: Disk, path: string): string {
  let name = path;
  for (let i = 2; disk.isDirectory(name); i++) name = `${path}-${i}`;
  return name;
}
