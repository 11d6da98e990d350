// A crowd in a process of its own: each process has a limit of open sockets. Its parent sends the plan, and then what
// it should do.
import { seededRandom } from '../../test/process/seeded-random.ts';
import { Crowd, type CrowdPlan, type CrowdFigures } from './crowd.ts';

export type ToCrowd =
  | { readonly do: 'open'; readonly plan: CrowdPlan }
  | { readonly do: 'talk' }
  | { readonly do: 'hit'; readonly what: string }
  | { readonly do: 'settle' };

export type FromCrowd =
  | { readonly is: 'open' }
  | { readonly is: 'status'; readonly connected: number; readonly refused: number; readonly prompts: number }
  | { readonly is: 'settled'; readonly figures: CrowdFigures };

const STATUS_MS = 250;
let crowd: Crowd | undefined;

process.on('message', (message: ToCrowd) => void take(message));
process.once('disconnect', () => process.exit());

async function take(message: ToCrowd): Promise<void> {
  if (message.do === 'open') {
    crowd = new Crowd(message.plan, seededRandom(message.plan.name));
    setInterval(report, STATUS_MS);
    await crowd.open();
    say({ is: 'open' });
  } else if (message.do === 'talk') crowd?.talk();
  else if (message.do === 'hit') crowd?.hit(message.what);
  else if (crowd !== undefined) say({ is: 'settled', figures: await crowd.settle() });
}

function report(): void {
  if (crowd === undefined) return;
  const { connected, refused, prompts } = crowd;
  say({ is: 'status', connected, refused, prompts });
}

function say(message: FromCrowd): void {
  process.send?.(message);
}
