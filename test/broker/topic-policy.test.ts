// Which policy is in force for a topic, and what it makes of a TTL.
import { describe, expect, it } from 'vitest';
import { lifeOf, topicPolicies, ttlOf } from '../../src/broker/topic-policy.ts';

describe('the policies of topics', () => {
  it('apply by the longest pattern, as a whole', () => {
    const policyOf = topicPolicies(
      new Map([
        ['chat/*', { ttl: { ms: 1, hardMax: 9 } }],
        ['chat/acme:*', { ttl: { ms: 2 } }],
        ['chat/acme-two:*', { ttl: { ms: 3 } }],
      ]),
    );
    expect(policyOf('chat/acme:d:s')).toEqual({ ttl: { ms: 2 } });
    expect(policyOf('chat/acme-two:s')).toEqual({ ttl: { ms: 3 } });
    expect(policyOf('chat/acme')).toEqual({ ttl: { ms: 1, hardMax: 9 } });
    expect(policyOf('response/acme:s')).toEqual({});
  });

  it.each([
    ['no policy', {}, undefined, 50],
    ['no policy', {}, 5, 5],
    ['a TTL of its own', { ms: 7 }, undefined, 7],
    ['a TTL of its own, and a request', { ms: 7 }, 5, 5],
    ['a floor', { min: 10 }, 5, 10],
    ['a ceiling below the default', { max: 20 }, undefined, 20],
    ['a ceiling', { max: 20 }, 30, 20],
  ])('with %s (%j) make of a requested TTL of %s one of %i', (_, ttl, requestedMs, expected) => {
    expect(ttlOf({ ttl }, requestedMs, 50)).toBe(expected);
  });

  it('give the write that makes a topic the mode and the hard maximum', () => {
    expect(lifeOf({})).toEqual({});
    expect(lifeOf({ ttl: { mode: 'reader', hardMax: 9 } })).toEqual({ ttlMode: 'reader', hardMaxMs: 9 });
  });
});
