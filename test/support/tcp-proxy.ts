// A TCP proxy between a client and its server that does what networks do: cuts every connection, loses a request before
// it arrives, loses the reply of a request that was carried out, swallows everything, or lets nobody in.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Which piece of what a client sends is meant. */
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
  /** The request goes through, and nothing comes back. */
  losesReply: boolean;
}

const ANY: Matches = () => true;

export class TcpProxy {
  readonly #target: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #traps = new Set<Trap>();
  #isHole = false;
  #isRefusing = false;
  #connections = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
  }

  /** In front of a port of this machine. */
  static async start(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Ends every connection there is, both ways, without a word. */
  cutAll(): void {
    for (const pair of this.#pairs) cut(pair);
  }

  /** The next request like this one never arrives: its connection breaks first. Resolves when that has happened. */
  cutBefore(matches: Matches = ANY): Promise<void> {
    return this.#trap('before', matches);
  }

  /** The next request like this one is carried out, and its connection breaks before the reply. Resolves when the
   *  server has read it and is done with it. */
  cutAfter(matches: Matches = ANY): Promise<void> {
    return this.#trap('after', matches);
  }

  /** Connections stay, new ones are taken, and nothing gets through any more, in either direction. */
  blackHole(): void {
    this.#isHole = true;
  }

  /** Whoever connects is sent away; who is there stays. */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** What was to be cut and has not come by is let through. */
  forgive(): void {
    this.#traps.clear();
  }

  /** As it was. What went into the hole is lost, so the connections that knew the hole are cut. */
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
      if (!this.#isHole && !pair.losesReply) client.write(reply);
    });
    server.on('end', () => client.end());
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
    // The end comes behind the request: once the server hangs up in return, it has read and done all of it.
    pair.losesReply = true;
    pair.server.once('close', trap.done);
    pair.server.end(sent);
  }
}

function cut({ client, server }: Pair): void {
  client.destroy();
  server.destroy();
}
