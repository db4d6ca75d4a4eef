/** The language that a client's metadata names, as the broker's tables have it. */
import { LanguageCode, languageCode } from "../../remoting/language-code.js";

/** Names of the API's Language that LanguageCode has otherwise. */
const OTHER_NAMES: ReadonlyMap<string, LanguageCode> = new Map([
  ["DOT_NET", LanguageCode.DOTNET],
  ["GOLANG", LanguageCode.GO],
  ["NODEJS", LanguageCode.NODE_JS],
]);

export function languageOf(name: string): number {
  const upper = name.toUpperCase();
  return OTHER_NAMES.get(upper) ?? languageCode(upper);
}
