// An answer as messages of AG-UI: what a client that followed the run holds of it. [AG-UI 1.0 › MESSAGES_SNAPSHOT]
import type { ViewedPart } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { callId, mainPart, partMessageId, reasoningMessageId, resultMessageId } from './answer-ids.ts';

interface AssistantMessage {
  readonly id: string;
  readonly role: 'assistant';
  content?: string;
  toolCalls?: unknown[];
}

/** The messages of the parts up to `last`, whose text ends at `at`. `told`: the parts whose result the client has. */
export function answerMessages(
  { parts, results }: Pick<RunView, 'parts' | 'results'>,
  answerId: string,
  { last, at, told }: { readonly last: number; readonly at: number; readonly told: ReadonlySet<number> },
): unknown[] {
  const messages: object[] = [];
  const main = mainPart(parts);
  let answer: AssistantMessage | undefined;
  const mainMessage = (): AssistantMessage => {
    if (answer === undefined) messages.push((answer = { id: answerId, role: 'assistant' }));
    return answer;
  };
  const outcomes: object[] = [];
  for (const [part, viewed] of parts.slice(0, last + 1).entries()) {
    const text = viewed.text.toString().slice(0, part === last ? at : undefined);
    const id = partMessageId(answerId, part, main);
    if (viewed.kind === 'tool-call') {
      (mainMessage().toolCalls ??= []).push(callOf(parts, part, viewed, text));
      if (told.has(part)) outcomes.push(resultOf(parts, part, answerId, results));
    } else if (viewed.kind === 'reasoning') messages.push(reasoningMessage(answerId, part, text));
    else if (text !== '' && part === main) mainMessage().content = text;
    else if (text !== '') messages.push({ id, role: 'assistant', content: text });
  }
  const behind = answer === undefined ? 0 : messages.indexOf(answer) + 1;
  return [...messages.slice(0, behind), ...outcomes, ...messages.slice(behind)];
}

export function reasoningMessage(answerId: string, part: number, content: string): object {
  return { id: reasoningMessageId(answerId, part), role: 'reasoning', content };
}

/** The text of a result. The protocol has no field for the error of a call. */
export function resultText({ result, error }: { readonly result?: unknown; readonly error?: string }): string {
  if (error !== undefined) return error;
  return typeof result === 'string' ? result : JSON.stringify(result ?? null);
}

/** A client refuses a call without a name. */
export function callName({ toolName = '' }: ViewedPart): string {
  return toolName === '' ? 'tool' : toolName;
}

function callOf(parts: readonly ViewedPart[], part: number, viewed: ViewedPart, args: string): unknown {
  return { id: callId(parts, part), type: 'function', function: { name: callName(viewed), arguments: args } };
}

function resultOf(parts: readonly ViewedPart[], part: number, answerId: string, results: RunView['results']): object {
  return {
    id: resultMessageId(answerId, part),
    role: 'tool',
    toolCallId: callId(parts, part),
    content: resultText(results.get(parts[part]?.toolCallId ?? '') ?? {}),
  };
}
