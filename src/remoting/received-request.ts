/** The request that a connection hands to processors: one object for all of its requests. */
import type { HeaderView } from "./header-view.js";
import type { Request } from "./types.js";

export class ReceivedRequest implements Request {
  readonly header: HeaderView;
  bytes: Buffer = Buffer.alloc(0);
  bodyStart = 0;
  bodyEnd = 0;
  #body: Buffer | undefined;

  constructor(header: HeaderView) {
    this.header = header;
  }

  set(bytes: Buffer, bodyStart: number, bodyEnd: number): void {
    this.bytes = bytes;
    this.bodyStart = bodyStart;
    this.bodyEnd = bodyEnd;
    this.#body = undefined;
  }

  get body(): Buffer {
    this.#body ??= this.bytes.subarray(this.bodyStart, this.bodyEnd);
    return this.#body;
  }
}
