// What a long chat costs: sending the next prompt, the newest page of history, and resuming before the last answer, each
// in a chat of 200 turns and, in turn with it, in chats of two. Client-side times, one at a time, medians.
//   npm run build:load && taskset -c 1 node dist-load/load/turns.js [turns=200] [tries=30]
import { withServer } from './server-process.ts';
import { post, quantile } from './sse-client.ts';

/** Two turns of messages: what the newest page of the shortest chat holds. */
const PAGE = 4;

interface Cost {
  readonly onTurn2: number;
  readonly onTurn200: number;
}

export interface TurnFigures {
  readonly turns: number;
  readonly sendMs: Cost;
  readonly pageMs: Cost;
  readonly resumeMs: Cost;
}

export async function turns(count: number, tries: number): Promise<TurnFigures> {
  return withServer(async ({ port, token }) => {
    const get = async (path: string): Promise<string> =>
      (
        await fetch(`http://127.0.0.1:${port}/v1/sessions/${path}`, { headers: { authorization: `Bearer ${token}` } })
      ).text();
    const send = (session: string): Promise<unknown> =>
      post({ port, token, path: `/v1/sessions/${session}/messages` }, { content: 'say 5 at 5000/s' });
    const answered = async (session: string): Promise<string> => get(`${session}/events?until=idle&after=latest`);
    for (let i = 1; i < count; i += 1) {
      await send('long');
      await answered('long');
    }
    const shorts = Array.from({ length: tries }, (_, i) => `short${i}`);
    for (const short of shorts) {
      await send(short);
      await answered(short);
    }
    const sendMs = await compare(shorts, send, answered);
    const pageMs = await compare(shorts, (session) => get(`${session}/messages?limit=${PAGE}`));
    const before = new Map<string, string>();
    for (const session of ['long', ...shorts])
      before.set(session, lastPrompt(await get(`${session}/events?until=idle`)));
    const resumeMs = await compare(shorts, (session) =>
      get(`${session}/events?until=idle&after=${before.get(session) ?? ''}`),
    );
    return { turns: count, sendMs, pageMs, resumeMs };
  });
}

/** The long chat after each short one, so that both meet the same moments of the machine. */
async function compare(
  shorts: readonly string[],
  action: (session: string) => Promise<unknown>,
  after?: (session: string) => Promise<unknown>,
): Promise<Cost> {
  const onTurn2: number[] = [];
  const onTurn200: number[] = [];
  for (const short of shorts) {
    for (const [session, took] of [
      [short, onTurn2],
      ['long', onTurn200],
    ] as const) {
      const begun = performance.now();
      await action(session);
      took.push(performance.now() - begun);
      await after?.(session);
    }
  }
  return { onTurn2: median(onTurn2), onTurn200: median(onTurn200) };
}

function median(values: number[]): number {
  return quantile(
    values.sort((a, b) => a - b),
    0.5,
  );
}

/** The position of the last `message.created` of a stream. */
function lastPrompt(stream: string): string {
  return [...stream.matchAll(/id: (\S+)\nevent: message\.created\n/g)].at(-1)?.[1] ?? 'earliest';
}

if (import.meta.filename === process.argv[1]) {
  const [count = 200, tries = 30] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await turns(count, tries), null, 2));
}
