// What coming back costs: a finished 5,000-token answer resumed from random places, and a prompt sent to a chat of
// 200 turns against one sent to a chat of two. Client-side times, one at a time, medians.
//   npm run build:load && taskset -c 1 node dist-load/load/resume.js [tokens=5000] [tries=200]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerProcess } from './server-process.ts';
import { post, quantile } from './sse-client.ts';

export interface ResumeFigures {
  readonly tokens: number;
  readonly eventsMax: number;
  readonly resumeP50Ms: number;
  readonly resumeP99Ms: number;
  readonly healthP50Ms: number;
  readonly cpuMsPerResume: number;
  readonly sendOnTurn2Ms: number;
  readonly sendOnTurn200Ms: number;
}

export async function resume(tokens: number, tries: number): Promise<ResumeFigures> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-load-'));
  const server = await ServerProcess.start('clock-server', [folder]);
  const { port, token } = server;
  const headers = { authorization: `Bearer ${token}` };
  const events = async (session: string, after: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${port}/v1/sessions/${session}/events?until=idle&after=${after}`, { headers })).text();
  const turn = async (session: string, content: string): Promise<number> => {
    const begun = performance.now();
    await post({ port, token, path: `/v1/sessions/${session}/messages` }, { content });
    const took = performance.now() - begun;
    await events(session, 'latest');
    return took;
  };
  try {
    await turn('answer', `say ${tokens} at 2000/s`);
    const all = await events('answer', 'earliest');
    const last = /id: ([^.]+)\.(\d+)\n(?![\s\S]*\nid: )/.exec(all);
    const [epoch = '', head = '0'] = last?.slice(1) ?? [];
    const took: number[] = [];
    let eventsMax = 0;
    const cpu = server.cpuMs();
    for (let i = 0; i < tries; i += 1) {
      const begun = performance.now();
      const rest = await events('answer', `${epoch}.${2 + Math.floor(Math.random() * (Number(head) - 3))}`);
      took.push(performance.now() - begun);
      eventsMax = Math.max(eventsMax, rest.split('\nid: ').length - 1);
    }
    const cpuMsPerResume = Number(((server.cpuMs() - cpu) / tries).toFixed(2));
    const health: number[] = [];
    for (let i = 0; i < tries; i += 1) {
      const begun = performance.now();
      await (await fetch(`http://127.0.0.1:${port}/healthz`)).text();
      health.push(performance.now() - begun);
    }
    const sends: number[] = [];
    for (let i = 0; i < 205; i += 1) sends.push(await turn('long', 'say 5 at 5000/s'));
    const byTime = (values: number[]): number[] => values.sort((a, b) => a - b);
    return {
      tokens,
      eventsMax,
      resumeP50Ms: quantile(byTime(took), 0.5),
      resumeP99Ms: quantile(took, 0.99),
      healthP50Ms: quantile(byTime(health), 0.5),
      cpuMsPerResume,
      sendOnTurn2Ms: quantile(byTime(sends.slice(1, 11)), 0.5),
      sendOnTurn200Ms: quantile(byTime(sends.slice(195, 205)), 0.5),
    };
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.filename === process.argv[1]) {
  const [tokens = 5000, tries = 200] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await resume(tokens, tries), null, 2));
}
