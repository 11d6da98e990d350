// The tool calls of the messages for a model. Strict servers refuse a call without its result, a result without its
// call, arguments that are no JSON, and a user directly behind results. So a call is sent with its result or not at
// all, and calls are sent only where a message of the model, or further results, follow them. Pure.
import type { ToolCall, ToolOutcome } from '../../session/events/chat-event.ts';
import type { TranscriptMessage, TranscriptPart } from '../../session/history/transcript.ts';
import type { ModelMessage } from '../provider.ts';
import { isBlank, wholeContent, wholeText } from './model-content.ts';

export type Outcomes = ReadonlyMap<string, ToolOutcome>;

export interface AnswerMessages {
  readonly messages: readonly ModelMessage[];
  /** The last messages are calls, and their results came with the prompt that follows. */
  readonly takesOutcomes: boolean;
}

/** Text, and the calls behind it. */
interface Step {
  text: string;
  readonly calls: { readonly call: ToolCall; readonly own: ToolOutcome | undefined }[];
}

/** The answer of a run. `outcomes`: those that came with the prompt that follows. */
export function answerMessages(
  { content, parts }: Pick<TranscriptMessage, 'content' | 'parts'>,
  outcomes: Outcomes,
): AnswerMessages {
  if (parts === undefined) return { messages: textMessage(wholeContent(content)), takesOutcomes: false };
  const steps = stepsOf(parts);
  const takesOutcomes = steps.at(-1)?.calls.some(({ call }) => outcomes.has(call.toolCallId)) === true;
  let messages: ModelMessage[] = [];
  steps.toReversed().forEach(({ text, calls }, back) => {
    const isFollowed = back === 0 ? takesOutcomes : messages.length > 0;
    const answered = calls.flatMap(({ call, own }) => {
      const outcome = own ?? (back === 0 ? outcomes.get(call.toolCallId) : undefined);
      return outcome === undefined ? [] : [{ call, outcome }];
    });
    if (isFollowed && answered.length > 0) messages = [...callMessages(text, answered), ...messages];
    else messages = withTextBefore(text, messages);
  });
  return { messages, takesOutcomes };
}

function stepsOf(parts: readonly TranscriptPart[]): Step[] {
  let step: Step = { text: '', calls: [] };
  const steps = [step];
  for (const { kind, text, toolCallId, toolName, result, error } of parts) {
    if (kind === 'text') {
      if (step.calls.length > 0) steps.push((step = { text: '', calls: [] }));
      step.text += text;
    }
    if (kind !== 'tool-call' || toolCallId === undefined || toolName === undefined) continue;
    const outcome = error === undefined ? { toolCallId, result } : { toolCallId, error };
    const own = result === undefined && error === undefined ? undefined : outcome;
    step.calls.push({ call: { toolCallId, toolName, arguments: text }, own });
  }
  return steps;
}

interface AnsweredCall {
  readonly call: ToolCall;
  readonly outcome: ToolOutcome;
}

/** A message of the model with calls, and their results. Of two calls with one id only the first is sent: a server
 *  could not match their results. */
export function callMessages(content: ModelMessage['content'], all: readonly AnsweredCall[]): ModelMessage[] {
  const answered = all.filter(({ call }, i) => all.findIndex((one) => one.call.toolCallId === call.toolCallId) === i);
  return [
    {
      role: 'assistant',
      content: typeof content === 'string' ? wholeText(content) : content,
      toolCalls: answered.map(({ call }) => ({ ...call, arguments: wholeArguments(call.arguments) })),
    },
    ...answered.map(({ call, outcome }) => resultMessage(call.toolCallId, outcome)),
  ];
}

/** Text without calls joins the message of the model behind it, as the parts of an answer do. */
function withTextBefore(text: string, messages: ModelMessage[]): ModelMessage[] {
  const [next, ...rest] = messages;
  if (next === undefined) return textMessage(wholeText(text));
  return [{ ...next, content: wholeText(`${text}${next.content as string}`) }, ...rest];
}

function textMessage(content: ModelMessage['content']): ModelMessage[] {
  return isBlank(content) ? [] : [{ role: 'assistant', content }];
}

function resultMessage(toolCallId: string, { result, error }: ToolOutcome): ModelMessage {
  const value = error === undefined ? (result ?? null) : { error };
  const isText = typeof value === 'string' && value.trim() !== '';
  return { role: 'tool', toolCallId, content: wholeText(isText ? value : JSON.stringify(value)) };
}

/** What a model was cut off in, or made up, is no JSON. */
function wholeArguments(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? wholeText(text) : '{}';
  } catch {
    return '{}';
  }
}
