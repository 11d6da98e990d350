// Clients over bare sockets that record what a wire sends, byte for byte. Only the date of a response, which differs
// between runs, is replaced by a fixed word.
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** The key of RFC 6455 §1.3. A fixed key makes `sec-websocket-accept` the same in each run. */
const WEBSOCKET_KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const OPCODES: Readonly<Record<number, string>> = { 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' };

class RawClient {
  protected bytes = Buffer.alloc(0);
  readonly #socket: Socket;
  readonly #waiting = new Set<() => void>();
  #isClosed = false;

  constructor(port: number, request: string) {
    this.#socket = connect(port, '127.0.0.1');
    onTestFinished(() => void this.#socket.destroy());
    this.#socket.on('data', (data: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, data]);
      this.#tell();
    });
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', () => {
      this.#isClosed = true;
      this.#tell();
    });
    this.#socket.write(request);
  }

  /** Resolves when the text has been received. @throws where the connection ends first */
  async until(text: string): Promise<void> {
    while (!this.bytes.includes(text)) {
      if (this.#isClosed) throw new Error(`closed before ${JSON.stringify(text)}: ${this.bytes.toString()}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async closed(): Promise<void> {
    while (!this.#isClosed) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  protected write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

function withoutDate(text: string): string {
  return text.replace(/^(date: ).*$/im, '$1<date>');
}

export class RawSse extends RawClient {
  /** `bearer`: undefined for no token. */
  constructor(port: number, path: string, bearer: string | undefined, method = 'GET', version = '1.1') {
    const authorization = bearer === undefined ? '' : `authorization: ${bearer}\r\n`;
    super(port, `${method} ${path} HTTP/${version}\r\nhost: x\r\n${authorization}\r\n`);
  }

  /** Head and body as received. */
  get transcript(): string {
    return withoutDate(this.bytes.toString()).replaceAll('\r', '\\r');
  }
}

export class RawWs extends RawClient {
  constructor(port: number, bearer: string) {
    const lines = [
      'GET /v1/ws HTTP/1.1',
      'host: x',
      `authorization: ${bearer}`,
      'connection: Upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      `sec-websocket-key: ${WEBSOCKET_KEY}`,
    ];
    super(port, `${lines.join('\r\n')}\r\n\r\n`);
  }

  /** Sends one masked WebSocket text frame; the mask is zero. Call it after the upgrade. */
  send(message: Readonly<Record<string, unknown>>): void {
    const text = Buffer.from(JSON.stringify(message));
    if (text.length > 125) throw new Error('a frame of a test is short');
    this.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  }

  /** The head as received, and one line for each WebSocket frame: its first byte, its opcode, its payload. */
  get transcript(): string {
    const end = this.bytes.indexOf('\r\n\r\n') + 4;
    const head = withoutDate(this.bytes.toString('utf8', 0, end)).replaceAll('\r', '\\r');
    return `${head}${framesOf(this.bytes.subarray(end)).join('\n')}\n`;
  }
}

/** Decodes the WebSocket frames of a server, which are not masked. [RFC 6455 §5.2] */
function framesOf(bytes: Buffer): string[] {
  const frames: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const first = bytes.readUInt8(at);
    const short = bytes.readUInt8(at + 1);
    const [size, start] =
      short === 126
        ? [bytes.readUInt16BE(at + 2), at + 4]
        : short === 127
          ? [Number(bytes.readBigUInt64BE(at + 2)), at + 10]
          : [short, at + 2];
    const payload = bytes.subarray(start, start + size);
    const opcode = OPCODES[first & 0x0f] ?? 'unknown';
    const text =
      opcode === 'close' && payload.length >= 2
        ? `${payload.readUInt16BE(0)} ${payload.toString('utf8', 2)}`
        : payload.toString();
    frames.push(`0x${first.toString(16)} ${opcode} ${text}`.trimEnd());
    at = start + size;
  }
  return frames;
}
