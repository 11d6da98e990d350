// The stock `openai` client against a gateway on a loopback port.
import OpenAI, { type ClientOptions } from 'openai';
import { onTestFinished } from 'vitest';
import { ChatRig, type PlayedModel } from '../../support/chat-rig.ts';
import { FakeRun } from '../../support/gateway-fake-run.ts';
import { turn } from '../../support/wait-for.ts';
import { startHarness, type Harness, type HarnessOptions } from '../../support/gateway-harness.ts';

export interface OpenaiGateway {
  readonly h: Harness;
  readonly baseURL: string;
  /** A client with the token of a user. */
  readonly client: (user?: string, options?: ClientOptions) => OpenAI;
}

export async function startOpenai(options?: HarnessOptions): Promise<OpenaiGateway> {
  const h = await startHarness(options);
  const { url } = await h.listen();
  const baseURL = `${url}/openai/v1`;
  return {
    h,
    baseURL,
    client: (user = 'ann', more = {}) => new OpenAI({ baseURL, apiKey: h.token(user), maxRetries: 0, ...more }),
  };
}

/** Two agents: `default` with two models, `fast` with one. */
export const AGENTS = new Map([
  ['default', { model: 'gpt-x', models: ['org/large'] }],
  ['fast', { model: 'tiny' }],
]);

/** Takes the first run of a session once there is one. */
export async function takeRun(h: Harness, sessionId: string): Promise<FakeRun> {
  const load = async (): Promise<string | undefined> =>
    (await h.commandLog.load({ tenant: 'default', sessionId }))?.state.runs[0]?.runId;
  let runId = await load();
  while (runId === undefined) {
    await turn();
    runId = await load();
  }
  return FakeRun.take(h, sessionId, runId);
}

/** What a request threw. */
export async function failureOf(request: PromiseLike<unknown>): Promise<unknown> {
  try {
    await request;
  } catch (error) {
    return error;
  }
  throw new Error('the request did not fail');
}

/** Starts a worker for the gateway's chats, whose model the test controls. */
export function startWorker({ broker, clock }: Harness): PlayedModel {
  const rig = new ChatRig({ broker, clock });
  const worker = rig.startWorker();
  onTestFinished(async () => {
    await worker.close();
    rig.hub.close();
  });
  return rig.model;
}
