// Checks the address and the key of a model server, wherever the configuration names one.

/** The fault of the address, in words; undefined for none. */
export function modelUrlFault(text: string, keyGoesTo: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    return 'must be the http(s) base URL of an OpenAI-compatible server';
  return url.username === '' && url.password === ''
    ? undefined
    : `must not carry credentials: give the key as ${keyGoesTo}`;
}

/** Refuses a key that no header can carry: with it, no request could be sent. */
export function modelKeyFault(key: string): string | undefined {
  return /^[\x21-\x7e]+$/.test(key) ? undefined : 'has characters that no header can carry';
}
