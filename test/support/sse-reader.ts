// Reads one event stream over plain node:http, and can cut it behind any event. [PROTOCOL §5]
import { request, type IncomingMessage } from 'node:http';
import { SseText } from './sse-text.ts';
import { WireRecord, type RecordOptions } from './wire-record.ts';

export interface StreamPlace {
  /** `http://host:port` */
  readonly url: string;
  readonly token: string;
  readonly sessionId: string;
  /** The position held; undefined: from the earliest record. */
  readonly after?: string | undefined;
}

export interface SseOptions extends StreamPlace, RecordOptions {
  readonly until?: 'idle';
}

/** The server answered with something else than a stream. */
export class StreamRefused extends Error {
  readonly code: string;

  constructor(code: string) {
    super(`refused: ${code}`);
    this.code = code;
  }
}

/** Resolves with the head of the response. @throws StreamRefused, and the errors of the socket */
export async function readSse({ url, token, sessionId, after, until, ...options }: SseOptions): Promise<WireRecord> {
  const headers = { authorization: `Bearer ${token}`, ...(after === undefined ? {} : { 'last-event-id': after }) };
  const query = until === undefined ? '' : `?until=${until}`;
  const sent = request(`${url}/v1/sessions/${sessionId}/events${query}`, { headers, agent: false });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve).once('error', reject).end();
  });
  if (response.statusCode !== 200) throw new StreamRefused(await refusal(response));
  const text = new SseText();
  const record = new WireRecord(options, () => response.destroy());
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    for (const event of text.push(chunk)) record.add(event);
  });
  // `end` comes when the server ended the stream; a broken connection closes without it.
  response.on('end', () => record.end('ended'));
  response.on('error', () => record.end('broken'));
  response.on('close', () => record.end('broken'));
  return record;
}

async function refusal(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let body = '';
  for await (const chunk of response) body += String(chunk);
  // A proxy in between answers with pages of its own.
  const isOurs = response.headers['content-type']?.startsWith('application/json') === true;
  const { error } = (isOurs ? JSON.parse(body) : {}) as { error?: { code: string } };
  return error?.code ?? `http-${String(response.statusCode)}`;
}
