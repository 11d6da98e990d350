// A TCP proxy between a client and its server that makes the faults of networks: it cuts every connection, or an event
// stream behind a number of bytes, loses a request before it arrives, loses the reply to a request that was carried
// out, swallows everything, or refuses connections.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** True for the piece of the client's bytes that is meant. */
export type Matches = (sent: Buffer) => boolean;

/** A cut that waits for its request. */
interface Trap {
  readonly matches: Matches;
  readonly where: 'before' | 'after';
  readonly done: () => void;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  /** The request goes through, and its reply is lost. */
  losesReply: boolean;
  /** Bytes of the body of an event stream that have passed; undefined before its head. */
  streamed?: number;
}

const ANY: Matches = () => true;
const HEAD_END = '\r\n\r\n';

export class TcpProxy {
  #target: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #traps = new Set<Trap>();
  #isHole = false;
  #isRefusing = false;
  #connections = 0;
  #streamCut: number | undefined;
  #streamed = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
  }

  /** Starts in front of a port of this machine. */
  static async start(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The number of connections accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  /** New connections go to this port. The others stay. */
  leadTo(target: number): void {
    this.#target = target;
  }

  /** Ends every connection abruptly, on both sides. */
  cutAll(): void {
    for (const pair of this.#pairs) cut(pair);
  }

  /** Breaks the connection of the next matching request before the request arrives. Resolves when that has happened. */
  cutBefore(matches: Matches = ANY): Promise<void> {
    return this.#trap('before', matches);
  }

  /** Breaks the connection of the next matching request before the reply. Resolves when the server has read the request
   *  and carried it out. */
  cutAfter(matches: Matches = ANY): Promise<void> {
    return this.#trap('after', matches);
  }

  /** Ends the first event stream that has more bytes in its body behind that many, as if it were over. */
  cutStreamAfter(bytes: number): void {
    this.#streamCut = bytes;
  }

  /** Whether the cut of `cutStreamAfter` has not happened yet. */
  get awaitsStreamCut(): boolean {
    return this.#streamCut !== undefined;
  }

  /** Bytes of the bodies of all event streams that have passed. */
  get streamedBytes(): number {
    return this.#streamed;
  }

  /** Keeps connections and accepts new ones, but passes nothing in either direction. */
  blackHole(): void {
    this.#isHole = true;
  }

  /** Refuses new connections, and keeps the existing ones. */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** Drops the cuts that still wait for their request. */
  forgive(): void {
    this.#traps.clear();
  }

  /** Passes bytes again. Bytes that went into the black hole are lost, so every connection is cut. */
  heal(): void {
    this.#isRefusing = false;
    if (!this.#isHole) return;
    this.#isHole = false;
    this.cutAll();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cutAll();
    await closed;
  }

  #trap(where: Trap['where'], matches: Matches): Promise<void> {
    return new Promise((resolve) => this.#traps.add({ where, matches, done: resolve }));
  }

  #accept(client: Socket): void {
    this.#connections += 1;
    if (this.#isRefusing) {
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    const pair: Pair = { client, server, losesReply: false };
    this.#pairs.add(pair);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', () => cut(pair));
      socket.on('close', () => {
        this.#pairs.delete(pair);
        cut(pair);
      });
    }
    client.on('data', (sent) => this.#forward(pair, sent));
    client.on('end', () => server.end());
    server.on('data', (reply) => {
      if (!this.#isHole && !pair.losesReply) this.#reply(pair, reply);
    });
    server.on('end', () => client.end());
  }

  #reply(pair: Pair, reply: Buffer): void {
    let body = 0;
    if (pair.streamed === undefined) {
      if (!/^content-type: text\/event-stream/im.test(reply.toString('latin1'))) {
        pair.client.write(reply);
        return;
      }
      body = reply.indexOf(HEAD_END) + HEAD_END.length;
      pair.streamed = 0;
    }
    const before = pair.streamed;
    pair.streamed += reply.length - body;
    this.#streamed += reply.length - body;
    if (this.#streamCut === undefined || pair.streamed <= this.#streamCut) {
      pair.client.write(reply);
      return;
    }
    pair.client.end(reply.subarray(0, body + this.#streamCut - before));
    this.#streamCut = undefined;
    pair.losesReply = true;
    pair.server.destroy();
  }

  #forward(pair: Pair, sent: Buffer): void {
    if (this.#isHole || pair.losesReply) return;
    const trap = [...this.#traps].find(({ matches }) => matches(sent));
    if (trap === undefined) {
      pair.server.write(sent);
      return;
    }
    this.#traps.delete(trap);
    if (trap.where === 'before') {
      cut(pair);
      trap.done();
      return;
    }
    // The end of the stream follows the request: once the server closes in return, it has read all of the request and
    // carried it out.
    pair.losesReply = true;
    pair.server.once('close', trap.done);
    pair.server.end(sent);
  }
}

function cut({ client, server }: Pair): void {
  client.destroy();
  server.destroy();
}
