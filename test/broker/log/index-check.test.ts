// What the end of the process that checks an index says of the index.
import { expect, it } from 'vitest';
import { checkIndex, damageIn } from '../../../src/broker/log/read/index-check.ts';
import { temporaryFolder } from './opened-log.ts';

it('is damage if the process said so, or a fault of native code ended it', () => {
  expect(damageIn({ said: {}, code: null, signal: 'SIGKILL' })).toBeUndefined();
  expect(damageIn({ said: { damage: 'page 7' }, code: null, signal: 'SIGKILL' })).toBe('page 7');
  for (const signal of ['SIGSEGV', 'SIGBUS', 'SIGABRT'])
    expect(damageIn({ said: undefined, code: null, signal })).toBe(`a read of its pages ended with ${signal}`);
});

it('is no damage if the process was ended from outside, as by Ctrl-C or for lack of memory', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'])
    expect(damageIn({ said: undefined, code: null, signal })).toMatchObject({
      message: `failed: the check of the index was ended by ${signal}`,
    });
  expect(damageIn({ said: undefined, code: 1, signal: null })).toMatchObject({ code: 'failed' });
});

it('has an end when it is no longer wanted', async () => {
  const stopping = new AbortController();
  const done = checkIndex(await temporaryFolder(), { forgetDeadReaders: () => undefined }, stopping.signal);
  stopping.abort();
  await expect(done).rejects.toThrow('the check of the index was ended by SIGKILL');
});
