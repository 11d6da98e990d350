// What a page answers to a run that waits: the calls of its last message that the user or the page has settled. Pure.

/** One of: the reply to an approval, by the id of its input; what a call gave, by the id of the call. */
export type PageAnswer =
  | { readonly inputId: string; readonly approved: boolean; readonly reason?: string }
  | { readonly toolCallId: string; readonly output: unknown }
  | { readonly toolCallId: string; readonly error: string };

/** Settled calls that one request may have. */
export const PAGE_ANSWERS_MAX = 64;

/** Undefined: the last message is no answer of the page. Only the last step counts: what came before was answered
 *  before. */
export function pageAnswers(messages: readonly unknown[]): readonly PageAnswer[] | undefined {
  const last = messages.at(-1);
  if (!isFields(last) || last['role'] !== 'assistant' || !Array.isArray(last['parts'])) return undefined;
  const parts: readonly unknown[] = last['parts'];
  const step = parts.findLastIndex((part) => isFields(part) && part['type'] === 'step-start');
  const answers = parts.slice(step + 1).flatMap((part) => (isFields(part) ? answerOf(part) : []));
  return answers.length === 0 ? undefined : answers.slice(0, PAGE_ANSWERS_MAX);
}

/** Calls with an output of the agent are of no page. */
function answerOf({ state, approval, toolCallId, output, errorText, providerExecuted }: Fields): PageAnswer[] {
  if (state === 'approval-responded' && isFields(approval)) {
    const { id, approved, reason } = approval;
    if (typeof id !== 'string' || typeof approved !== 'boolean') return [];
    return [{ inputId: id, approved, ...(typeof reason === 'string' && { reason }) }];
  }
  if (typeof toolCallId !== 'string' || providerExecuted === true) return [];
  if (state === 'output-available') return [{ toolCallId, output: output ?? null }];
  return state === 'output-error' && typeof errorText === 'string' ? [{ toolCallId, error: errorText }] : [];
}

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
