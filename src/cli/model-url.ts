// The address of a model server, wherever the configuration names one, and what is probably wrong with it.
import type { ProviderError } from '../worker/provider.ts';
import type { AgentConfig } from './agent-config.ts';

/** What is wrong with it, in words; undefined: nothing. */
export function modelUrlFault(text: string, keyGoesTo: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') return 'must be the http(s) base URL of an OpenAI-compatible server';
  return url.username === '' && url.password === '' ? undefined : `must not carry credentials: give the key as ${keyGoesTo}`;
}

/** A key that no header can carry is refused before a request would be, with the key in its message. */
export function modelKeyFault(key: string): string | undefined {
  return /^[\x21-\x7e]+$/.test(key) ? undefined : 'has characters that no header can carry';
}

/** What an operator should look at after this failure of a model server; undefined: the failure says it all. */
export function hintOf(agent: AgentConfig | undefined, { message }: ProviderError): string | undefined {
  const { url, keyEnv } = agent?.entry ?? {};
  const status = /\bHTTP (\d{3})\b/.exec(message)?.[1];
  if (url === undefined) return undefined;
  if (status === '401' || status === '403') return keyEnv === undefined ? 'the server wants a key, and none is configured' : `the server does not take the key in ${keyEnv}`;
  const isUnversioned = !/\/v\d/.test(new URL(url).pathname);
  return (status === '404' || status === '405') && isUnversioned ? 'the address names no version: most servers want a base URL that ends in /v1' : undefined;
}
