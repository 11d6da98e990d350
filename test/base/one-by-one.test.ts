// OneByOne: the order of tasks, also when one fails.
import { expect, it } from 'vitest';
import { OneByOne } from '../../src/base/one-by-one.ts';
import { turn } from '../support/wait-for.ts';

it('OneByOne runs the tasks of a key one after another, also after one that failed, and other keys meanwhile', async () => {
  const tasks = new OneByOne<string>();
  const seen: string[] = [];
  const ends: (() => void)[] = [];
  const run = async (key: string, name: string, isBroken = false): Promise<string> =>
    tasks.run(key, async (isFirst) => {
      seen.push(`${name} ${isFirst}`);
      await new Promise<void>((resolve) => ends.push(resolve));
      if (isBroken) throw new Error(name);
      return name;
    });
  const results = Promise.allSettled([run('a', 'one'), run('a', 'two', true), run('a', 'three'), run('b', 'other')]);
  expect(seen).toEqual(['one true', 'other true']);
  for (const expected of ['two false', 'three false', undefined]) {
    for (const end of ends.splice(0)) end();
    await turn();
    if (expected !== undefined) expect(seen.at(-1)).toBe(expected);
  }
  expect((await results).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  expect(seen).toHaveLength(4);
  const later = run('a', 'later');
  expect(seen.at(-1)).toBe('later true');
  for (const end of ends.splice(0)) end();
  expect(await later).toBe('later');
});
