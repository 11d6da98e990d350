// Which runs of a thread a LangGraph client lists. Pure.
import type { RunStatus } from './resources.ts';
import { isObject, type Fault } from './run-request.ts';
import { parsePage, parseSelect, type SearchFault } from './thread-search.ts';

/** Runs of one page. */
const LIST_MAX = 100;
/** Runs that a page may pass. */
const LIST_OFFSET_MAX = 1000;

/** `timeout` is a status of the API that no run has. */
const STATUSES: readonly (RunStatus | 'timeout')[] = [
  'pending',
  'running',
  'error',
  'success',
  'timeout',
  'interrupted',
];

const RUN_FIELDS = [
  ...['run_id', 'thread_id', 'assistant_id', 'created_at', 'updated_at', 'status', 'metadata', 'kwargs'],
  'multitask_strategy',
] as const;

export interface RunListQuery {
  readonly limit: number;
  readonly offset: number;
  readonly status: RunStatus | 'timeout' | undefined;
  readonly select: ReadonlySet<string> | undefined;
}

export function parseRunList(given: unknown): RunListQuery | SearchFault {
  const query = isObject(given) ? given : {};
  const page = parsePage(query, { limit: 10, limitMax: LIST_MAX, offsetMax: LIST_OFFSET_MAX });
  if ('reason' in page) return page;
  const status = STATUSES.find((one) => one === query['status']);
  if (status === undefined && query['status'] !== undefined) return statusFault();
  const select = parseSelect(query['select'], RUN_FIELDS);
  return select !== undefined && 'reason' in select ? select : { ...page, status, select };
}

function statusFault(): Fault {
  return { param: 'status', reason: `must be one of ${STATUSES.join(', ')}` };
}
