// The flow of a request, as its topic's name tells it.
import { describe, expect, test } from 'vitest';
import { ownRef, userDigest } from '../../src/session/session-ref.ts';
import { flowOf, requestTopic } from '../../src/session/topic-names.ts';
import { subagentSession } from '../../src/session/subagent-session.ts';

const ANN = userDigest('ann');

describe('flowOf', () => {
  test('is the tenant, the user and the session, whichever agent answers', () => {
    const ann = ownRef({ tenant: 'acme', user: 'ann' }, 's1');
    expect(flowOf(requestTopic('a', ann))).toBe(`acme/${ANN}/s1`);
    expect(flowOf(requestTopic('b', ann))).toBe(`acme/${ANN}/s1`);
    expect(flowOf(requestTopic('a', ownRef({ tenant: 'default', user: 'ann' }, 's1')))).toBe(`default/${ANN}/s1`);
  });

  test('has no user where the name does not tell the user', () => {
    expect(flowOf(requestTopic('a', { tenant: 'acme', sessionId: 's1' }))).toBe('acme//s1');
    expect(flowOf(requestTopic('a', { tenant: 'default', sessionId: 's1' }))).toBe('default//s1');
  });

  test('is for an ask the flow of the session of the user, at each depth', () => {
    const ref = ownRef({ tenant: 'default', user: 'ann' }, 's1');
    const ask = subagentSession({ ...ref, runId: 'r1' }, 'k');
    expect(flowOf(requestTopic('b', ask))).toBe(flowOf(requestTopic('a', ref)));
    expect(flowOf(requestTopic('b', subagentSession({ ...ask, runId: 'r2' }, 'k')))).toBe(
      flowOf(requestTopic('a', ref)),
    );
  });
});
