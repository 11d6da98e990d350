// Idle connections: half SSE, half WebSocket, each on a chat of its own, on one process. Gives the server's resident
// memory per connection, beyond what it had before, and its CPU while they idle with heartbeats.
//   npm run build:load && taskset -c 1 node dist-load/load/idle.js [connections=10000] [seconds=30]
import { WebSocket } from 'ws';
import { withServer, type ServerProcess } from './server-process.ts';
import { newStats, post, SseClient } from './sse-client.ts';

const OPENING = 100;

export interface IdleFigures {
  readonly wire: 'sse' | 'ws';
  readonly connections: number;
  readonly kbPerConnection: number;
  readonly cpuPercent: number;
  readonly violations: number;
}

export async function idle(wire: 'sse' | 'ws', count: number, seconds: number): Promise<IdleFigures> {
  const stats = newStats();
  return withServer(async (server) => {
    const { port, token } = server;
    for (let i = 0; i < count; i += OPENING) {
      await Promise.all(
        Array.from({ length: OPENING }, (_, k) =>
          post({ port, token, path: '/v1/sessions' }, { sessionId: `s${i + k}` }),
        ),
      );
    }
    const before = server.residentKb();
    const closers: (() => void)[] = [];
    for (let i = 0; i < count; i += OPENING) {
      closers.push(
        ...(await Promise.all(Array.from({ length: OPENING }, (_, k) => open(wire, server, `s${i + k}`, stats)))),
      );
    }
    const cpu = server.cpuMs();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const used = server.cpuMs() - cpu;
    const kb = (server.residentKb() - before) / count;
    for (const close of closers) close();
    return {
      wire,
      connections: count,
      kbPerConnection: Number(kb.toFixed(1)),
      cpuPercent: Number((used / (seconds * 10)).toFixed(1)),
      violations: stats.violations,
    };
  });
}

async function open(
  wire: 'sse' | 'ws',
  { port, token }: ServerProcess,
  session: string,
  stats: ReturnType<typeof newStats>,
): Promise<() => void> {
  if (wire === 'sse') {
    const client = new SseClient({ port, token, path: `/v1/sessions/${session}/events` }, stats);
    await client.opened;
    return () => client.close();
  }
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/ws`, {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
  });
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  socket.on('close', () => stats.violations++);
  const live = new Promise<void>((resolve) => {
    socket.on('message', (data: Buffer) => {
      if (data.includes('"live"')) resolve();
    });
  });
  socket.send(JSON.stringify({ type: 'subscribe', sessionId: session }));
  await live;
  return () => {
    socket.removeAllListeners('close');
    socket.terminate();
  };
}

if (import.meta.filename === process.argv[1]) {
  const [count = 10_000, seconds = 30] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify([await idle('sse', count, seconds), await idle('ws', count, seconds)], null, 2));
}
