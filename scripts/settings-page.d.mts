export function settingsPage(
  options: Readonly<Record<string, unknown>>,
  inert: ReadonlyMap<string, string>,
  promises: ReadonlyMap<string, string>,
): string;
export function unexplained(options: Readonly<Record<string, unknown>>): string[];
