// JSON requests over connections that stay open: a burst of prompts opens no connection for each.
import { Agent, request } from 'node:http';

export interface JsonAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface JsonRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly token: string;
  readonly body?: unknown;
}

export class KeepAliveHttp {
  readonly #agent: Agent;

  constructor(socketsMax: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: socketsMax });
  }

  /** @throws the errors of the socket */
  async ask({ method = 'GET', url, token, body }: JsonRequest): Promise<JsonAnswer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${token}`,
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    return new Promise((resolve, reject) => {
      const sent = request(url, { method, headers, agent: this.#agent }, (response) => {
        let answer = '';
        response.setEncoding('utf8').on('data', (piece: string) => (answer += piece));
        response.once('error', reject);
        response.once('end', () => {
          const isJson = response.headers['content-type']?.startsWith('application/json') === true;
          const parsed = isJson ? (JSON.parse(answer) as JsonAnswer['body']) : { text: answer };
          resolve({ status: response.statusCode ?? 0, body: parsed });
        });
      });
      sent.once('error', reject);
      sent.end(text);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
