// The map of errors: every code of every layer has a row, and each row agrees with the protocol.
import { expect, it } from 'vitest';
import { BrokerError, type BrokerErrorCode } from '../../src/broker/errors.ts';
import { ERROR_CODES, mapError } from '../../src/gateway/error-map.ts';
import { GatewayError, type GatewayErrorCode } from '../../src/gateway/gateway-error.ts';
import { SessionError, type SessionErrorCode } from '../../src/session/errors.ts';

it.each<[BrokerErrorCode, number, boolean, number | undefined]>([
  ['disk-full', 507, true, 30_000],
  ['overloaded', 503, true, 2_000],
  ['conflict', 409, true, undefined],
  ['epoch-changed', 409, true, undefined],
  ['too-large', 413, false, undefined],
  ['unavailable', 503, true, 2_000],
  ['failed', 503, true, 10_000],
  ['closed', 503, true, 1_000],
  ['invalid-topic', 400, false, undefined],
])('of the log, %s is %i', (code, status, retryable, retryAfterMs) => {
  const mapped = mapError(new BrokerError(code, 'inner words'));
  expect([mapped.status, mapped.error.code, mapped.error.retryable, mapped.retryAfterMs]).toEqual([
    status,
    code,
    retryable,
    retryAfterMs,
  ]);
  expect(mapped.error.message).not.toContain('inner');
});

it.each<BrokerErrorCode>(['locked', 'invalid-config', 'invalid-append', 'out-of-sequence'])(
  'of the log, %s is nobody’s business',
  (code) => {
    const mapped = mapError(new BrokerError(code, 'inner words'));
    expect([mapped.status, mapped.error.code, mapped.isDefect]).toEqual([500, 'internal', true]);
  },
);

it.each<[SessionErrorCode, number]>([
  ['not-found', 404],
  ['message-conflict', 409],
  ['busy', 409],
  ['no-active-run', 409],
  ['cursor-conflict', 409],
  ['queue-full', 429],
  ['too-many-runs', 429],
  ['contended', 503],
])('of a session, %s is %i', (code, status) => {
  const mapped = mapError(new SessionError(code));
  expect([mapped.status, mapped.error.code]).toEqual([status, code]);
  if (status === 429 || status === 503) expect(mapped.retryAfterMs).toBeGreaterThan(0);
});

it.each<[GatewayErrorCode, number]>([
  ['bad-frame', 4400],
  ['unauthenticated', 4401],
  ['token-expired', 4401],
  ['forbidden', 4403],
  ['auth-timeout', 4408],
  ['too-many', 4429],
  ['draining', 4503],
  ['too-large', 1009],
  ['json-too-deep', 4400],
])('%s closes a socket with %i', (code, close) => {
  expect(mapError(new GatewayError(code)).close).toBe(close);
});

it('says which quota of a tenant is reached, and when it ends', () => {
  const reached = { quota: 'topics', limit: 5, used: 5 } as const;
  expect(mapError(new BrokerError('quota-reached', 'x', { reached }))).toMatchObject({
    status: 507,
    retryAfterMs: undefined,
    error: { code: 'quota-reached', retryable: false, details: { quota: 'chats', limit: 5, used: 5 } },
  });
  const early = { quota: 'creations', limit: 5, used: 5, retryAfterMs: 1500 } as const;
  expect(mapError(new BrokerError('quota-rate-reached', 'x', { reached: early }))).toMatchObject({
    status: 429,
    retryAfterMs: 1500,
    error: { code: 'quota-rate-reached', retryable: true, details: { quota: 'creations', limit: 5, used: 5 } },
  });
});

it('has a row with a message for every code', () => {
  for (const code of ERROR_CODES.gateway) {
    const { error, status } = mapError(new GatewayError(code as GatewayErrorCode));
    expect([code, error.code, status >= 400, error.message.length > 5]).toEqual([code, code, true, true]);
  }
});

it.each([[new Error('x')], ['text'], [undefined], [null], [{ code: 'not-found', statusCode: 404 }]])(
  'takes %s for a defect',
  (thrown) => {
    expect(mapError(thrown)).toMatchObject({
      status: 500,
      isDefect: true,
      error: { code: 'internal', retryable: true },
    });
  },
);
