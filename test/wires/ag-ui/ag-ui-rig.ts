// A gateway with the stock AG-UI client over a real loopback socket, and a fake worker.
import { HttpAgent, type Interrupt, type Message, type RunAgentParameters } from '@ag-ui/client';
import { FakeRun } from '../../support/gateway-fake-run.ts';
import { startHarness, type Harness, type HarnessOptions } from '../../support/gateway-harness.ts';
import { eventually } from '../../support/wait-for.ts';

export interface AgUiRig {
  readonly h: Harness;
  readonly url: string;
  /** A client of a user's for one thread. */
  agent(messages: readonly Message[], as?: string, threadId?: string): HttpAgent;
  /** The worker of the oldest run that waits in a thread. */
  work(threadId?: string): Promise<FakeRun>;
}

export async function startAgUi(options?: HarnessOptions): Promise<AgUiRig> {
  const h = await startHarness(options);
  const { url } = await h.listen();
  return {
    h,
    url,
    agent: (messages, as = 'ann', threadId = 't') =>
      new HttpAgent({
        url: `${url}/ag-ui/default`,
        headers: { authorization: as.startsWith('Bearer ') ? as : h.bearer(as) },
        threadId,
        initialMessages: [...messages],
      }),
    async work(threadId = 't') {
      let runId: string | undefined;
      await eventually(async () => {
        const loaded = await h.commandLog.load({ tenant: 'default', sessionId: threadId });
        runId = loaded?.state.runs.find(({ state }) => state === 'queued')?.runId;
        return runId !== undefined;
      });
      return FakeRun.take(h, threadId, runId ?? '');
    },
  };
}

export interface Ending {
  readonly outcome?: unknown;
  readonly pending?: readonly string[];
  readonly error?: string;
  readonly interrupts?: readonly Interrupt[];
}

/** Runs the agent. Resolves with how the run ended for the client. */
export async function run(agent: HttpAgent, runId: string, parameters: RunAgentParameters = {}): Promise<Ending> {
  let ending: Ending = {};
  try {
    await agent.runAgent(
      { ...parameters, runId },
      {
        onRunFinishedEvent: (finished) => {
          ending = { outcome: finished.event.outcome?.type };
          if (finished.outcome === 'interrupt') ending = { ...ending, interrupts: finished.interrupts };
          if (finished.outcome !== 'success' || finished.pendingToolCallIds.length === 0) return;
          ending = { ...ending, pending: finished.pendingToolCallIds };
        },
        onRunErrorEvent: ({ event }) => void (ending = { error: `${event.message} (${event.code})` }),
      },
    );
  } catch (error) {
    return { error: error instanceof Error ? error.message : '' };
  }
  return ending;
}

export function user(id: string, content = 'go'): Message {
  return { id, role: 'user', content };
}

/** The messages behind the last user message, without the ids of results. */
export function answerOf({ messages }: Pick<HttpAgent, 'messages'>): unknown[] {
  return messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1);
}

export function textOf({ messages }: Pick<HttpAgent, 'messages'>): string {
  const texts = messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1);
  return texts
    .map(({ role, content }) => (role === 'assistant' && typeof content === 'string' ? content : ''))
    .join('');
}

/** Resolves when the client holds this text. */
export async function until(agent: HttpAgent, text: string): Promise<void> {
  await eventually(() => textOf(agent) === text);
}
