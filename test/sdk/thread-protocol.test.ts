// Errors in the messages between a worker and a thread: every value that code can throw must arrive, because a run
// whose end cannot be sent never ends.
import { describe, expect, it } from 'vitest';
import { AgentError } from '../../src/worker/agent-error.ts';
import { decodeError, encodeError } from '../../src/sdk/threads/thread-protocol.ts';

const circular: { self?: unknown } = {};
circular.self = circular;

describe('encodeError', () => {
  it.each([
    ['undefined', undefined, 'an agent threw a undefined'],
    ['null', null, 'an agent threw a object'],
    ['a string', 'secret', 'an agent threw a string'],
    ['an error with a circular cause', new Error('why', { cause: circular }), 'why'],
    ['an error with a cause that JSON cannot represent', new Error('why', { cause: { count: 1n } }), 'why'],
    ['an error whose name is a function', Object.assign(new Error('why'), { name: () => 'x' }), 'why'],
    ['an error whose stack is a symbol', Object.assign(new Error('why'), { stack: Symbol('s') }), 'why'],
  ])('encodes %s as a message that a thread can send', (_what, thrown, message) => {
    const arrived = decodeError(structuredClone(encodeError(thrown)));
    expect(arrived).toBeInstanceOf(Error);
    expect(arrived.message).toBe(message);
  });

  it('keeps the code, the retryable flag and the cause of an AgentError', () => {
    const thrown = new AgentError('ask-failed', 'it failed', { retryable: true, cause: { code: 'x' } });
    expect(decodeError(structuredClone(encodeError(thrown)))).toMatchObject({
      code: 'ask-failed',
      message: 'it failed',
      retryable: true,
      cause: { code: 'x' },
    });
  });
});
