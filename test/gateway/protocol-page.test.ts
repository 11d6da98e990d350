// PROTOCOL.md against the code: what the page says in its tables is what the tables in the code say, and the other way round.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BrokerError, type BrokerErrorCode } from '../../src/broker/errors.ts';
import { ERROR_CODES, mapError, type MappedError } from '../../src/gateway/error-map.ts';
import { CLIENT_FRAME_TYPES } from '../../src/gateway/ws/client-frame.ts';
import { GatewayError, type GatewayErrorCode } from '../../src/gateway/gateway-error.ts';
import { cursorIdSchema } from '../../src/gateway/http/wire-schemas.ts';
import { isInternalType } from '../../src/session/events/chat-event.ts';
import { SessionError, type SessionErrorCode } from '../../src/session/errors.ts';
import { startHarness } from '../support/gateway-harness.ts';

const ROOT = join(import.meta.dirname, '../..');
const page = readFileSync(join(ROOT, 'PROTOCOL.md'), 'utf8');

/** The cells of each row of the tables in a section, without their heads. */
function rowsOf(section: number): string[][] {
  const text = page.split(new RegExp(`^## ${section}\\. `, 'm'))[1]?.split(/^## /m)[0] ?? '';
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines
    .filter((line, i) => !/^\|[-|]+\|?$/.test(line) && !/^\|[-|]+\|?$/.test(lines[i + 1] ?? ''))
    .map((line) =>
      line
        .slice(1, -1)
        .split(' | ')
        .map((cell) => cell.replaceAll('|', '').trim()),
    );
}

const quoted = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);

/** Everything that can reach the wire. */
function allErrors(): MappedError[] {
  return [
    ...ERROR_CODES.gateway.map((code) => mapError(new GatewayError(code as GatewayErrorCode))),
    ...ERROR_CODES.session.map((code) => mapError(new SessionError(code as SessionErrorCode))),
    ...ERROR_CODES.broker.map((code) => mapError(new BrokerError(code as BrokerErrorCode, 'x'))),
  ];
}

describe('PROTOCOL.md says as the code does', () => {
  it('which errors there are, with which status, and whether to try again', () => {
    const said = rowsOf(8).map(([code, status, again]) => `${quoted(code).join('')} ${status ?? ''} ${again ?? ''}`);
    const done = new Set(
      allErrors().map(({ error, status }) => `${error.code} ${status} ${error.retryable ? 'yes' : 'no'}`),
    );
    expect(said.toSorted()).toEqual([...done].toSorted());
  });

  it('which close codes there are', () => {
    const said = rowsOf(6).flatMap(([code]) => (/^\d{4}$/.test(code ?? '') ? [Number(code)] : []));
    const done = new Set(allErrors().map(({ close }) => close));
    expect(said.toSorted()).toEqual([...done].toSorted());
  });

  it('which frames a client may send', () => {
    const said = new Set(
      rowsOf(6).flatMap(([frame = '']) =>
        [...frame.matchAll(/^`?\{"type":"([a-z]+)"|, `\{"type":"([a-z]+)"/g)].map(
          ([, first, later]) => first ?? later ?? '',
        ),
      ),
    );
    expect([...said].toSorted()).toEqual(CLIENT_FRAME_TYPES.toSorted());
  });

  it('which events there are', () => {
    const source =
      readFileSync(join(ROOT, 'src/session/events/chat-event.ts'), 'utf8') +
      readFileSync(join(ROOT, 'src/stream/wire-encoder.ts'), 'utf8');
    const done = [...source.matchAll(/readonly type: '([a-z.]+)'/g)]
      .map(([, type = '']) => type)
      .filter((type) => !isInternalType(type));
    const said = rowsOf(4).flatMap(([types]) => quoted(types));
    expect([...new Set(said)].toSorted()).toEqual([...new Set(done)].toSorted());
  });

  it('which requests there are, what they take in the URL, and how they are answered', async () => {
    const h = await startHarness();
    await h.gateway.app.ready();
    const { paths = {} } = h.gateway.app.swagger() as unknown as {
      paths?: Record<
        string,
        Record<string, { parameters?: { in: string; name: string }[]; responses: Record<string, unknown> }>
      >;
    };
    /** The names inside braces differ from page to code: they are places. */
    const shape = (path: string): string => path.replace(/\{[^}]+\}/g, '{}');
    const done = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([method]) => method !== 'head')
        .map(([method, { parameters = [], responses }]) => {
          const query = parameters.filter((one) => one.in === 'query').map(({ name }) => name);
          return {
            request: `${method.toUpperCase()} ${shape(path)}`,
            query,
            statuses: Object.keys(responses).filter((status) => /^2\d\d$/.test(status)),
          };
        }),
    );
    const said = rowsOf(3).flatMap(([request = '', answer = '']) => {
      const [first = '', ...others] = quoted(request);
      const [method = '', target = ''] = first.split(' ');
      const [path = '', query] = target.split('?');
      const statuses = [...answer.matchAll(/\b(20\d)\b/g)].map(([, status = '']) => status);
      const more = others
        .filter((text) => text.startsWith('/'))
        .map((text) => ({ request: `${method} ${shape(text)}`, query: undefined, statuses: undefined }));
      return [
        {
          request: `${method} ${shape(path)}`,
          query: query?.split('&'),
          statuses: more.length > 0 ? undefined : statuses.length === 0 ? ['200'] : statuses,
        },
        ...more,
      ];
    });
    // It is hidden from itself.
    expect(
      said
        .map(({ request }) => request)
        .filter((request) => request !== 'GET /openapi.json')
        .toSorted(),
    ).toEqual(done.map(({ request }) => request).toSorted());
    for (const { request, query, statuses } of said) {
      const code = done.find((one) => one.request === request);
      if (code === undefined || request.endsWith('/events') || request.endsWith('/ws')) continue;
      if (query !== undefined)
        expect([request, code.query.filter((name) => name !== 'page').toSorted()]).toEqual([request, query.toSorted()]);
      if (statuses !== undefined)
        expect([request, code.statuses.toSorted()]).toEqual([request, [...new Set(statuses)].toSorted()]);
    }
  });

  it('how a cursor may be named', () => {
    const charsMax = /`cursorId` `\[A-Za-z0-9_\.:-\]\{1,(\d+)\}`/.exec(page)?.[1];
    expect(JSON.stringify(cursorIdSchema)).toContain(`{1,${charsMax}}`);
  });
});
