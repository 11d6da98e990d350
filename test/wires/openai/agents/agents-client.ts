// The stock client of Agents sessions (openai 7) against a gateway on a loopback port.
import OpenAI from 'openai-7';
import type { AgentSessionEvent } from 'openai-7/resources/beta/agents/agents';
import type { HarnessOptions } from '../../../support/gateway-harness.ts';
import { FakeRun } from '../../../support/gateway-fake-run.ts';
import { turn } from '../../../support/wait-for.ts';
import { startOpenai, type OpenaiGateway } from '../stock-client.ts';

export type { AgentSessionEvent };
export type AgentSessions = OpenAI['beta']['agents']['sessions'];

export const NONE = { type: 'none' } as const;

export interface AgentsGateway extends OpenaiGateway {
  /** The sessions of a user. */
  readonly sessionsOf: (user?: string) => AgentSessions;
  readonly sessions: AgentSessions;
  /** Makes a session, and takes its first run. */
  readonly begin: (input?: string) => Promise<{ readonly id: string; readonly run: FakeRun }>;
  /** Takes the run of a session that is queued first. */
  readonly take: (sessionId: string) => Promise<FakeRun>;
}

export async function startAgents(options?: HarnessOptions): Promise<AgentsGateway> {
  const gateway = await startOpenai(options);
  const { h, baseURL } = gateway;
  const sessionsOf = (user = 'ann'): AgentSessions =>
    new OpenAI({ baseURL, apiKey: h.token(user), maxRetries: 0 }).beta.agents.sessions;
  const sessions = sessionsOf();
  const take = async (sessionId: string): Promise<FakeRun> => {
    for (;;) {
      const loaded = await h.commandLog.load({ tenant: 'default', sessionId });
      const run = loaded?.state.runs.find(({ state }) => state === 'queued');
      if (run !== undefined) return FakeRun.take(h, sessionId, run.runId);
      await turn();
    }
  };
  const begin: AgentsGateway['begin'] = async (input = 'hi') => {
    const { id } = await sessions.create({ environment: NONE, agent: { model: 'default' }, input });
    return { id, run: await take(id) };
  };
  return { ...gateway, sessionsOf, sessions, begin, take };
}

/** A reader of a session's events. */
export class Reader {
  readonly seen: AgentSessionEvent[] = [];
  readonly #leave: () => void;
  /** What ended the stream; undefined if the reader left. */
  readonly ended: Promise<unknown>;
  #wake: () => void = () => undefined;
  #hasEnded = false;

  private constructor(stream: AsyncIterable<AgentSessionEvent> & { readonly controller: AbortController }) {
    this.#leave = () => stream.controller.abort();
    this.ended = this.#read(stream);
  }

  static async open(
    sessions: AgentSessions,
    sessionId: string,
    after?: string,
    header: 'last-event-id' | 'query' = 'last-event-id',
  ): Promise<Reader> {
    const given =
      after === undefined ? {} : header === 'query' ? { query: { after } } : { headers: { 'last-event-id': after } };
    return new Reader(await sessions.events.stream(sessionId, {}, given));
  }

  static of(stream: AsyncIterable<AgentSessionEvent> & { readonly controller: AbortController }): Reader {
    return new Reader(stream);
  }

  get types(): string[] {
    return typesOf(this.seen);
  }

  async until(type: string, count = 1): Promise<void> {
    while (this.types.filter((one) => one === type).length < count) {
      if (this.#hasEnded) throw new Error(`the stream has ended before ${type}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  leave(): void {
    this.#leave();
  }

  async #read(stream: AsyncIterable<AgentSessionEvent>): Promise<unknown> {
    try {
      for await (const event of stream) {
        this.seen.push(event);
        this.#wake();
      }
      return undefined;
    } catch (error) {
      return error;
    } finally {
      this.#hasEnded = true;
      this.#wake();
    }
  }
}

/** Without the prefix that all have. */
export function typesOf(events: readonly AgentSessionEvent[]): string[] {
  return events.map(({ type }) => type.replace('agent.session.', ''));
}

export function textOf(events: readonly AgentSessionEvent[]): string {
  return events.map((event) => (event.type === 'agent.session.turn.output_text.delta' ? event.delta : '')).join('');
}
