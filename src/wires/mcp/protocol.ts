// The versions of MCP that the server speaks, and its replies to the requests that every MCP server answers. Pure. Up
// to 2025-11-25 a client begins with `initialize`; since 2026-07-28 each request carries its version in `_meta`, and
// headers repeat what an intermediary needs. Nothing is remembered between requests.
import type { JsonObject } from '../../session/events/chat-event.ts';
import { isObject, RPC_CODES, type RpcRequest } from './json-rpc.ts';
import { TOOLS } from './tools.ts';

export const MODERN_VERSION = '2026-07-28';
/** Newest first. A client that asks for an unknown version is offered the first. */
const HANDSHAKE_VERSIONS = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'] as const;
export const VERSIONS: readonly string[] = [MODERN_VERSION, ...HANDSHAKE_VERSIONS];

const VERSION_KEY = 'io.modelcontextprotocol/protocolVersion';
const SERVER_KEY = 'io.modelcontextprotocol/serverInfo';

const SERVER = { name: 'holdline', title: 'Holdline', version: '1' } as const;
const CAPABILITIES = { tools: {} } as const;
const INSTRUCTIONS =
  'start_run sends a prompt to an agent and returns at once. get_run returns the state and the text so far; with ' +
  'wait_ms it waits for the end. A run continues when this connection ends; only stop_run stops it.';

/** In ms. How long a client may cache what does not change while the server runs. */
const CACHE_MS = 60_000;
const CACHEABLE = { ttlMs: CACHE_MS, cacheScope: 'public' } as const;

export interface McpHeaders {
  readonly version: string | undefined;
  readonly method: string | undefined;
  readonly name: string | undefined;
}

/** `modern`: since 2026-07-28. */
export type Era = 'modern' | 'handshake';

export interface EraError {
  readonly code: number;
  readonly message: string;
  readonly data?: JsonObject;
}

/** The era of a request, or the reason why it is refused with 400. */
export function eraOf({ method, params }: RpcRequest, headers: McpHeaders): Era | EraError {
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  const version = meta[VERSION_KEY];
  if (version === undefined) {
    if (headers.version === MODERN_VERSION)
      return { code: RPC_CODES.invalidParams, message: `params._meta lacks ${VERSION_KEY}` };
    if (headers.version !== undefined && !VERSIONS.includes(headers.version)) return unsupported(headers.version);
    return 'handshake';
  }
  if (version !== MODERN_VERSION) return unsupported(version);
  const expected = { version, method, ...(method === 'tools/call' ? { name: params['name'] } : {}) };
  for (const [field, value] of Object.entries(expected)) {
    if (headers[field as keyof McpHeaders] !== value)
      return {
        code: RPC_CODES.headerMismatch,
        message: `the header ${HEADER_NAMES[field] ?? ''} differs from the body`,
      };
  }
  return 'modern';
}

const HEADER_NAMES: Readonly<Record<string, string>> = {
  version: 'mcp-protocol-version',
  method: 'mcp-method',
  name: 'mcp-name',
};

function unsupported(requested: unknown): EraError {
  return {
    code: RPC_CODES.unsupportedVersion,
    message: 'unsupported protocol version',
    data: { supported: VERSIONS, requested: typeof requested === 'string' ? requested.slice(0, 64) : null },
  };
}

/** The reply to a request that needs no chat; undefined for any other method. */
export function commonResult({ method, params }: RpcRequest, era: Era): JsonObject | undefined {
  switch (method) {
    case 'ping':
      return complete({}, era);
    case 'tools/list':
      return complete({ tools: TOOLS }, era, CACHEABLE);
    case 'server/discover':
      return complete(
        { supportedVersions: VERSIONS, capabilities: CAPABILITIES, instructions: INSTRUCTIONS },
        'modern',
        CACHEABLE,
      );
    case 'initialize':
      return era === 'modern'
        ? undefined
        : {
            protocolVersion:
              HANDSHAKE_VERSIONS.find((one) => one === params['protocolVersion']) ?? HANDSHAKE_VERSIONS[0],
            capabilities: CAPABILITIES,
            serverInfo: SERVER,
            instructions: INSTRUCTIONS,
          };
    default:
      return undefined;
  }
}

/** A result with the fields that the era requires of every result. */
export function complete(result: JsonObject, era: Era, cache: JsonObject = {}): JsonObject {
  return era === 'handshake'
    ? result
    : { ...result, ...cache, resultType: 'complete', _meta: { [SERVER_KEY]: SERVER } };
}
