// Pages of the lists of OpenAI's API: by the id of the last object of the page before, in both directions. The log is
// read backward, so a page of the newest costs what it holds, and one of the oldest the way back to them.
import Type from 'typebox';
import { GatewayError } from '../../gateway-error.ts';
import { refusal } from './refusals.ts';

const LIMIT = 20;
const LIMIT_MAX = 100;
const ID_CHARS_MAX = 400;

/** Objects that one page may pass on its way back. */
const PASSED_MAX = 10_000;

export const listQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMIT_MAX, default: LIMIT })),
  order: Type.Optional(Type.Union([Type.Literal('asc'), Type.Literal('desc')])),
  after: Type.Optional(Type.String({ maxLength: ID_CHARS_MAX })),
});

export interface GivenListQuery {
  readonly limit?: number;
  readonly order?: 'asc' | 'desc';
  readonly after?: string;
}

export interface ListPage {
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  /** The last object of the page before. */
  readonly after: string | undefined;
}

export function listPage({ limit = LIMIT, order = 'desc', after }: GivenListQuery): ListPage {
  return { limit, order, after };
}

export interface Listed<T> {
  readonly data: readonly T[];
  readonly hasMore: boolean;
}

export interface ListBody<T> {
  readonly object: 'list';
  readonly data: readonly T[];
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: boolean;
}

export function listBody<T extends { readonly id: string }>({ data, hasMore }: Listed<T>): ListBody<T> {
  return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: hasMore };
}

/** @throws GatewayError too-large */
export async function findObject<T extends { readonly id: string }>(
  newestFirst: AsyncIterable<T>,
  id: string,
): Promise<T | undefined> {
  let passed = 0;
  for await (const one of newestFirst) {
    if (one.id === id) return one;
    mustBeNear((passed += 1));
  }
  return undefined;
}

function mustBeNear(passed: number): void {
  if (passed > PASSED_MAX)
    throw new GatewayError('too-large', { message: `a page passes at most ${PASSED_MAX} objects: read the newest` });
}

/** `newestFirst`: with `desc` it may begin anywhere before the object `after`. @throws GatewayError invalid-request:
 *  no such object is on the way; too-large: the way is too long */
export async function takePage<T extends { readonly id: string }>(
  newestFirst: AsyncIterable<T>,
  { limit, order, after }: ListPage,
): Promise<Listed<T>> {
  const kept: T[] = [];
  let passed = 0;
  let isBehind = order === 'asc' || after === undefined;
  let isFound = after === undefined;
  for await (const one of newestFirst) {
    mustBeNear((passed += 1));
    if (one.id === after) {
      isFound = true;
      if (order === 'asc') break;
      isBehind = true;
    } else if (isBehind) {
      kept.push(one);
      if (kept.length > limit && order === 'desc') break;
      // The oldest are wanted, which come last.
      if (kept.length > limit + 1) kept.shift();
    }
  }
  if (!isFound) throw refusal('after', "'after' is no object of this list");
  const inOrder = order === 'asc' ? kept.toReversed() : kept;
  return { data: inOrder.slice(0, limit), hasMore: kept.length > limit };
}
