/** The answer to a change that must be on the disk before it is acknowledged. */
import { ResponseCode } from "../../remoting/codes.js";
import { type Answer, failure, quoted, SUCCESS } from "../answer.js";
import type { ConfigSaver } from "./config-saver.js";

/** Saves, and says so if that failed: the change holds, and is saved once the disk allows it. */
export function savedAnswer(
  savers: ConfigSaver | readonly ConfigSaver[],
  success: Answer = SUCCESS,
): Answer | Promise<Answer> {
  const saving = [savers].flat().map((saver) => saver.saveIfDirty());
  if (saving.every((result) => result === undefined)) return success;
  return Promise.all(saving).then((problems) => {
    const problem = problems.find((text) => text !== undefined);
    if (problem === undefined) return success;
    return failure(ResponseCode.SYSTEM_ERROR, quoted(`Changed, but not saved yet: ${problem}`));
  });
}
