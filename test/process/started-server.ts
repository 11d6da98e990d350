// A server for one test, and short functions for requests to it. It ends with the test, and a failed test shows its
// log.
import { expect, onTestFailed, onTestFinished } from 'vitest';
import { ServerProcess, type ServerOptions } from '../support/server-process.ts';
import { readSse } from '../support/sse-reader.ts';
import type { SeenEvent, WireRecord } from '../support/wire-record.ts';
import { call, type HttpAnswer } from './http-call.ts';
import { JoinedStory } from './joined-story.ts';

const SHOWN_LINES = 40;

export async function startedServer(options: ServerOptions = {}): Promise<ServerProcess> {
  const server = await ServerProcess.start(options);
  onTestFinished(() => server.close());
  onTestFailed(() => console.error(server.log.slice(-SHOWN_LINES).join('\n')));
  return server;
}

/** `path` is below `/v1/sessions/`. */
export async function post(
  server: ServerProcess,
  path: string,
  body: unknown,
  token = server.token,
): Promise<HttpAnswer> {
  return call({ method: 'POST', url: `${server.url}/v1/sessions/${path}`, token, body });
}

/** Resolves with the id of the run. */
export async function prompt(
  server: ServerProcess,
  sessionId: string,
  content: string,
  token = server.token,
): Promise<string> {
  const { status, body } = await post(server, `${sessionId}/messages`, { content }, token);
  expect(status, JSON.stringify(body)).toBe(202);
  return String(body['runId']);
}

/** Follows the chat from the story's position, into the story. */
export async function follow(
  server: ServerProcess,
  sessionId: string,
  story: JoinedStory,
  token = server.token,
): Promise<WireRecord> {
  return readSse({ url: server.url, token, sessionId, after: story.position, cutAfter: into(story) });
}

/** For `cutAfter`: keeps every event and cuts nothing. */
export function into(story: JoinedStory): (event: SeenEvent) => boolean {
  return (event) => {
    story.add(event);
    return false;
  };
}

/** What a new reader receives from the earliest record until it is live. */
export async function wholeStory(server: ServerProcess, sessionId: string, token = server.token): Promise<JoinedStory> {
  const story = new JoinedStory();
  const record = await follow(server, sessionId, story, token);
  await record.until(({ event }) => event === 'live');
  record.cut();
  expect(story.violations).toEqual([]);
  return story;
}
