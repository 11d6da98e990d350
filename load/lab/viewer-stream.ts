// One viewer of one chat: a raw socket that sends one request and reads the stream of its answer. The parser is the same
// for all systems and knows no protocol: it finds the tokens by their mark, counts events by the empty line behind each,
// and checks that the due times of the tokens are one period apart. So a lost or repeated token is never a good figure.
import { connect, type Socket } from 'node:net';
import { Histogram } from './histogram.ts';
import { monotonicMs } from './monotonic.ts';
import { ageMs, readStamp, STAMP_DIGITS, stampDistance, TOKEN_MARK } from './stamp.ts';

/** Two due times may be apart by so much more or less than the period: each is rounded, and the period too. */
const ROUNDING_TENTHS = 2;

export class ViewerCounts {
  tokens = 0;
  events = 0;
  bytes = 0;
  violations = 0;
  readonly ages = new Histogram();

  clear(): void {
    this.tokens = this.events = this.bytes = this.violations = 0;
    this.ages.clear();
  }
}

/** The parser of one stream's body. */
export class TokenScan {
  readonly #counts: ViewerCounts;
  readonly #periodTenths: number;
  /** The end of what came so far, if a token or the end of an event may be cut there. */
  #cut: Buffer | undefined;
  #last = -1;

  constructor(counts: ViewerCounts, periodMs: number) {
    this.#counts = counts;
    this.#periodTenths = Math.round(periodMs * 10);
  }

  take(piece: Buffer, nowMs: number): void {
    this.#counts.bytes += piece.length;
    const bytes = this.#cut === undefined ? piece : Buffer.concat([this.#cut, piece]);
    this.#cut = undefined;
    let scanned = 0;
    for (let at = bytes.indexOf(TOKEN_MARK); at >= 0; at = bytes.indexOf(TOKEN_MARK, scanned)) {
      if (at + STAMP_DIGITS >= bytes.length) {
        this.#events(bytes, 0, at);
        this.#cut = bytes.subarray(at);
        return;
      }
      const stamp = readStamp(bytes, at + 1);
      if (stamp >= 0) this.#token(stamp, nowMs);
      scanned = at + 1;
    }
    const end = bytes.at(-1) === 0x0a && bytes.at(-2) !== 0x0a ? bytes.length - 1 : bytes.length;
    this.#events(bytes, 0, end);
    if (end < bytes.length) this.#cut = bytes.subarray(end);
  }

  #token(stamp: number, nowMs: number): void {
    this.#counts.tokens += 1;
    this.#counts.ages.add(ageMs(stamp, nowMs));
    const wrong = this.#last < 0 ? 0 : Math.abs(stampDistance(this.#last, stamp) - this.#periodTenths);
    if (wrong > ROUNDING_TENTHS) this.#counts.violations += 1;
    this.#last = stamp;
  }

  #events(bytes: Buffer, from: number, to: number): void {
    for (
      let at = bytes.indexOf('\n\n', from, 'latin1');
      at >= 0 && at < to;
      at = bytes.indexOf('\n\n', at + 2, 'latin1')
    )
      this.#counts.events += 1;
  }
}

export class ViewerStream {
  readonly #socket: Socket;
  readonly #counts: ViewerCounts;
  readonly #scan: TokenScan;
  #head: Buffer | undefined = Buffer.alloc(0);
  readonly opened: Promise<void>;

  /** `request`: the whole request. */
  constructor(port: number, request: string, periodMs: number, counts: ViewerCounts) {
    this.#counts = counts;
    this.#scan = new TokenScan(counts, periodMs);
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.write(request);
    this.opened = new Promise((resolve) => {
      this.#socket.once('data', () => resolve());
      this.#socket.once('close', () => resolve());
    });
    this.#socket.on('data', (piece: Buffer) => this.#take(piece));
    this.#socket.on('error', () => undefined);
    // No answer ends while it is measured.
    this.#socket.on('close', () => (this.#counts.violations += 1));
  }

  #take(piece: Buffer): void {
    if (this.#head === undefined) {
      this.#scan.take(piece, monotonicMs());
      return;
    }
    this.#head = Buffer.concat([this.#head, piece]);
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) return;
    if (this.#head.toString('latin1', 9, 12) !== '200') this.#counts.violations += 1;
    const rest = this.#head.subarray(end + 4);
    this.#head = undefined;
    this.#scan.take(rest, monotonicMs());
  }
}
