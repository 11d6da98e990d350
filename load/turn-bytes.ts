// The bytes that one turn adds to a chat's log beside its text: a prompt of one character that is withdrawn, in a chat
// with many earlier messages, alone and behind a full queue. They are the command states that the records carry.
//   npm run build:load && node dist-load/load/turn-bytes.js
import { randomId, systemRandom } from '../src/base/random.ts';
import { systemClock } from '../src/base/clock.ts';
import { MemoryBroker } from '../src/broker/memory/memory-broker.ts';
import { CommandLog } from '../src/session/commands/command-log.ts';
import { SESSION_RUNS_MAX } from '../src/session/commands/command-state.ts';
import { Runs } from '../src/session/runs.ts';
import { chatTopic } from '../src/session/topic-names.ts';

const REF = { tenant: 'default', sessionId: 'turns' };
const YOU = { tenant: 'default', user: 'you' };
const PROMPT = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
/** Enough for every list of the command state to be full. */
const WARM_UP = 100;
const TURNS = 72;

const broker = new MemoryBroker({ clock: systemClock, newEpoch: randomId });
const runs = new Runs(broker, new CommandLog(broker, systemRandom), systemClock, randomId);

async function turn(): Promise<void> {
  const { messageId } = await runs.send(YOU, REF, PROMPT);
  await runs.withdraw(YOU, REF, messageId);
}

async function bytesATurn(): Promise<number> {
  const bytes = async (): Promise<number> => (await broker.describe([chatTopic(REF)]))[0]?.bytes ?? 0;
  const before = await bytes();
  for (let i = 0; i < TURNS; i++) await turn();
  return Math.round(((await bytes()) - before) / TURNS);
}

for (let i = 0; i < WARM_UP; i++) await turn();
const alone = await bytesATurn();
for (let i = 0; i < SESSION_RUNS_MAX - 1; i++) await runs.send(YOU, REF, PROMPT);
console.log(JSON.stringify({ bytesATurn: alone, bytesATurnBehindAFullQueue: await bytesATurn() }));
await broker.close();
