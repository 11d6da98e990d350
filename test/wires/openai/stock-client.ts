// The stock `openai` client against a gateway on a loopback port.
import OpenAI, { type ClientOptions } from 'openai';
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
