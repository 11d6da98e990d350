// A gateway with the real LangGraph SDK over a socket, and what a client makes of a stream.
import { Client } from '@langchain/langgraph-sdk';
import { expect, vi } from 'vitest';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { FakeRun } from '../../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../../support/gateway-harness.ts';
import { Collector } from '../../support/wait-for.ts';

export interface Part {
  readonly id?: string;
  readonly event: string;
  readonly data: unknown;
}

export interface LangGraph extends Harness {
  readonly client: Client;
  clientOf(user: string, claims?: Readonly<Record<string, unknown>>): Client;
  take(run: { readonly run_id: string; readonly thread_id: string }): Promise<FakeRun>;
  /** The runs that wait for a worker, in threads of any name. */
  queued(): Promise<{ readonly thread_id: string; readonly run_id: string }[]>;
  /** Breaks all connections, as where a proxy or the node dies. */
  cut(): void;
}

/** The client waits at least a second before it comes back: here it does not wait. */
export function hurryReconnects(): void {
  const original = globalThis.setTimeout;
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(((callback: () => void, ms = 0, ...args: unknown[]) => {
    const isReconnect = ms >= 1000 && ms <= 6000 && (new Error().stack ?? '').includes('langgraph-sdk');
    return original(callback, isReconnect ? 0 : ms, ...args);
  }) as typeof setTimeout);
}

export async function start(options: Parameters<typeof startHarness>[0] = {}): Promise<LangGraph> {
  const h = await startHarness(options);
  const { url } = await h.listen();
  const sockets = new Set<{ destroy(): void }>();
  h.gateway.app.server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const clientOf: LangGraph['clientOf'] = (user, claims) =>
    new Client({
      apiUrl: `${url}/langgraph`,
      apiKey: null,
      defaultHeaders: { authorization: h.bearer(user, claims) },
      callerOptions: { maxRetries: 0 },
    });
  return {
    ...h,
    client: clientOf('ann'),
    clientOf,
    take: (run) => FakeRun.take(h, run.thread_id, run.run_id),
    async queued() {
      const { topics } = await h.broker.list(parseTopicPattern('chat/*'), { limit: 100 });
      const ids = topics.map(({ topic }) => topic.slice('chat/'.length));
      const states = await Promise.all(
        ids.map(async (sessionId) => ({
          sessionId,
          loaded: await h.commandLog.load({ tenant: 'default', sessionId }),
        })),
      );
      return states.flatMap(({ sessionId, loaded }) =>
        (loaded?.state.runs ?? []).map(({ runId }) => ({ thread_id: sessionId, run_id: runId })),
      );
    },
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

export const MODES = ['messages-tuple', 'values'] as const;

export function inputOf(text: string, id?: string): { input: Record<string, unknown> } {
  return { input: { messages: [{ type: 'human', content: text, ...(id === undefined ? {} : { id }) }] } };
}

/** Also the modes of a stream. */
export function streamOf(
  text: string,
  id?: string,
): { input: Record<string, unknown>; streamMode: (typeof MODES)[number][] } {
  return { ...inputOf(text, id), streamMode: [...MODES] };
}

/** Follows a stream. `run` is known with the first part. */
export function follow(stream: AsyncIterable<unknown>): Collector<Part> {
  return new Collector(stream as AsyncIterable<Part>);
}

export async function runOf(parts: Collector<Part>): Promise<{ run_id: string; thread_id: string }> {
  const [first] = await parts.until((seen) => seen.length > 0);
  return first?.data as { run_id: string; thread_id: string };
}

/** The text of the AI message as the chunks have it. */
export function textOf(parts: readonly Part[]): string {
  return parts
    .map(({ event, data }) => {
      if (event !== 'messages') return '';
      const [message] = data as [{ readonly type: string; readonly content: string }];
      return message.type === 'AIMessageChunk' ? message.content : '';
    })
    .join('');
}

export const has = (text: string) => (parts: readonly Part[]) => textOf(parts).endsWith(text);
export const status = (code: number): unknown => expect.objectContaining({ status: code });
