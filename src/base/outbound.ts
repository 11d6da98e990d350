// Connections of this process to other servers, through the proxies that its operator names.
import { Agent, EnvHttpProxyAgent, fetch, type Dispatcher } from 'undici';

/** The URLs of proxies. Each undefined: none. */
export interface OutboundProxies {
  /** For `http:` addresses. */
  readonly http: string | undefined;
  /** For `https:` addresses. Undefined: as for `http:`. */
  readonly https: string | undefined;
  /** Hosts that are reached directly, comma-separated; `*`: all. */
  readonly no: string | undefined;
}

export interface Outbound {
  readonly dispatcher: Dispatcher;
  readonly fetch: (
    url: URL,
    init: { readonly redirect: 'error'; readonly signal: AbortSignal },
  ) => ReturnType<typeof fetch>;
}

/** @throws Error for the URL of a proxy that is none, with the URL in its message */
export function createOutbound({ http, https, no }: OutboundProxies): Outbound {
  const hasProxy = http !== undefined || https !== undefined;
  // An empty text keeps undici from reading the environment itself. Without a tunnel for `http:`, a proxy that permits
  // tunnels to port 443 only works too.
  const proxies = { httpProxy: http ?? '', httpsProxy: https ?? '', noProxy: no ?? '', proxyTunnel: false };
  const dispatcher = hasProxy ? new EnvHttpProxyAgent(proxies) : new Agent();
  return { dispatcher, fetch: (url, init) => fetch(url, { ...init, dispatcher }) };
}
