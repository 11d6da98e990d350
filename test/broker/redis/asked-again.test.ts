// With `replicated:1`, a fail-over may take back a write that no replica has. A command that is sent again is
// acknowledged only when a replica has its first write, because the server that answers may no longer be the master.
import { expect, onTestFinished, test, vi } from 'vitest';
import { isBrokerError } from '../../../src/broker/errors.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { CommandLog } from '../../../src/session/commands/command-log.ts';
import { Runs, type Prompt } from '../../../src/session/runs.ts';
import { Sessions } from '../../../src/session/sessions.ts';
import { eventually } from '../../support/wait-for.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { timeLimit } from '../../support/slowness.ts';
import { RedisStore } from './redis-store.ts';

// Each command waits for the replica for as long as a connection may.
vi.setConfig({ testTimeout: timeLimit(60_000) });

const ALICE = { tenant: 'default', user: 'alice' };
const PROMPT: Prompt = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' };
const MESSAGE = { ...PROMPT, messageId: 'm' };

test('a command that is sent again is acknowledged when a replica has the first try’s write, and not before', async () => {
  const master = await RedisServer.start();
  onTestFinished(() => master.close());
  const replica = await RedisServer.start({ replicaOf: master });
  onTestFinished(() => replica.close());
  const store = new RedisStore(master);
  const broker = await store.open({ promise: { replicated: 1 } });
  const log = new CommandLog(broker, () => 0);
  let ids = 0;
  const runs = new Runs(broker, log, systemClock, () => `id${(ids += 1)}`);
  const sessions = new Sessions(broker, log, systemClock);
  const chat = (sessionId: string): { tenant: string; sessionId: string } => ({ tenant: 'default', sessionId });

  const { runId } = await runs.send(ALICE, chat('stopped'), MESSAGE);
  for (const id of ['sent', 'withdrawn', 'removed']) await runs.send(ALICE, chat(id), MESSAGE);
  const commands: Readonly<Record<string, () => Promise<unknown>>> = {
    send: () => runs.send(ALICE, chat('sent'), { ...MESSAGE, messageId: 'second' }),
    stop: () => runs.cancel(ALICE, chat('stopped'), runId),
    withdraw: () => runs.withdraw(ALICE, chat('withdrawn'), 'm'),
    remove: () => sessions.remove(ALICE, chat('removed')),
  };
  const ask = async (): Promise<string[]> =>
    Promise.all(
      Object.entries(commands).map(async ([name, command]) => `${name} ${await command().then(() => 'done', codeOf)}`),
    );
  const nobodyKnows = Object.keys(commands).map((name) => `${name} unavailable`);

  replica.freeze();
  expect(await ask()).toEqual(nobodyKnows);
  expect(await ask()).toEqual(nobodyKnows);
  // This also holds over a connection that has written nothing.
  await store.raw().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await eventually(() => broker.health().state === 'unavailable');
  await eventually(() => broker.health().state === 'ready');
  expect(await ask()).toEqual(nobodyKnows);
  replica.thaw();
  let answers = nobodyKnows;
  await eventually(async () => {
    answers = await ask();
    return !answers.some((answer) => answer.endsWith('unavailable'));
  });
  // A removal writes twice, so its first try may have ended before the chat did.
  const [last = '', ...others] = answers.toReversed();
  expect(others.toReversed()).toEqual(['send done', 'stop no-active-run', 'withdraw not-waiting']);
  expect(['remove done', 'remove not-found']).toContain(last);
  await expect(sessions.describe(ALICE, chat('removed'))).rejects.toMatchObject({ code: 'not-found' });
});

function codeOf(error: unknown): string {
  return isBrokerError(error) ? error.code : (error as { code: string }).code;
}
