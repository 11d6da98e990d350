// What coming back costs: a finished 5,000-token answer resumed from random places. Client-side times, one at a time.
//   npm run build:load && taskset -c 1 node dist-load/load/resume.js [tokens=5000] [tries=200]
import { withServer } from './server-process.ts';
import { post, quantile } from './sse-client.ts';

export interface ResumeFigures {
  readonly tokens: number;
  readonly eventsMax: number;
  readonly resumeP50Ms: number;
  readonly resumeP99Ms: number;
  readonly healthP50Ms: number;
  readonly cpuMsPerResume: number;
}

export async function resume(tokens: number, tries: number): Promise<ResumeFigures> {
  return withServer(async (server) => {
    const { port, token } = server;
    const headers = { authorization: `Bearer ${token}` };
    const events = async (session: string, after: string): Promise<string> =>
      (
        await fetch(`http://127.0.0.1:${port}/v1/sessions/${session}/events?until=idle&after=${after}`, { headers })
      ).text();
    await post({ port, token, path: '/v1/sessions/answer/messages' }, { content: `say ${tokens} at 2000/s` });
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
    const byTime = (values: number[]): number[] => values.sort((a, b) => a - b);
    return {
      tokens,
      eventsMax,
      resumeP50Ms: quantile(byTime(took), 0.5),
      resumeP99Ms: quantile(took, 0.99),
      healthP50Ms: quantile(byTime(health), 0.5),
      cpuMsPerResume,
    };
  });
}

if (import.meta.filename === process.argv[1]) {
  const [tokens = 5000, tries = 200] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await resume(tokens, tries), null, 2));
}
