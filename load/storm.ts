// A gateway dies under thousands of streams, and they all come back to another, as the client library would: with full
// jitter, a planned 503 obeyed. How long until the last one is live again, what else they met, and what the streams that
// lived on the other gateway felt of it.
import { connect } from 'node:net';
import type { ServerProcess } from './server-process.ts';
import { newStats, post, quantile, SseClient } from './sse-client.ts';

const OPENING = 100;
const QUIET_MS = 5000;
/** As src/client backs off. */
const RETRY_MS_FIRST = 250;
const RETRY_MS_MAX = 20_000;
const RATE = 20;

export interface StormFigures {
  readonly clients: number;
  readonly secondsToResumeAll: number;
  readonly resumeP50Ms: number;
  readonly resumeP99Ms: number;
  readonly planned503: number;
  readonly otherErrors: number;
  /** Ages of live tokens on the gateway that lived, before and during the storm. */
  readonly liveP99MsBefore: number;
  readonly liveP99MsDuring: number;
  readonly violations: number;
}

interface Storm {
  readonly surviving: ServerProcess;
  readonly resumedAfterMs: number[];
  planned: number;
  errors: number;
  diedAt: number;
}

export async function storm({
  dying,
  surviving,
  clients,
  live,
}: {
  dying: ServerProcess;
  surviving: ServerProcess;
  clients: number;
  live: number;
}): Promise<StormFigures> {
  const stats = newStats();
  const watchers = await Promise.all(Array.from({ length: live }, (_, i) => watchLive(surviving, `live${i}`, stats)));
  const state: Storm = { surviving, resumedAfterMs: [], planned: 0, errors: 0, diedAt: 0 };
  const dropped: Promise<void>[] = [];
  for (let i = 0; i < clients; i += OPENING) {
    const opened = Array.from({ length: Math.min(OPENING, clients - i) }, async (_, k) => {
      const { port, token } = dying;
      await post({ port, token, path: '/v1/sessions' }, { sessionId: `idle${i + k}` });
      return follow(dying, `idle${i + k}`);
    });
    for (const one of await Promise.all(opened))
      dropped.push(one.dropped.then((position) => comeBack(state, one.session, position)));
  }
  stats.ages.length = 0;
  await pause(QUIET_MS);
  const before = stats.ages.splice(0).sort((a, b) => a - b);
  state.diedAt = performance.now();
  await dying.kill();
  await Promise.all(dropped);
  const seconds = (performance.now() - state.diedAt) / 1000;
  const during = stats.ages.splice(0).sort((a, b) => a - b);
  for (const watcher of watchers) watcher.close();
  const resumed = state.resumedAfterMs.sort((a, b) => a - b);
  return {
    clients,
    secondsToResumeAll: Number(seconds.toFixed(1)),
    resumeP50Ms: quantile(resumed, 0.5),
    resumeP99Ms: quantile(resumed, 0.99),
    planned503: state.planned,
    otherErrors: state.errors,
    liveP99MsBefore: quantile(before, 0.99),
    liveP99MsDuring: quantile(during, 0.99),
    violations: stats.violations,
  };
}

async function watchLive(
  { port, token }: ServerProcess,
  session: string,
  stats: ReturnType<typeof newStats>,
): Promise<SseClient> {
  await post({ port, token, path: `/v1/sessions/${session}/messages` }, { content: `say ${RATE * 600} at ${RATE}/s` });
  const client = new SseClient({ port, token, path: `/v1/sessions/${session}/events` }, stats);
  await client.opened;
  return client;
}

interface Followed {
  readonly session: string;
  /** Resolves to where it stopped, when its connection is gone. */
  readonly dropped: Promise<string>;
}

/** Resolves when the stream is live. Rejects with the status it was refused with, or what broke. */
function follow({ port, token }: ServerProcess, session: string, after?: string): Promise<Followed> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.setEncoding('latin1');
    const query = after === undefined ? '' : `?after=${after}`;
    socket.write(
      `GET /v1/sessions/${session}/events${query} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n\r\n`,
    );
    let seen = '';
    let isLive = false;
    let drop: (position: string) => void = () => undefined;
    const dropped = new Promise<string>((settle) => (drop = settle));
    socket.on('data', (chunk: string) => {
      if (isLive) return;
      seen += chunk;
      if (seen.startsWith('HTTP/1.1 ') && !seen.startsWith('HTTP/1.1 200') && seen.includes('\r\n\r\n')) {
        socket.destroy();
        reject(new Refused(Number(seen.slice(9, 12)), Number(/retry-after: (\d+)/i.exec(seen)?.[1] ?? 0)));
      }
      const live = /event: live\ndata: \{"position":"?([^"}]+)/.exec(seen);
      if (live === null) return;
      isLive = true;
      const [, position = ''] = live;
      resolve({ session, dropped });
      socket.once('close', () => drop(position));
    });
    socket.on('error', (error) => reject(error));
    socket.on('close', () => reject(new Error('closed before it was live')));
  });
}

class Refused extends Error {
  readonly status: number;
  readonly retryAfterS: number;

  constructor(status: number, retryAfterS: number) {
    super(`refused with ${status}`);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

async function comeBack(state: Storm, session: string, position: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    await pause(Math.random() * Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** attempt));
    try {
      await follow(state.surviving, session, position);
      state.resumedAfterMs.push(performance.now() - state.diedAt);
      return;
    } catch (error) {
      if (error instanceof Refused && error.status === 503) {
        state.planned += 1;
        await pause(error.retryAfterS * 1000);
      } else state.errors += 1;
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
