// An HTTP proxy on a loopback port: forwards requests with an absolute address, and opens tunnels. It records what it
// was asked for.
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface ProxyRequest {
  readonly method: string;
  /** `host:port` of a tunnel, the whole address otherwise. */
  readonly target: string;
  readonly authorization: string | undefined;
}

export class ForwardProxy {
  readonly port: number;
  readonly asked: ProxyRequest[];
  readonly #close: () => void;

  private constructor(port: number, asked: ProxyRequest[], close: () => void) {
    this.port = port;
    this.asked = asked;
    this.#close = close;
  }

  /** @param refuses answers 407 to everything */
  static async start({ refuses = false }: { readonly refuses?: boolean } = {}): Promise<ForwardProxy> {
    const asked: ProxyRequest[] = [];
    const sockets = new Set<Duplex>();
    const record = ({ method = '', url = '', headers }: IncomingMessage): void =>
      void asked.push({ method, target: url, authorization: headers['proxy-authorization'] });
    const server = createServer((incoming, response) => {
      record(incoming);
      if (refuses) response.writeHead(407).end();
      else forward(incoming, response);
    });
    server.on('connection', (socket: Socket) => sockets.add(socket));
    server.on('connect', (incoming: IncomingMessage, client: Duplex) => {
      record(incoming);
      client.on('error', () => undefined);
      if (refuses) client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      else tunnel(incoming.url ?? '', client, sockets);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ForwardProxy((server.address() as AddressInfo).port, asked, () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
  }

  close(): void {
    this.#close();
  }
}

function forward(incoming: IncomingMessage, response: ServerResponse): void {
  const { method, headers, url = '' } = incoming;
  const onward = request(url, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  incoming.pipe(onward);
}

function tunnel(target: string, client: Duplex, sockets: Set<Duplex>): void {
  const [host = '', port = ''] = target.split(':');
  const server = connect(Number(port), host, () => {
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    server.pipe(client).pipe(server);
  });
  sockets.add(server);
  server.on('error', () => client.destroy());
}
