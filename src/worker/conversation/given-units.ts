// The messages of a given history for a model, in order and as they were given, except for what no server takes: blank
// messages, calls without results, and results without calls. Pure.
import type { ToolOutcome } from '../../session/events/chat-event.ts';
import type { TranscriptMessage } from '../../session/history/transcript.ts';
import type { ModelMessage } from '../provider.ts';
import { callMessages, type Outcomes } from './called-tools.ts';
import { isBlank, wholeContent, wholeText, withoutBlankParts } from './model-content.ts';

type Given = Pick<TranscriptMessage, 'role' | 'content' | 'toolCalls' | 'toolCallId'>;

export interface GivenUnits {
  /** The texts of the system messages at the beginning. */
  readonly instructions: readonly string[];
  /** Oldest first. Each begins with a message of a user or of the system, and is sent whole or not at all. */
  readonly units: readonly ModelMessage[][];
  /** The last messages are calls, and their results came with the prompt that follows. */
  readonly takesOutcomes: boolean;
}

/** `outcomes`: those that came with the prompt that follows. */
export function givenUnits(given: readonly Given[], outcomes: Outcomes): GivenUnits {
  const first = given.findIndex(({ role, content }) => role !== 'system' || typeof content !== 'string');
  const leading = first < 0 ? given.length : first;
  const instructions = given
    .slice(0, leading)
    .map(({ content }) => wholeText(content as string))
    .filter((text) => !isBlank(text));
  const units: ModelMessage[][] = [];
  let takesOutcomes = false;
  const last = given.findLastIndex(({ role }) => role !== 'tool');
  given.forEach((message, i) => {
    if (i < leading || message.role === 'tool') return;
    const isLast = i === last;
    const results = new Map([...resultsBehind(given, i), ...(isLast ? outcomes : [])]);
    const told = messagesOf(message, results);
    if (told.length === 0) return;
    takesOutcomes = isLast && message.toolCalls?.some(({ toolCallId }) => outcomes.has(toolCallId)) === true;
    const unit = units.at(-1);
    if (unit === undefined || message.role !== 'assistant') units.push(told);
    else for (const one of told) unit.push(one);
  });
  return { instructions, units, takesOutcomes };
}

/** The results directly behind a message, by their calls. */
function resultsBehind(given: readonly Given[], at: number): Map<string, ToolOutcome> {
  const results = new Map<string, ToolOutcome>();
  for (const { role, content, toolCallId } of given.slice(at + 1)) {
    if (role !== 'tool' || toolCallId === undefined) break;
    results.set(toolCallId, { toolCallId, result: content });
  }
  return results;
}

function messagesOf({ role, content, toolCalls = [] }: Given, results: Outcomes): ModelMessage[] {
  const whole = withoutBlankParts(wholeContent(content));
  const answered = toolCalls.flatMap((call) => {
    const outcome = results.get(call.toolCallId);
    return outcome === undefined ? [] : [{ call, outcome }];
  });
  if (answered.length > 0) return callMessages(whole, answered);
  return isBlank(whole) ? [] : [{ role, content: whole }];
}
