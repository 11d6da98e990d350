// A gateway with the real MCP client of either era over a socket.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { onTestFinished } from 'vitest';
import { FakeRun } from '../../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../../support/gateway-harness.ts';

export type Era = 'modern' | 'handshake';

export interface Called {
  readonly isError: boolean;
  readonly result: {
    readonly run?: string;
    readonly session?: string;
    readonly state?: string;
    readonly text?: string;
    readonly inputs?: readonly { readonly input: string; readonly kind: string }[];
    readonly error?: { readonly code: string; readonly message: string };
  };
}

export interface Mcp extends Harness {
  readonly url: string;
  readonly client: Client;
  tool(name: string, args: Readonly<Record<string, unknown>>, client?: Client): Promise<Called>;
  connect(user: string, era?: Era, claims?: Readonly<Record<string, unknown>>): Promise<Client>;
  take(run: string | undefined): Promise<FakeRun>;
}

export async function start(era: Era = 'modern', options: Parameters<typeof startHarness>[0] = {}): Promise<Mcp> {
  const h = await startHarness(options);
  const { url } = await h.listen();
  const connect: Mcp['connect'] = async (user, as = era, claims = {}) => {
    const client = new Client(
      { name: 'test', version: '1' },
      as === 'modern' ? { versionNegotiation: { mode: { pin: '2026-07-28' } } } : {},
    );
    const requestInit = { headers: { authorization: h.bearer(user, claims) } };
    await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit }));
    onTestFinished(() => client.close());
    return client;
  };
  const own = await connect('ann');
  return {
    ...h,
    url,
    client: own,
    connect,
    async tool(name, args, client = own) {
      const { isError, content } = await client.callTool({ name, arguments: args });
      const [block] = content as readonly { readonly text?: string }[];
      return { isError: isError === true, result: JSON.parse(block?.text ?? '') as Called['result'] };
    },
    async take(run) {
      const [sessionId = '', runId = ''] = run?.split('.') ?? [];
      return FakeRun.take(h, sessionId, runId);
    },
  };
}
