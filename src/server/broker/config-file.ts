/**
 * The broker.conf that a changed setting goes into, so that it holds after a restart (common/Configuration.java#persist,
 * which writes out every property there is; here only those lines change that must, comments stay).
 */
import { dirname } from "node:path";
import type { Disk } from "../../io/disk.js";
import { changeProperties } from "../protocol/java-properties.js";

export class ConfigFile {
  readonly path: string;
  readonly #disk: Disk;
  #saving: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.path = path;
  }

  /** Rejects as the disk does; then the file is as it was. Saves follow one another. */
  save(changes: ReadonlyMap<string, string>): Promise<void> {
    const saved = this.#saving.then(async () => {
      const before = this.#disk.readFile(this.path)?.toString("utf8") ?? "";
      this.#disk.makeDirectory(dirname(this.path));
      await this.#disk.replace(this.path, changeProperties(before, changes), `${this.path}.bak`);
    });
    this.#saving = saved.catch(() => {});
    return saved;
  }
}
