// A fail-over gives every chat another epoch, and it can come between any two reads of a command. A command that meets
// it is carried out or refused with a retryable error; it never answers as if the chat did not exist.
import { describe, expect, it } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { isBrokerError } from '../../src/broker/errors.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { Branches } from '../../src/session/branches.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { isSessionError } from '../../src/session/errors.ts';
import { Runs, type Prompt } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import { ManualClock } from '../support/manual-clock.ts';

const ALICE = { tenant: 'default', user: 'alice' };
const REF = { tenant: 'default', sessionId: 's1' };
const PROMPT: Prompt = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' };

interface Node {
  readonly sessions: Sessions;
  readonly runs: Runs;
  readonly branches: Branches;
}

function nodeOn(broker: BrokerEngine): Node {
  const clock = new ManualClock();
  let ids = 0;
  const newId = (): string => `id${(ids += 1)}`;
  const log = new CommandLog(broker, () => 0);
  return {
    sessions: new Sessions(broker, log, clock),
    runs: new Runs(broker, log, clock, newId),
    branches: new Branches(broker, log, clock, newId),
  };
}

/** Makes the chat in one epoch: a prompt whose run was stopped, and a prompt whose run is queued. */
async function lifeOf(epoch: string): Promise<MemoryBroker> {
  const broker = new MemoryBroker({ clock: new ManualClock(), newEpoch: () => epoch });
  const { runs } = nodeOn(broker);
  await runs.send(ALICE, REF, { ...PROMPT, messageId: 'm1' });
  await runs.cancel(ALICE, REF, undefined);
  await runs.send(ALICE, REF, { ...PROMPT, messageId: 'm2' });
  return broker;
}

/** A broker that serves the first `after` calls from the first epoch and the later ones from the second. */
function failingOver(
  first: MemoryBroker,
  second: MemoryBroker,
  after: number,
): { readonly broker: BrokerEngine; readonly hasBegunAnew: () => boolean } {
  let calls = 0;
  const broker = new Proxy(first, {
    get:
      (_target, name: keyof MemoryBroker) =>
      (...args: never[]) => {
        const life = (calls += 1) <= after ? first : second;
        return (life[name] as (...all: never[]) => unknown).apply(life, args);
      },
  });
  return { broker, hasBegunAnew: () => calls > after };
}

const admit = (_agent: string, model: string): string => model;
const asks: Record<string, (node: Node) => Promise<unknown>> = {
  describe: ({ sessions }) => sessions.describe(ALICE, REF),
  list: async ({ sessions }) => expect((await sessions.list(ALICE, 10, undefined)).sessions).toHaveLength(1),
  update: ({ sessions }) => sessions.update(ALICE, REF, { title: 'Trip' }),
  create: async ({ sessions }) => expect(await sessions.create(ALICE, REF, {})).toMatchObject({ created: false }),
  history: async ({ sessions }) => expect((await sessions.history(ALICE, REF, 10, undefined)).messages).toHaveLength(2),
  runs: async ({ sessions }) => expect((await sessions.runs(ALICE, REF, 10, undefined)).runs).toHaveLength(2),
  send: ({ runs }) => runs.send(ALICE, REF, { ...PROMPT, messageId: 'm3' }),
  replace: ({ runs }) => runs.send(ALICE, REF, { ...PROMPT, messageId: 'm3', replaces: 'm1' }),
  edit: ({ runs }) => runs.edit(ALICE, REF, 'm2', 'y', () => undefined),
  withdraw: ({ runs }) => runs.withdraw(ALICE, REF, 'm2'),
  cancel: ({ runs }) => runs.cancel(ALICE, REF, undefined),
  regenerate: ({ branches }) =>
    branches.regenerate(ALICE, REF, { messageId: 'm1', answerId: 'a2', priority: 'normal', onBusy: 'queue', admit }),
  select: ({ branches }) => branches.select(ALICE, REF, 'id1'),
  branches: async ({ branches }) => expect(await branches.list(ALICE, REF)).toHaveLength(1),
};

describe('a command during which the chat gets another epoch', () => {
  it.each(Object.keys(asks))('%s succeeds, or is refused as retryable and then succeeds', async (name) => {
    const ask = asks[name] ?? expect.unreachable();
    // Ends with the first `after` at which the whole command fits into the first epoch.
    for (let after = 0, isOver = false; !isOver; after += 1) {
      const { broker, hasBegunAnew } = failingOver(await lifeOf('e1'), await lifeOf('e2'), after);
      const node = nodeOn(broker);
      try {
        await ask(node);
      } catch (error) {
        expect(
          isBrokerError(error, 'epoch-changed') || isSessionError(error, 'contended'),
          `after ${after}: ${String(error)}`,
        ).toBe(true);
        await ask(node);
      }
      isOver = !hasBegunAnew();
    }
  });
});
