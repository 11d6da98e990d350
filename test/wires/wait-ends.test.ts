// How waits end, across the wires, each with its real client: answered twice at once on two nodes, expired, stopped.
import { describe, expect, it } from 'vitest';
import { answers, WAITS, type Asked, type Reply, type WireOfWaits } from './matrix-waits.ts';
import { MATRIX, native, startGateway, type Gateway, type Watching } from './matrix-wires.ts';
import { ask, clockOfToday, eventsOf, finish, readAll, STAYS_OPEN } from './waiting-runs.ts';

const watches = MATRIX.filter((wire) => wire.watch !== undefined);
const stops = MATRIX.filter((wire) => wire.stop !== undefined);

/** Before the tokens of the clients expire. */
const EXPIRES_IN_MS = 600_000;

/** Two nodes of one system. */
async function startNodes(): Promise<readonly [Gateway, Gateway]> {
  const clock = clockOfToday();
  const first = await startGateway({ clock });
  return [first, await startGateway({ clock, broker: first.h.broker })];
}

/** Each wire against the next one, and against itself. */
const PAIRS = WAITS.flatMap((wire, i) => [
  { first: wire, second: WAITS[(i + 1) % WAITS.length] ?? wire },
  { first: wire, second: wire },
]).map(({ first, second }) => ({ first, second, a: first.name, b: second.name }));

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : '');

/** How a refused answer says so; undefined for one that is taken. */
async function refusalOf(answer: Promise<unknown>): Promise<string | undefined> {
  return answer.then(() => undefined, messageOf);
}

/** The index of the answer that is refused first, and its refusal. Fails where none is refused. */
async function firstRefused(answers: readonly Promise<unknown>[]): Promise<readonly [number, string]> {
  return Promise.any(
    answers.map(async (answer, i) => {
      const refusal = await refusalOf(answer);
      if (refusal === undefined) throw new Error('it is taken');
      return [i, refusal] as const;
    }),
  );
}

describe('two clients that answer at once on two nodes, otherwise than each other', () => {
  it.each(PAIRS)('over $a and $b: one answer counts, and the others learn so', async ({ first, second }) => {
    const [a, b] = await startNodes();
    const isApproval = [first, second].every((wire) => answers(wire, 'approval'));
    const [yes, no]: readonly [Reply, Reply] = isApproval ? [true, false] : ['large', 'small'];
    const waiting = await ask(a, native, 'twice', isApproval ? 'approval' : 'question');
    const [one, other, late] = await Promise.all([
      first.open(a, 'twice', waiting.runId),
      second.open(b, 'twice', waiting.runId),
      second.open(b, 'twice', waiting.runId),
    ]);
    const given = [one.answer(yes), other.answer(no)];
    const [loser, refusal] = await firstRefused(given);
    expect(refusal).toMatch([first, second][loser]?.taken ?? /^$/);
    const wins = loser === 1;
    expect(await refusalOf(late.answer(wins ? no : yes))).toMatch(second.taken);
    const winner = given[1 - loser];
    await finish(a, waiting, winner);
    expect(await winner).toBe('one two');
    const events = await eventsOf(b, 'twice');
    expect(events.filter(({ type }) => type === 'input.answered')).toMatchObject([
      isApproval ? { approved: wins } : { value: wins ? yes : no },
    ]);
    expect(
      events.map(({ type }) => type).filter((type) => /^run\.(?:resumed|completed|restarted)$/.test(type)),
    ).toEqual(['run.resumed', 'run.completed']);
  });
});

interface Viewer {
  readonly name: string;
  readonly watching: Watching;
}

/** A run that waits, with a viewer over every wire that streams, and a client over every wire that answers. */
async function watched(gateway: Gateway, onExpiry?: 'fail') {
  const viewers: Viewer[] = [];
  const waiting = await ask(gateway, native, 'watched', 'question', {
    expiresInMs: EXPIRES_IN_MS,
    ...(onExpiry === undefined ? {} : { onExpiry }),
    before: async (session, runId) => {
      for (const { name, watch } of watches)
        if (watch !== undefined) viewers.push({ name, watching: await watch(gateway, session, runId) });
    },
  });
  const clients: { wire: WireOfWaits; asked: Asked }[] = [];
  for (const wire of WAITS) clients.push({ wire, asked: await wire.open(gateway, 'watched', waiting.runId) });
  // The streams of these wires end where the wait begins.
  for (const { name, watching } of viewers) if (!STAYS_OPEN.includes(name)) await watching.ended;
  return {
    waiting,
    /** What every viewer has, once the streams that stay open have ended. */
    seen: async () => {
      for (const { watching } of viewers) await watching.ended;
      return viewers.map(({ name, watching }) => [name, watching.text()]);
    },
    /** No client can answer any more, and each says so. */
    expectLate: async () => {
      for (const { wire, asked } of clients) {
        const refusal = await refusalOf(asked.answer('large'));
        expect([wire.name, refusal]).toEqual([wire.name, expect.stringMatching(wire.late)]);
      }
    },
  };
}

const seeing = (whole: string): [string, string][] =>
  watches.map(({ name }) => [name, STAYS_OPEN.includes(name) ? whole : 'one ']);

describe('a wait whose time is over', () => {
  it('goes on for the viewers whose streams stay open, is whole on every wire, and takes no answer', async () => {
    const gateway = await startGateway({ clock: clockOfToday() });
    const { waiting, seen, expectLate } = await watched(gateway);
    await gateway.h.clock.advance(EXPIRES_IN_MS + 1000);
    await finish(gateway, waiting);
    expect(await seen()).toEqual(seeing('one two'));
    for (const [name, text] of await readAll(gateway, waiting)) expect([name, text]).toEqual([name, 'one two']);
    await expectLate();
    const closed = (await eventsOf(gateway, 'watched')).filter(({ type }) => type === 'input.closed');
    expect(closed).toMatchObject([{ reason: 'expired' }]);
  });

  it('fails for every viewer where the agent said so, with the text so far', async () => {
    const gateway = await startGateway({ clock: clockOfToday() });
    const { seen, expectLate } = await watched(gateway, 'fail');
    await gateway.h.clock.advance(EXPIRES_IN_MS + 1000);
    expect(await seen()).toEqual(seeing('one '));
    const failed = (await eventsOf(gateway, 'watched')).filter(({ type }) => type === 'run.failed');
    expect(failed).toMatchObject([{ error: { code: 'input-expired' } }]);
    await expectLate();
  });
});

describe.each(stops)('Stop over $name while a run waits', (stop) => {
  it('ends it at once for the viewers on every wire, and takes no answer', async () => {
    const gateway = await startGateway({ clock: clockOfToday() });
    const { waiting, seen, expectLate } = await watched(gateway);
    await stop.stop?.(gateway, 'watched', waiting.runId);
    // No worker has it: the request itself has ended it.
    const last = (await eventsOf(gateway, 'watched')).slice(-2);
    expect(last).toMatchObject([
      { type: 'input.closed', reason: 'cancelled' },
      { type: 'run.cancelled', by: 'ann' },
    ]);
    expect(await seen()).toEqual(seeing('one '));
    await expectLate();
  });
});
