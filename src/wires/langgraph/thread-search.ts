// What a LangGraph client searches threads for, and whether a chat is one of them. Pure. A filter is answered from what
// the list of chats says of each; one that would need the messages of every chat is refused by its name.
import type { JsonObject } from '../../session/events/chat-event.ts';
import { isObject, type Fault } from './run-request.ts';

/** Threads of one page. */
const SEARCH_MAX = 100;
/** As many chats as a user's list can have. */
const SEARCH_OFFSET_MAX = 5000;
const SEARCH_DEFAULT = 10;

export interface ThreadFilter {
  readonly metadata: JsonObject;
  readonly status: 'busy' | 'interrupted' | undefined;
  /** Undefined: all. */
  readonly ids: ReadonlySet<string> | undefined;
}

export interface ThreadSearch extends ThreadFilter {
  readonly limit: number;
  readonly offset: number;
  readonly order: 'asc' | 'desc';
  /** The fields of a thread that the caller wants. Undefined: all. */
  readonly select: ReadonlySet<string> | undefined;
}

/** `isKnown`: the field is one of the API, and what is asked for cannot be answered. */
export interface SearchFault extends Fault {
  readonly isKnown?: true;
}

/** What the list of chats says of one. */
interface ListedThread {
  readonly sessionId: string;
  readonly metadata?: JsonObject;
  readonly activeRun?: { readonly state: string };
}

export function parseSearch(given: unknown): ThreadSearch | SearchFault {
  const body = isObject(given) ? given : {};
  const { sort_by: by, sort_order: order, select, extract } = body;
  const filter = parseFilter(body);
  if ('reason' in filter) return filter;
  const page = parsePage(body, { limitMax: SEARCH_MAX, limit: SEARCH_DEFAULT, offsetMax: SEARCH_OFFSET_MAX });
  if ('reason' in page) return page;
  if (isGiven(by) && by !== 'created_at') return unsupported('sort_by', 'threads are sorted by created_at only');
  if (isGiven(order) && order !== 'asc' && order !== 'desc')
    return { param: 'sort_order', reason: 'must be asc or desc' };
  if (isGiven(extract)) return unsupported('extract', 'select the values and read them');
  const fields = parseSelect(select, THREAD_FIELDS);
  if (fields !== undefined && 'reason' in fields) return fields;
  return { ...filter, ...page, order: order === 'asc' ? 'asc' : 'desc', select: fields };
}

export function parseFilter({ metadata, values, status, ids }: JsonObject): ThreadFilter | SearchFault {
  if (isGiven(metadata) && !isObject(metadata)) return { param: 'metadata', reason: 'must be an object' };
  if (isGiven(values)) return unsupported('values', 'the list of chats has no messages');
  if (status === 'idle' || status === 'error')
    return unsupported('status', 'only busy and interrupted threads can be searched for');
  if (isGiven(status) && status !== 'busy' && status !== 'interrupted')
    return { param: 'status', reason: 'must be busy or interrupted' };
  if (isGiven(ids) && !isIds(ids)) return { param: 'ids', reason: `must be at most ${SEARCH_MAX} ids of threads` };
  return {
    metadata: isObject(metadata) ? metadata : {},
    status: status === 'busy' || status === 'interrupted' ? status : undefined,
    ids: isIds(ids) ? new Set(ids) : undefined,
  };
}

function isIds(ids: unknown): ids is readonly string[] {
  return Array.isArray(ids) && ids.length <= SEARCH_MAX && ids.every((id) => typeof id === 'string');
}

/** Absent, null, and an empty object ask for nothing. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && !(isObject(value) && Object.keys(value).length === 0);
}

function unsupported(param: string, reason: string): SearchFault {
  return { param, reason: `not supported: ${reason}`, isKnown: true };
}

interface PageBounds {
  readonly limit: number;
  readonly limitMax: number;
  readonly offsetMax: number;
}

/** Numbers of a query are texts. */
export function parsePage(
  { limit, offset }: JsonObject,
  bounds: PageBounds,
): Pick<ThreadSearch, 'limit' | 'offset'> | Fault {
  const asked = numberOf(limit, bounds.limit);
  if (!(asked >= 1 && asked <= bounds.limitMax))
    return { param: 'limit', reason: `must be a whole number from 1 to ${bounds.limitMax}` };
  const from = numberOf(offset, 0);
  if (!(from >= 0 && from <= bounds.offsetMax))
    return { param: 'offset', reason: `must be a whole number from 0 to ${bounds.offsetMax}` };
  return { limit: asked, offset: from };
}

/** NaN for what is no whole number. */
function numberOf(given: unknown, byDefault: number): number {
  if (given === undefined || given === null) return byDefault;
  const value = typeof given === 'string' && given !== '' ? Number(given) : given;
  return typeof value === 'number' && Number.isInteger(value) ? value : NaN;
}

const THREAD_FIELDS = [
  ...['thread_id', 'created_at', 'updated_at', 'state_updated_at', 'metadata', 'status', 'values', 'interrupts'],
  ...['config', 'error'],
] as const;

/** One name, a list of names, or nothing. */
export function parseSelect(select: unknown, fields: readonly string[]): ReadonlySet<string> | SearchFault | undefined {
  if (!isGiven(select)) return undefined;
  const names: readonly unknown[] = Array.isArray(select) ? select : [select];
  const known = names.filter((name): name is string => fields.some((field) => field === name));
  if (known.length < names.length) return unsupported('select', `the fields are ${fields.join(', ')}`);
  return known.length === 0 ? undefined : new Set(known);
}

export function selectFields(resource: JsonObject, select: ReadonlySet<string> | undefined): JsonObject {
  if (select === undefined) return resource;
  return Object.fromEntries(Object.entries(resource).filter(([name]) => select.has(name)));
}

export function matches({ sessionId, metadata = {}, activeRun }: ListedThread, filter: ThreadFilter): boolean {
  if (filter.ids !== undefined && !filter.ids.has(sessionId)) return false;
  const status = activeRun === undefined ? undefined : activeRun.state === 'waiting' ? 'interrupted' : 'busy';
  return (filter.status === undefined || filter.status === status) && contains(metadata, filter.metadata);
}

/** Whether a value has all that another one has: the fields of an object, and the entries of a list in any order. */
function contains(value: unknown, part: unknown): boolean {
  if (Array.isArray(part)) return Array.isArray(value) && part.every((one) => value.some((has) => contains(has, one)));
  if (!isObject(part)) return value === part;
  return (
    isObject(value) &&
    Object.entries(part).every(([key, one]) => Object.hasOwn(value, key) && contains(value[key], one))
  );
}
