// PROTOCOL.md against the code, in both directions: requests, bodies, answers, statuses, errors, events, frames and
// limits.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BrokerError, type BrokerErrorCode } from '../../src/broker/errors.ts';
import { JWKS_REFETCH_MS } from '../../src/gateway/auth/remote-jwk-set.ts';
import { ERROR_CODES, mapError, type MappedError } from '../../src/gateway/error-map.ts';
import * as config from '../../src/gateway/gateway-config.ts';
import { GatewayError, type GatewayErrorCode } from '../../src/gateway/gateway-error.ts';
import { PAGES_WAITING_PER_USER_MAX } from '../../src/gateway/http/page-reads.ts';
import {
  cursorIdSchema,
  metadataSchema,
  promptFields,
  sessionIdSchema,
  titleSchema,
  TOOL_CALLS_MAX,
} from '../../src/gateway/http/wire-schemas.ts';
import { JSON_DEPTH_MAX, JSON_VALUES_MAX } from '../../src/gateway/json/json-bounds.ts';
import { HISTORY_LIMIT, HISTORY_LIMIT_MAX } from '../../src/gateway/routes/messages.ts';
import { RUNS_LIMIT, RUNS_LIMIT_MAX } from '../../src/gateway/routes/runs.ts';
import { LIST_LIMIT, LIST_LIMIT_MAX } from '../../src/gateway/routes/sessions.ts';
import { METADATA_BYTES_MAX } from '../../src/gateway/http/new-session.ts';
import { QUEUE_LOOK_MS } from '../../src/gateway/watch/queue-watch.ts';
import { CLIENT_FRAME_TYPES } from '../../src/gateway/ws/client-frame.ts';
import { BRANCHES_MAX, RECENT_MESSAGES_MAX, SESSION_RUNS_MAX } from '../../src/session/commands/command-state.ts';
import { isInternalType } from '../../src/session/events/chat-event.ts';
import { SessionError, type SessionErrorCode } from '../../src/session/errors.ts';
import { PAGE_CHARS_MAX } from '../../src/session/history/history.ts';
import { RUN_PAGE_CHARS_MAX } from '../../src/session/history/run-pages.ts';
import { CURSORS_PER_CHAT_MAX } from '../../src/session/stores/cursors.ts';
import { SESSION_TTL_MAX_MS, SESSION_TTL_MIN_MS } from '../../src/session/sessions.ts';
import { UPLOADS } from '../../src/gateway/attachments/attachments-routes.ts';
import { UPLOAD_IDLE_MS, UPLOAD_MS_MAX } from '../../src/gateway/http/upload-body.ts';
import {
  ATTACHMENT_BYTES_MAX,
  MESSAGE_ATTACHMENTS_MAX,
  SESSION_ATTACHMENT_BYTES_MAX,
} from '../../src/session/attachments/attachments.ts';
import { UPLOADS_MAX } from '../../src/session/commands/uploads.ts';
import {
  GIVEN_MESSAGE_BYTES_MAX,
  HISTORY_BYTES_MAX,
  HISTORY_MESSAGES_MAX,
} from '../../src/session/events/given-message.ts';
import { OPTIONS_BYTES_MAX } from '../../src/session/events/run-options.ts';
import { TOOL_RESULTS_BYTES_MAX } from '../../src/gateway/prompt-fields.ts';
import { MEDIA_CHARS } from '../../src/session/events/attachment-part.ts';
import { REQUEST_ATTACHMENT_BYTES_MAX } from '../../src/worker/conversation/attached-content.ts';
import { jsonShapeOf, parseShape, type Schema, type Shape } from '../support/page-shapes.ts';
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

/** All codes that can reach the wire. */
function allErrors(): MappedError[] {
  return [
    ...ERROR_CODES.gateway.map((code) => mapError(new GatewayError(code as GatewayErrorCode))),
    ...ERROR_CODES.session.map((code) => mapError(new SessionError(code as SessionErrorCode))),
    ...ERROR_CODES.broker.map((code) => mapError(new BrokerError(code as BrokerErrorCode, 'x'))),
  ];
}

const MIB = 1024 * 1024;
const valueOf = (schema: unknown, keyword: string): number => Number((schema as Record<string, unknown>)[keyword]);
const patternLength = (schema: unknown): number => Number(/\{1,(\d+)\}/.exec(JSON.stringify(schema))?.[1]);

/** A sentence of the page, with # for each number, and the numbers of the code. */
const LIMITS: readonly (readonly [sentence: string, values: readonly number[]])[] = [
  ['JSON of more than # values', [JSON_VALUES_MAX]],
  ['deeper than # (400', [JSON_DEPTH_MAX]],
  ['at most # and # KiB; a prompt has `content`', [TOOL_CALLS_MAX, TOOL_RESULTS_BYTES_MAX / 1024]],
  ['tunes the model for one prompt, within # KiB', [OPTIONS_BYTES_MAX / 1024]],
  [
    'They are at most #, # KiB each and # MiB together as JSON',
    [HISTORY_MESSAGES_MAX, GIVEN_MESSAGE_BYTES_MAX / 1024, HISTORY_BYTES_MAX / MIB],
  ],
  ['no more than # MiB a second, # MiB at once', [config.PARSE_BYTES_PER_SECOND / MIB, config.PARSE_BYTES_BURST / MIB]],
  ['`[A-Za-z0-9_-]{1,#}`', [patternLength(sessionIdSchema)]],
  ['`messageId` is `[A-Za-z0-9_.:-]{1,#}`', [patternLength(promptFields.messageId)]],
  ['works once and for at most # s', [config.TICKET_TTL_MS / 1000]],
  ['a secret of at least # bytes', [config.JWT_SECRET_BYTES_MIN]],
  ['fetches again every # s', [JWKS_REFETCH_MS / 1000]],
  ['the # that were left last', [BRANCHES_MAX]],
  ['about # MiB of text', [PAGE_CHARS_MAX / MIB]],
  ['about # MiB of the chat', [RUN_PAGE_CHARS_MAX / MIB]],
  ['keeps the # cursors that moved last', [CURSORS_PER_CHAT_MAX]],
  ['beyond # that wait', [PAGES_WAITING_PER_USER_MAX]],
  ['nothing is taken for # s', [config.UNREAD_MS / 1000]],
  ['the last # messages of the session; at most # runs wait', [RECENT_MESSAGES_MAX, SESSION_RUNS_MAX]],
  ['At most once every # s', [QUEUE_LOOK_MS / 1000]],
  ['A comment every # s', [config.SSE_HEARTBEAT_MS / 1000]],
  ['pings every # s and closes after # s of silence', [config.WS_PING_MS / 1000, config.WS_PONG_MS / 1000]],
  ['no `auth` within # s', [config.WS_AUTH_TIMEOUT_MS / 1000]],
  ['sessions # (# where it is absent)', [LIST_LIMIT_MAX, LIST_LIMIT]],
  ['messages # (#)', [HISTORY_LIMIT_MAX, HISTORY_LIMIT]],
  ['runs # (#)', [RUNS_LIMIT_MAX, RUNS_LIMIT]],
  ['`title` # characters', [valueOf(titleSchema, 'maxLength')]],
  ['`metadata` # keys and # KiB', [valueOf(metadataSchema, 'maxProperties'), METADATA_BYTES_MAX / 1024]],
  ['a body # KiB', [config.BODY_BYTES_MAX / 1024]],
  ['a WebSocket message # KiB', [config.WS_PAYLOAD_BYTES_MAX / 1024]],
  ['a socket # sessions', [config.SUBSCRIPTIONS_PER_SOCKET_MAX]],
  [
    'An attachment has at most # MiB (413 `too-large`), the attachments of a session # MiB together',
    [ATTACHMENT_BYTES_MAX / MIB, SESSION_ATTACHMENT_BYTES_MAX / MIB],
  ],
  ['At most # uploads of a session', [UPLOADS_MAX]],
  ['The server stores # uploads of one user', [UPLOADS.insidePerUserMax]],
  ['no byte arrives for # s, or that takes # minutes', [UPLOAD_IDLE_MS / 1000, UPLOAD_MS_MAX / 60_000]],
  ['of the same session, at most # in one prompt', [MESSAGE_ATTACHMENTS_MAX]],
  ['of one request to a model have at most # MiB', [REQUEST_ATTACHMENT_BYTES_MAX / MIB]],
  ['any other attachment as #.', [MEDIA_CHARS]],
  ['A `ttlMs` outside of # to # is set', [SESSION_TTL_MIN_MS, SESSION_TTL_MAX_MS]],
];

/** A request as the page and the code describe it. The names of parameters may differ. */
const nameless = (path: string): string => path.replace(/\{[^}]+\}/g, '{}');

interface Route {
  readonly query: string[];
  readonly statuses: string[];
  readonly body: Schema | undefined;
  readonly answer: Schema | undefined;
}

interface Operation {
  readonly parameters?: { in: string; name: string }[];
  readonly requestBody?: { content: Record<string, { schema: Schema }> };
  readonly responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
}

async function declaredRoutes(): Promise<Map<string, Route>> {
  const h = await startHarness();
  await h.gateway.app.ready();
  const { paths = {} } = h.gateway.app.swagger() as unknown as { paths?: Record<string, Record<string, Operation>> };
  return new Map(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([method]) => method !== 'head')
        .map(([method, { parameters = [], requestBody, responses }]) => {
          const statuses = Object.keys(responses).filter((status) => /^2\d\d$/.test(status));
          return [
            `${method.toUpperCase()} ${nameless(path)}`,
            {
              query: parameters.filter((one) => one.in === 'query').map(({ name }) => name),
              statuses: statuses.toSorted(),
              body: requestBody?.content['application/json']?.schema,
              answer: responses[statuses.at(-1) ?? '']?.content?.['application/json']?.schema,
            },
          ] as const;
        }),
    ),
  );
}

interface Row {
  readonly request: string;
  readonly query: string[];
  readonly body: Shape | undefined;
  readonly statuses: string[];
  readonly answer: string;
  readonly shape: Shape | undefined;
  /** The row describes several requests together, without their answers. */
  readonly isOneOfSeveral: boolean;
}

/** The first of the quoted texts that is a shape. */
function shapeIn(texts: readonly string[]): Shape | undefined {
  const text = texts.find((each) => each.startsWith('{'));
  return text === undefined ? undefined : parseShape(text);
}

function requestsOf([request = '', answer = '']: readonly string[]): Row[] {
  const [first = '', ...others] = quoted(request);
  const [method = '', target = ''] = first.split(' ');
  const [path = '', query] = target.split('?');
  const statuses = [...new Set([...answer.matchAll(/\b(20\d)\b/g)].map(([, status = '']) => status))];
  const paths = [path, ...others.filter((text) => text.startsWith('/'))];
  return paths.map((each) => ({
    request: `${method} ${nameless(each)}`,
    query: query?.split('&').toSorted() ?? [],
    body: shapeIn(others),
    statuses: statuses.length === 0 ? ['200'] : statuses.toSorted(),
    answer,
    shape: shapeIn(quoted(answer)),
    isOneOfSeveral: paths.length > 1,
  }));
}

/** The page may leave out fields of an answer; the fields that it names must agree with the code. */
function expectShape(request: string, page: Shape | undefined, schema: Schema | undefined): void {
  const isEmpty = schema === undefined || schema.type === 'null';
  expect({ request, answer: page }).toEqual({ request, answer: isEmpty ? undefined : jsonShapeOf(schema, page) });
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
      readFileSync(join(ROOT, 'src/session/events/wait-events.ts'), 'utf8') +
      (/interface LostRecords [^}]*}/.exec(readFileSync(join(ROOT, 'src/stream/run/run-change.ts'), 'utf8'))?.[0] ??
        '') +
      readFileSync(join(ROOT, 'src/stream/projection.ts'), 'utf8');
    const done = [...source.matchAll(/readonly type: '([a-z.]+)'/g)]
      .map(([, type = '']) => type)
      .filter((type) => !isInternalType(type));
    const said = rowsOf(4).flatMap(([types]) => quoted(types));
    expect([...new Set(said)].toSorted()).toEqual([...new Set(done)].toSorted());
  });

  it('which requests there are, with which parameters, bodies, statuses and answers', async () => {
    const routes = await declaredRoutes();
    const rows = rowsOf(3).flatMap(requestsOf);
    // The OpenAPI page does not list itself.
    expect(
      rows
        .map(({ request }) => request)
        .filter((request) => request !== 'GET /openapi.json')
        .toSorted(),
    ).toEqual([...routes.keys()].toSorted());
    for (const row of rows) {
      const route = routes.get(row.request);
      if (route === undefined || row.isOneOfSeveral || /\/(events|ws)$/.test(row.request)) continue;
      expect({ request: row.request, query: row.query }).toEqual({
        request: row.request,
        // Only the first page has a number, for older clients: the text says so.
        query: route.query.filter((name) => name !== 'page').toSorted(),
      });
      expect({ request: row.request, statuses: row.statuses }).toEqual({
        request: row.request,
        statuses: route.statuses,
      });
      expect({ request: row.request, body: row.body }).toEqual({
        request: row.request,
        body: route.body === undefined ? undefined : jsonShapeOf(route.body),
      });
      const likeGet = row.answer.includes('as `GET` gives it');
      const answer = likeGet ? routes.get(row.request.replace(/^\S+/, 'GET'))?.answer : route.answer;
      expect(likeGet ? answer : undefined).toEqual(likeGet ? route.answer : undefined);
      if (!likeGet) expectShape(row.request, row.shape, answer);
    }
  });

  it('which reasons a reset has', () => {
    const source = readFileSync(join(ROOT, 'src/broker/broker.ts'), 'utf8');
    const reasons = quoted(/type ResetReason =([^;]+);/.exec(source)?.[1]?.replaceAll("'", '`'));
    const cell = rowsOf(4).find(([type]) => type === '`reset`')?.[1];
    expect(quoted(/Reasons: ([^.]+)\./.exec(cell ?? '')?.[1]).toSorted()).toEqual(reasons.toSorted());
  });

  it('with which codes a run fails', () => {
    const listed = new Set(quoted(/says why in `run\.failed`:([\s\S]+?)\n## /.exec(page)?.[1]));
    listed.delete('no-such-order');
    const source = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.name.endsWith('.ts') && /\/src\/(worker|sdk|session)(\/|$)/.test(entry.parentPath))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
      .join('\n');
    const codes = [
      ...source.matchAll(
        /'((?:upstream|ask|worker|agent)-[a-z-]+|[a-z]+-too-[a-z]+|too-many-asks|[a-z-]+-too-large)'/g,
      ),
    ];
    expect([...listed].filter((code) => !source.includes(`'${code}'`))).toEqual([]);
    expect([...new Set(codes.map(([, code = '']) => code))].filter((code) => !listed.has(code))).toEqual([]);
  });

  it.each(LIMITS)('the limit in “%s”', (sentence, values) => {
    const pattern = sentence
      .split('#')
      .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('([\\d,]+)');
    const found = new RegExp(pattern).exec(page.replace(/\s+/g, ' '))?.slice(1);
    expect(found?.map((text) => Number(text.replaceAll(',', '')))).toEqual(values);
  });

  it('how a cursor may be named', () => {
    const charsMax = /`cursorId` `\[A-Za-z0-9_\.:-\]\{1,(\d+)\}`/.exec(page)?.[1];
    expect(JSON.stringify(cursorIdSchema)).toContain(`{1,${charsMax}}`);
  });
});
