// One HTTP request on a connection of its own. Its reply may be lost, by a fault of the server, or on purpose, by
// closing the connection right after the request.
import { request, type IncomingMessage } from 'node:http';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Readonly<Record<string, unknown>>;
}

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: string;
  readonly token?: string;
  readonly body?: unknown;
  readonly host?: string;
  /** Closes the connection behind the request, so that the reply is lost. */
  readonly hangUp?: boolean;
}

/** Undefined when no answer came. */
export async function tryCall({
  method,
  url,
  token,
  body,
  host,
  hangUp = false,
}: HttpCall): Promise<HttpAnswer | undefined> {
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(host === undefined ? {} : { host }),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  const sent = request(url, { method, headers, agent: false });
  if (hangUp) sent.once('finish', () => sent.destroy());
  return new Promise((resolve) => {
    sent.once('response', (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (chunk: string) => (text += chunk));
      response.once('end', () => resolve(answerOf(response, text)));
      response.once('error', () => resolve(undefined));
    });
    sent.on('error', () => resolve(undefined));
    sent.once('close', () => resolve(undefined));
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** @throws when no answer comes */
export async function call(options: HttpCall): Promise<HttpAnswer> {
  const answer = await tryCall(options);
  if (answer === undefined) throw new Error(`no answer to ${options.method} ${options.url}`);
  return answer;
}

function answerOf({ statusCode = 0, headers }: IncomingMessage, text: string): HttpAnswer {
  const isJson = headers['content-type']?.startsWith('application/json') === true;
  return { status: statusCode, headers, body: isJson ? (JSON.parse(text) as HttpAnswer['body']) : { text } };
}
