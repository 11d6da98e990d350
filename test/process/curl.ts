// The curl of the machine, as a user at a terminal would use it: no code of Holdline is between the test and the wire.
import { Child, childEnv } from '../support/child.ts';
import type { StreamPlace } from '../support/sse-reader.ts';
import { SseText } from '../support/sse-text.ts';
import { WireRecord, type RecordOptions } from '../support/wire-record.ts';

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

function curl(args: readonly string[], onOutput?: (text: string) => void): Child {
  return new Child('curl', ['--silent', '--show-error', ...args], {
    env: childEnv(),
    ...(onOutput === undefined ? {} : { onOutput }),
  });
}

/** @throws when curl is missing or finds no server */
export async function curlPost(url: string, token: string, body: unknown): Promise<Answer> {
  const headers = ['--header', `authorization: Bearer ${token}`, '--header', 'content-type: application/json'];
  const child = curl([...headers, '--data', JSON.stringify(body), '--write-out', '\n%{http_code}', url]);
  const { code } = await child.exited;
  if (code !== 0)
    throw new Error(`these tests need curl (Debian package: curl); it exited with ${code}: ${child.stderr}`);
  const [text = '', status] = child.stdout.split('\n');
  return { status: Number(status), body: JSON.parse(text) as Answer['body'] };
}

/** Reads the event stream with a curl that is killed at the cut. */
export function readWithCurl({ url, token, sessionId, after, ...options }: StreamPlace & RecordOptions): WireRecord {
  const text = new SseText();
  const resume = after === undefined ? [] : ['--header', `last-event-id: ${after}`];
  const headers = ['--header', `authorization: Bearer ${token}`, ...resume];
  const record = new WireRecord(options, () => void child.kill('SIGKILL'));
  const child = curl(['--no-buffer', '--fail', ...headers, `${url}/v1/sessions/${sessionId}/events`], (chunk) => {
    for (const event of text.push(chunk)) record.add(event);
  });
  void child.exited.then(({ code }) => record.end(`curl exited with ${code}: ${child.stderr}`));
  return record;
}
