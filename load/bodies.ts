// How long one body of 4 MiB holds up the event loop of a server: the longest turn, in ms of the main thread's CPU with
// and without garbage collections, for a conversation over each wire, and for shapes that cost a parser much. Each body
// is sent some times, one request after another, by a process of its own. The first line is the server without bodies.
//   npm run build:load && taskset -c 1 node dist-load/load/bodies.js [requests=10]
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeRun, keepResults } from './results.ts';
import { CONVERSATIONS, SHAPES } from './scenarios/large-bodies.ts';
import { sendBodies } from './scenarios/sent-bodies.ts';
import { ServerProcess } from './server-process.ts';

const IDLE_MS = 2000;
const SECONDS_MOST = 120;

export interface BodyFigures {
  readonly body: string;
  readonly statuses: Readonly<Record<string, number>>;
  readonly longestTurnCpuMs: number;
  readonly longestTurnWithoutGcMs: number;
  readonly longestGcMs: number;
  readonly cpuMsPerBody: number;
}

export async function bodies(requests: number, only?: string): Promise<BodyFigures[]> {
  const secret = randomBytes(32).toString('hex');
  const folder = await mkdtemp(join(tmpdir(), 'holdline-load-'));
  const server = await ServerProcess.start('clock-server', [folder], {
    env: { LOAD_SECRET: secret, LOAD_TURNS: '1' },
  });
  const figures: BodyFigures[] = [];
  const measure = async (body: string, work: () => Promise<Readonly<Record<string, number>>>): Promise<void> => {
    if (only !== undefined && !body.includes(only)) return;
    await server.turns();
    const statuses = await work();
    const { cpuSeconds, longestTurnCpuMs, longestTurnWithoutGcMs, longestGcMs } = await server.turns();
    const sent = Object.values(statuses).reduce((sum, count) => sum + count, 0);
    const cpuMsPerBody = sent === 0 ? 0 : Number(((cpuSeconds * 1000) / sent).toFixed(1));
    figures.push({ body, statuses, longestTurnCpuMs, longestTurnWithoutGcMs, longestGcMs, cpuMsPerBody });
  };
  const send = (wire: string, shape?: string) => async (): Promise<Readonly<Record<string, number>>> => {
    const { statuses } = await sendBodies({
      port: server.port,
      secret,
      wire,
      shape,
      seconds: SECONDS_MOST,
      requests,
    });
    return statuses;
  };
  try {
    await measure('none', async () => {
      await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
      return {};
    });
    for (const wire of Object.keys(CONVERSATIONS)) await measure(`${wire}: conversation`, send(wire));
    for (const shape of Object.keys(SHAPES)) await measure(`ai-sdk: ${shape}`, send('ai-sdk', shape));
    return figures;
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.filename === process.argv[1]) {
  const [requests = '10', only] = process.argv.slice(2);
  const result = await bodies(Number(requests), only);
  console.table(result.map(({ statuses, ...rest }) => ({ ...rest, statuses: JSON.stringify(statuses) })));
  console.log(keepResults({ ...describeRun(), bodies: result }, '-bodies'));
}
