// Who pays for a request, as its topic's name tells it.
import { describe, expect, test } from 'vitest';
import { ownRef } from '../../src/session/session-ref.ts';
import { payerOf, requestTopic } from '../../src/session/topic-names.ts';
import { subagentSession } from '../../src/session/subagent-session.ts';

describe('payerOf', () => {
  test('is the tenant, whoever of its users asks and whichever agent answers', () => {
    const payers = [
      payerOf(requestTopic('a', { tenant: 'acme', sessionId: 's1' })),
      payerOf(requestTopic('b', ownRef({ tenant: 'acme', user: 'ann' }, 's1'))),
      payerOf(requestTopic('b', ownRef({ tenant: 'acme', user: 'bob' }, 's1'))),
    ];
    expect(payers).toEqual(['acme', 'acme', 'acme']);
  });

  test('is the user in the default tenant, if the name tells the user', () => {
    const of = (user: string, id: string): string =>
      payerOf(requestTopic('a', ownRef({ tenant: 'default', user }, id)));
    expect(of('ann', 's1')).toBe(of('ann', 's2'));
    expect(of('ann', 's1')).not.toBe(of('bob', 's1'));
    expect(payerOf(requestTopic('a', { tenant: 'default', sessionId: 's1' }))).toBe('default');
  });

  test('is the same for a subagent session as for the session that asks', () => {
    const ref = ownRef({ tenant: 'default', user: 'ann' }, 's1');
    expect(payerOf(requestTopic('b', subagentSession({ ...ref, runId: 'r1' }, 'k')))).toBe(
      payerOf(requestTopic('a', ref)),
    );
  });
});
