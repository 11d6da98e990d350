// Guesses what is wrong in the configuration of an agent whose model server fails its runs.
import type { ProviderError } from '../../worker/provider.ts';
import type { AgentConfig } from './agent-config.ts';

/** A hint for the operator after this failure; undefined where there is none. */
export function hintOf(agent: AgentConfig | undefined, { detail = '' }: ProviderError): string | undefined {
  const { url, keyEnv } = agent?.entry ?? {};
  const status = /\bHTTP (\d{3})\b/.exec(detail)?.[1];
  if (url === undefined) return undefined;
  if (status === '401' || status === '403')
    return keyEnv === undefined
      ? 'the server wants a key, and none is configured'
      : `the server does not take the key in ${keyEnv}`;
  const isUnversioned = !/\/v\d/.test(new URL(url).pathname);
  return (status === '404' || status === '405') && isUnversioned
    ? 'the address names no version: most servers want a base URL that ends in /v1'
    : undefined;
}
