/** Packages that make things faster where they load, and are not missed where they do not. */
import { createRequire } from "node:module";

const requireOptional = createRequire(import.meta.url);

/** An optional package, or undefined where it is not installed or does not load on this machine. */
export function loadOptional<T>(name: string): T | undefined {
  try {
    return requireOptional(name) as T;
  } catch {
    return undefined;
  }
}
