// When the index gets another copy, and when segments wait for it.
import { expect, it } from 'vitest';
import { BrokerError } from '../../../src/broker/errors.ts';
import { IndexCopies, type CopyParts } from '../../../src/broker/log/checkpoint/index-copies.ts';
import { turn } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { SystemError } from './faulty-files.ts';

const TEN_MINUTES = 10 * 60 * 1000;

interface Rig {
  readonly copies: IndexCopies;
  readonly clock: ManualClock;
  readonly acts: string[];
  readonly warnings: string[];
  readonly checkpoints: () => number;
  readonly index: { isDamaged: boolean; error: Error | undefined; slices: number; damage: string | undefined };
  readonly copy: { isCurrent: boolean; isDue: boolean; lost: string | undefined };
  readonly reserve: { isWhole: boolean };
}

/** A copy takes `slices` slices. */
function rig(changes: Partial<CopyParts> = {}): Rig {
  const [clock, acts, warnings]: [ManualClock, string[], string[]] = [new ManualClock(), [], []];
  const copy = { isCurrent: false, isDue: true, lost: undefined as string | undefined };
  const state: Rig['index'] = { isDamaged: false, error: undefined, slices: 1, damage: undefined };
  const index: CopyParts['index'] = {
    copy,
    get isDamaged() {
      return state.isDamaged;
    },
    noteDamage: (what) => {
      state.isDamaged = true;
      acts.push(`damage ${what}`);
    },
    onCopy: (act) => {
      acts.push(act);
      if (act === 'drop') return Promise.resolve(true);
      if (state.error !== undefined) return Promise.reject(state.error);
      state.slices -= 1;
      if (state.slices === 0) [copy.isCurrent, copy.isDue] = [true, false];
      return Promise.resolve(state.slices === 0);
    },
  };
  const reserve = { isWhole: true };
  let checkpoints = 0;
  const copies = new IndexCopies({
    ...{ clock, limits: { copyBytesPerSecond: 256 * 1024 }, index, reserve, isDamaged: false },
    ...{ check: () => Promise.resolve(state.damage), onWarning: (text) => warnings.push(text) },
    ...changes,
  });
  const start = copies.start.bind(copies);
  copies.start = () => start(() => (checkpoints += 1));
  return { copies, clock, acts, warnings, checkpoints: () => checkpoints, index: state, copy, reserve };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await turn();
}

it('segments wait until a copy is whole, and then a checkpoint follows', async () => {
  const { copies, clock, acts, checkpoints, index } = rig();
  index.slices = 3;
  expect(await copies.mayRemove(true)).toBe(false);
  expect(acts).toEqual([]);
  copies.start(() => undefined);
  await turns();
  expect(await copies.mayRemove(true)).toBe(false);
  expect(await copies.mayRemove(false)).toBe(true);
  expect(acts).toEqual(['slice']);
  for (let slice = 0; slice < 2; slice += 1) {
    expect(checkpoints()).toBe(0);
    await clock.advance(1000);
    await turns();
  }
  expect([acts, checkpoints()]).toEqual([['slice', 'slice', 'slice'], 1]);
  expect(await copies.mayRemove(true)).toBe(true);
  await copies.stop();
});

it('segments do not wait while a copy that is current becomes too large', async () => {
  const { copies, copy, acts, checkpoints } = rig();
  copy.isCurrent = true;
  copies.start(() => undefined);
  expect(await copies.mayRemove(true)).toBe(true);
  await turns();
  expect([acts, checkpoints()]).toEqual([['slice'], 0]);
});

it('without room for a copy segments are removed all the same, one warning says so, and the copy is tried again later', async () => {
  const { copies, clock, acts, warnings, checkpoints, index } = rig();
  index.error = new SystemError('ENOSPC');
  copies.start(() => undefined);
  expect(await copies.mayRemove(true)).toBe(false);
  await turns();
  expect(checkpoints()).toBe(1);
  expect(await copies.mayRemove(true)).toBe(true);
  expect(await copies.mayRemove(true)).toBe(true);
  expect(acts).toEqual(['slice', 'drop', 'drop']);
  expect(warnings).toEqual([
    expect.stringMatching(/^the index has no copy .*\(the device has no room for a copy of it\)/),
  ]);
  index.error = undefined;
  await clock.advance(TEN_MINUTES);
  expect(await copies.mayRemove(true)).toBe(false);
  await turns();
  expect(await copies.mayRemove(true)).toBe(true);
  expect(acts.at(-1)).toBe('slice');
});

it('no copy is begun on a full device, of an index with damage, or when a check of its pages finds some', async () => {
  for (const spoil of [
    (one: Rig) => (one.reserve.isWhole = false),
    (one: Rig) => (one.index.isDamaged = true),
    (one: Rig) => (one.index.damage = 'page 7'),
  ]) {
    const one = rig();
    spoil(one);
    one.copies.start(() => undefined);
    await turns();
    expect(await one.copies.mayRemove(true)).toBe(true);
    expect(one.acts.filter((act) => act === 'slice')).toEqual([]);
    expect(one.acts.at(-1)).toBe('drop');
  }
  const { copies, acts } = rig({ isDamaged: true });
  copies.start(() => undefined);
  expect([await copies.mayRemove(true), acts]).toEqual([true, ['drop']]);
});

it('a process that was replaced writes no copy and warns of nothing', async () => {
  const { copies, warnings, index } = rig();
  index.error = new BrokerError('failed', 'another process has taken over');
  copies.start(() => undefined);
  await turns();
  expect(warnings).toEqual([]);
});

it('an end does not wait for the next slice', async () => {
  const { copies, acts, index } = rig();
  index.slices = 9;
  copies.start(() => undefined);
  await turns();
  await copies.stop();
  expect(acts).toEqual(['slice']);
});

it('segments wait for no copy that is not being written when the engine starts', async () => {
  const { copies, acts, checkpoints, reserve } = rig();
  reserve.isWhole = false;
  expect(await copies.mayRemove(true)).toBe(false);
  copies.start(() => undefined);
  expect(checkpoints()).toBe(1);
  expect([await copies.mayRemove(true), acts]).toEqual([true, ['drop']]);
});

it('an end does not wait for the check of the pages', async () => {
  const check = (signal: AbortSignal): Promise<string | undefined> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(new BrokerError('failed', 'ended'))));
  const { copies, acts, warnings } = rig({ check });
  copies.start(() => undefined);
  await copies.stop();
  expect([acts, warnings]).toEqual([[], []]);
});

it('a check of the pages that did not come to its end is warned of, and repeated later', async () => {
  const check = (): Promise<string | undefined> => Promise.reject(new BrokerError('failed', 'ended by SIGKILL'));
  const { copies, clock, acts, warnings } = rig({ check });
  copies.start(() => undefined);
  await turns();
  expect(warnings).toEqual([expect.stringContaining('ended by SIGKILL')]);
  expect([await copies.mayRemove(true), acts]).toEqual([true, ['drop']]);
  await clock.advance(TEN_MINUTES);
  expect(await copies.mayRemove(true)).toBe(false);
  await turns();
  expect(warnings.length).toBe(1);
});
