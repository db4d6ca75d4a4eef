/** What is said to, and about, a peer whose bytes are no Remoting frames: most often a client sent to the wrong port. */
import { FrameVerdict } from "./frame-decoder.js";

/** TLS alert: fatal, protocol_version. */
const TLS_ALERT = Buffer.from([0x15, 3, 3, 0, 2, 2, 70]);

/** For the log. `whyNoTls` is what keeps this port from taking TLS clients. */
export function refusalText(verdict: FrameVerdict, name: string, port: number, whyNoTls = ""): string {
  const here = `port ${port} is the ${name}'s, which speaks RocketMQ Remoting`;
  switch (verdict) {
    case FrameVerdict.HTTP1:
      return `an HTTP request came in, but ${here}`;
    case FrameVerdict.HTTP2:
      return `an HTTP/2 (gRPC) client came in, but ${here}: a gRPC client needs the proxy's port, 8081 unless it was set otherwise`;
    case FrameVerdict.TLS:
      return `a TLS client came in, but ${here} without TLS${whyNoTls === "" ? "" : ` (${whyNoTls})`}`;
    case FrameVerdict.PLAIN:
      return `a client without TLS came in, but ${here} over TLS only (tls.server.mode=enforcing)`;
    case FrameVerdict.PROXY:
      return "a PROXY header came in where there can be none: it comes once, first of all and outside of TLS";
    case FrameVerdict.NO_ROOM:
      return "too many half-received frames are held; this connection is closed for it";
    case FrameVerdict.BAD_HEADER:
      return "a frame's header cannot be read";
    default:
      return "a frame's length is out of bounds";
  }
}

/** Bytes that a stranger's own protocol shows to its user; undefined when there is nothing to say. */
export function strangerAnswer(verdict: FrameVerdict, name: string, port: number): Buffer | undefined {
  if (verdict === FrameVerdict.TLS) return TLS_ALERT;
  if (verdict !== FrameVerdict.HTTP1 && verdict !== FrameVerdict.HTTP2) return undefined;
  const text = `This is the CometMQ ${name}. ${capital(refusalText(verdict, name, port))}.\n`;
  const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n`;
  return Buffer.from(`${head}Connection: close\r\n\r\n${text}`);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
