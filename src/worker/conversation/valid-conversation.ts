// Chooses the messages that a model receives, so that servers with strict rules accept every request: an optional
// system message, then prompts and answers alternately, and the newest prompt last. Pure.
//
// A prompt is sent together with its answer, or not at all. So a prompt that was refused, that failed or was stopped
// before its first token, or whose answer was white space, cannot make every later request invalid: two prompts never
// follow one another, and no cut to the budget leaves an answer without its prompt, or results without their calls.
import type { RunError, ToolOutcome } from '../../session/events/chat-event.ts';
import type { MessageStatus, TranscriptMessage } from '../../session/history/transcript.ts';
import type { ModelMessage } from '../provider.ts';
import { answerMessages, type Outcomes } from './called-tools.ts';
import { givenUnits } from './given-units.ts';
import { charsOf, isBlank, wholeContent, wholeText, withoutBlankParts } from './model-content.ts';

/** A message of the chat, and the state of its run. */
export interface ChatMessage extends Pick<
  TranscriptMessage,
  'role' | 'content' | 'parts' | 'toolCalls' | 'toolCallId' | 'toolResults'
> {
  readonly status: MessageStatus;
  readonly error?: Pick<RunError, 'code'>;
}

export interface ConversationLimits {
  readonly systemPrompt?: string | undefined;
  /** UTF-16 code units of all messages. Only the system prompt and the newest prompt may exceed them. */
  readonly charsMax: number;
}

export interface ValidConversation {
  readonly messages: ModelMessage[];
  /** There is no budget left for older messages. */
  readonly isFull: boolean;
  /** Why the newest prompt cannot be answered: no message before it has the calls of its results, or its calls and
   *  results are over the budget. */
  readonly fault?: 'unknown-tool-call' | 'content-too-large';
}

/** The server refused the request. It may refuse the same text again, and with it every later request that contains
 *  it. */
const REFUSED_CODE = 'upstream-refused';

/** Messages that are sent together or not at all: a prompt and its answer, or several, if the results of an answer's
 *  calls are in the next prompt. */
interface Unit {
  messages: ModelMessage[];
  /** The results of its first prompt, whose calls are in an older message. */
  outcomes: Outcomes;
  /** Its first prompt has nothing but results. */
  hasOnlyResults: boolean;
}

/** `chat`: in order, the newest prompt last. A first answer without its prompt is left out. */
export function validConversation(
  chat: readonly ChatMessage[],
  { systemPrompt = '', charsMax }: ConversationLimits,
): ValidConversation {
  const first = chat.findIndex(({ status }) => status !== 'given');
  const turns = first < 0 ? [] : chat.slice(first);
  const units = unitsOf(turns);
  const oldest = units.at(-1);
  const given = givenUnits(first < 0 ? chat : chat.slice(0, first), oldest?.outcomes ?? NONE);
  const older = given.units.toReversed();
  if (oldest !== undefined && given.takesOutcomes) {
    const messages = [...(older.shift() ?? []), ...oldest.messages];
    Object.assign(oldest, { messages, outcomes: NONE, hasOnlyResults: false });
  }
  const [newest, ...rest] = units;
  const system = systemMessage([systemPrompt, ...given.instructions]);
  const known = rest.filter(({ hasOnlyResults }) => !hasOnlyResults).map(({ messages }) => messages);
  const cut = cutToBudget([...known, ...older], charsMax - charsOf(system) - charsOf(newest?.messages ?? []));
  const messages = [...system, ...cut.messages, ...(newest?.messages ?? [])];
  return { messages, ...faultOf(newest, units.length === 1, charsMax, cut.isFull) };
}

const NONE: Outcomes = new Map();

/** A newest prompt with nothing but results needs the message with their calls: it may be in older messages. */
function faultOf(
  newest: Unit | undefined,
  isOldest: boolean,
  charsMax: number,
  isFull: boolean,
): Omit<ValidConversation, 'messages'> {
  const hasResults = newest?.messages.some(({ role }) => role === 'tool') === true;
  if (newest !== undefined && (hasResults || newest.hasOnlyResults) && charsOf(newest.messages) > charsMax)
    return { isFull: true, fault: 'content-too-large' };
  if (newest?.hasOnlyResults !== true) return { isFull };
  return { isFull: !isOldest, fault: 'unknown-tool-call' };
}

function systemMessage(texts: readonly string[]): ModelMessage[] {
  const content = texts
    .filter((text) => !isBlank(text))
    .map(wholeText)
    .join('\n\n');
  return content === '' ? [] : [{ role: 'system', content }];
}

/** `units`: newest first. */
function cutToBudget(
  units: readonly ModelMessage[][],
  budget: number,
): { readonly messages: ModelMessage[]; readonly isFull: boolean } {
  let left = budget;
  let messages: ModelMessage[] = [];
  for (const unit of units) {
    left -= charsOf(unit);
    if (left < 0) return { messages, isFull: true };
    messages = [...unit, ...messages];
  }
  return { messages, isFull: left <= 0 };
}

/** Newest first. The first one has the newest prompt. */
function unitsOf(chat: readonly ChatMessage[]): Unit[] {
  const newest = chat.at(-1);
  if (newest === undefined) return [];
  let unit = unitOf(newest, []);
  const units = [unit];
  // `at` is the index of an answer.
  for (let at = chat.length - 2; at > 0; at -= 1) {
    const [asked, answered] = [chat[at - 1], chat[at]];
    if (asked === undefined || asked.role === 'assistant' || answered?.role !== 'assistant') continue;
    if (answered.status === 'failed' && answered.error?.code === REFUSED_CODE) continue;
    const { messages, takesOutcomes } = answerMessages(answered, unit.outcomes);
    const turn = unitOf(asked, messages);
    if (messages.length === 0 || (turn.messages.length === messages.length && !turn.hasOnlyResults)) continue;
    if (takesOutcomes) {
      Object.assign(unit, { ...turn, messages: [...turn.messages, ...unit.messages] });
    } else if (!isSentAgain(turn.outcomes, unit.outcomes)) units.push((unit = turn));
  }
  return units;
}

/** A prompt, and the messages of its answer. */
function unitOf({ content, toolResults = [] }: ChatMessage, answer: readonly ModelMessage[]): Unit {
  const whole = withoutBlankParts(wholeContent(content));
  const isEmpty = toolResults.length > 0 && isBlank(whole);
  return {
    messages: [
      ...(isEmpty || (answer.length > 0 && isBlank(whole)) ? [] : [{ role: 'user' as const, content: whole }]),
      ...answer,
    ],
    outcomes: new Map(toolResults.map((outcome): [string, ToolOutcome] => [outcome.toolCallId, outcome])),
    hasOnlyResults: isEmpty,
  };
}

/** A client sends results again whose answer failed. The earlier try is left out. */
function isSentAgain(earlier: Outcomes, outcomes: Outcomes): boolean {
  return [...earlier.keys()].some((toolCallId) => outcomes.has(toolCallId));
}
