// The address of a model server, wherever the configuration names one.

/** What is wrong with it, in words; undefined: nothing. */
export function modelUrlFault(text: string, keyGoesTo: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    return 'must be the http(s) base URL of an OpenAI-compatible server';
  return url.username === '' && url.password === ''
    ? undefined
    : `must not carry credentials: give the key as ${keyGoesTo}`;
}

/** A key that no header can carry is refused before a request would be, with the key in its message. */
export function modelKeyFault(key: string): string | undefined {
  return /^[\x21-\x7e]+$/.test(key) ? undefined : 'has characters that no header can carry';
}
