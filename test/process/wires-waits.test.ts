// Waits that outlive every process: asked over each wire, kill -9 of the server, and answered over another wire once it
// is started again on its log. The clients are the real ones.
import { expect, it, vi } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import { eventually } from '../support/wait-for.ts';
import { clientOf } from '../wires/a2a/a2a-rig.ts';
import { WAITS, type Kind, type Reply } from '../wires/matrix-waits.ts';
import { MATRIX, type Served } from '../wires/matrix-wires.ts';
import { readAll } from '../wires/waiting-runs.ts';
import { startedServer } from './started-server.ts';
import type { ServerProcess } from '../support/server-process.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(120_000) });

/** What the demo model says before and behind each kind of wait. */
const KINDS: readonly { readonly kind: Kind; readonly reply: Reply; readonly text: string }[] = [
  { kind: 'approval', reply: true, text: 'I have written a mail to Ada. It is sent. ' },
  { kind: 'question', reply: 'green', text: 'I need a colour. You gave me `"green"`. ' },
  { kind: 'tool', reply: 'Berlin', text: 'I ask your client where it is. You gave me `"Berlin"`. ' },
];

function served(server: ServerProcess): Served {
  const { url, port } = server;
  const token = (): string => server.token;
  const bearer = (): string => `Bearer ${token()}`;
  return {
    url,
    port,
    h: {
      token,
      bearer,
      async call(method, path) {
        const response = await fetch(`${url}${path}`, { method, headers: { authorization: bearer() } });
        const text = await response.text();
        return { status: response.status, body: JSON.parse(text) as Record<string, unknown>, text, headers: {} };
      },
    },
    a2a: { client: (binding, as, agent) => clientOf({ bearer }, url, binding, as, agent) },
  };
}

/** The run of a chat that waits, once it does. */
async function waitingRun({ h }: Served, session: string): Promise<string> {
  let runId: string | undefined;
  await eventually(async () => {
    const { body } = await h.call('GET', `/v1/sessions/${session}/inputs?state=open`);
    runId = (body['inputs'] as { runId: string }[] | undefined)?.[0]?.runId;
    return runId !== undefined;
  });
  return runId ?? '';
}

it('a wait that was asked over any wire › is answered over another, behind a kill -9 of the server', async () => {
  const server = await startedServer();
  const gateway = served(server);
  const starts = MATRIX.filter((wire) => wire.start !== undefined);
  const chats: { session: string; runId: string; place: number }[] = [];
  for (const [place, { start }] of starts.entries()) {
    const session = `waits-${place}`;
    await start?.(gateway, session, `ask ${KINDS[place % KINDS.length]?.kind}`);
    chats.push({ session, runId: await waitingRun(gateway, session), place });
  }
  await server.kill('SIGKILL');
  await server.restart();
  for (const chat of chats) {
    const { session, runId, place } = chat;
    const { kind, reply, text } = KINDS[place % KINDS.length] ?? KINDS[0] ?? { kind: 'tool', reply: '', text: '' };
    const wire = WAITS[(place + 1) % WAITS.length];
    const names = [starts[place]?.name, wire?.name];
    const asked = await wire?.open(gateway, session, runId);
    expect([...names, asked?.kind]).toEqual([...names, kind]);
    expect([...names, (await asked?.answer(reply))?.trim()]).toEqual([...names, text.trim()]);
    for (const [name, read] of await readAll(gateway, chat)) expect([name, read.trim()]).toEqual([name, text.trim()]);
  }
});
