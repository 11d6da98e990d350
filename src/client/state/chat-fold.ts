// Folds events into the state of a chat: a pure and total function. The same events give the same state over every mix
// of wires, merges and reconnects; unknown types and fields change nothing [PROTOCOL §4]. Not here: positions and
// duplicates (`chat-replica.ts`), text (`parts-fold.ts`), branches (`chat-branches.ts`).
import { hasRival, isAnswer, isPrompt, showBranch } from './chat-branches.ts';
import { afterInput, askInput, closeInputs, settleInput } from './inputs-fold.ts';
import { appendDelta, partsOfCalls, partsOfContent, settleToolCall, startPart, truncateParts } from './parts-fold.ts';
import type { ChatState, Message, Part, Run } from './chat-state.ts';
import type { ChatEvent, QueuePosition } from '../protocol/wire-events.ts';

type EventOf<T extends ChatEvent['type']> = Extract<ChatEvent, { type: T }>;

/** The next state, or undefined if the event does not join this state: then the client reads the stream again. */
export function foldEvent(state: ChatState, event: ChatEvent): ChatState | undefined {
  switch (event.type) {
    case 'session.created':
    case 'session.updated':
      return foldSession(state, event);
    case 'message.created':
      return foldMessage(state, event);
    case 'history.given':
      return foldGiven(state, event);
    case 'message.edited':
      return foldEdited(state, event);
    case 'branch.selected':
      return knownRun(state, event.runId) === undefined ? state : showBranch(state, event.runId);
    case 'run.queued':
      return foldQueued(state, event);
    case 'run.started':
      return foldStarted(state, event);
    case 'part.started':
      return changeParts(state, event.runId, (parts) => startPart(parts, event));
    case 'delta':
      return foldDelta(state, event);
    case 'tool.result':
      return changeParts(state, event.runId, (parts) => settleToolCall(parts, event));
    case 'run.restarted':
      return foldRestarted(state, event);
    case 'input.requested':
    case 'input.answered':
    case 'input.closed':
      return foldInput(state, event);
    case 'run.waiting':
      return putRun(state, { ...runIn(state, event.runId), state: 'waiting' });
    case 'run.resumed':
      return foldResumed(state, event);
    case 'lost':
      return foldLost(state, event);
    case 'run.cancelling':
    case 'run.cancelled':
    case 'run.completed':
    case 'run.failed':
      return foldRunEnd(state, event);
  }
}

/** The server's estimate of a queued run's position in the queue. It is not in the log, and may be wrong. */
export function foldQueue(state: ChatState, runId: string, position: QueuePosition): ChatState {
  const run = knownRun(state, runId);
  const { ahead, paused, startsInSeconds } = position;
  return run?.state === 'queued' ? putRun(state, { ...run, ahead, paused, startsInSeconds }) : state;
}

function foldSession(state: ChatState, event: EventOf<'session.created' | 'session.updated'>): ChatState {
  return {
    ...state,
    ...(event.title === undefined ? {} : { title: event.title }),
    ...(event.metadata === undefined ? {} : { metadata: event.metadata }),
  };
}

/** The server sends no text behind a gap that does not join, so nothing else changes. */
function foldLost(state: ChatState, { from, to }: EventOf<'lost'>): ChatState {
  const { lost = [] } = state;
  return { ...state, lost: [...lost, { from, to, after: state.messages.at(-1)?.messageId }] };
}

/** A given result is shown with its call, like the result of an answer's call. */
function foldGiven(state: ChatState, event: EventOf<'history.given'>): ChatState {
  const { messageId, role, content, toolCalls = [], toolCallId, createdAt } = event;
  if (findMessage(state, (message) => message.isGiven === true && message.messageId === messageId)) return state;
  const isCaller = ({ parts }: Message): boolean =>
    parts.some((part) => part.kind === 'tool-call' && part.toolCallId === toolCallId);
  const caller = role === 'tool' && toolCallId !== undefined ? state.messages.findLast(isCaller) : undefined;
  if (caller !== undefined && toolCallId !== undefined)
    return replaceMessage(state, caller, {
      ...caller,
      parts: settleToolCall(caller.parts, { type: 'tool.result', runId: '', toolCallId, result: content }),
    });
  const given: Message = {
    messageId,
    role,
    parts: [...partsOfContent(content), ...partsOfCalls(toolCalls, content)],
    delivery: 'sent',
    isGiven: true,
    ...(createdAt === undefined ? {} : { createdAt }),
  };
  return { ...state, messages: [...state.messages, given] };
}

function foldMessage(state: ChatState, event: EventOf<'message.created'>): ChatState {
  if (findPrompt(state, event.messageId) !== undefined) return state;
  const { replaces } = event;
  const follows = replaces === undefined ? state.tip : findPrompt(state, replaces)?.follows;
  const message: Message = {
    messageId: event.messageId,
    role: event.role,
    parts: partsOfContent(event.content),
    delivery: 'sent',
    ...(event.toolResults === undefined ? {} : { toolResults: event.toolResults }),
    ...(event.createdAt === undefined ? {} : { createdAt: event.createdAt }),
    ...(follows === undefined ? {} : { follows }),
    ...(replaces === undefined ? {} : { replaces }),
  };
  const before = replaces === undefined ? state : showBranch(state, follows);
  return { ...before, messages: [...before.messages, message] };
}

function foldEdited(state: ChatState, event: EventOf<'message.edited'>): ChatState {
  const prompt = findPrompt(state, event.messageId);
  return prompt === undefined
    ? state
    : replaceMessage(state, prompt, { ...prompt, parts: partsOfContent(event.content) });
}

function foldQueued(state: ChatState, event: EventOf<'run.queued'>): ChatState {
  const { runId, messageId } = event;
  const run: Run = {
    ...runIn(state, runId),
    promptId: messageId,
    ...(event.agent === undefined ? {} : { agent: event.agent }),
    ...(event.model === undefined ? {} : { model: event.model }),
  };
  const queued = { ...putRun(state, run), tip: runId };
  const prompt = state.messages.findLast((message) => message.messageId === messageId && isPrompt(message));
  const goesStraightOn = prompt !== undefined && prompt.runId === undefined && !hasRival(state, prompt);
  return goesStraightOn ? replaceMessage(queued, prompt, { ...prompt, runId }) : showBranch(queued, runId);
}

function foldStarted(state: ChatState, event: EventOf<'run.started'>): ChatState {
  const started: Run = {
    ...runIn(state, event.runId),
    state: 'running',
    ahead: undefined,
    paused: undefined,
    startsInSeconds: undefined,
    messageId: event.messageId,
    attempt: event.attempt,
    ...(event.model === undefined ? {} : { model: event.model }),
  };
  return withAnswer(putRun(state, started), started, event.messageId);
}

function foldDelta(state: ChatState, delta: EventOf<'delta'>): ChatState | undefined {
  // Without a `run.started` the log has no beginning of the run any more: it was trimmed.
  const known = knownRun(state, delta.runId);
  const mayLackBeginning = known?.messageId === undefined;
  const answer = findAnswer(state, delta.runId);
  const parts = appendDelta(answer?.parts ?? [], delta, mayLackBeginning);
  if (parts === undefined) return undefined;
  if (answer !== undefined) return withParts(state, answer, parts);
  const run: Run = { ...runIn(state, delta.runId), state: 'running', messageId: delta.messageId };
  return withAnswer(putRun(state, run), run, delta.messageId, parts);
}

function foldRestarted(state: ChatState, event: EventOf<'run.restarted'>): ChatState | undefined {
  const run: Run = { ...runIn(state, event.runId), state: 'running', attempt: event.attempt };
  const answer = findAnswer(state, event.runId);
  if (answer === undefined) return putRun(state, run);
  const parts = truncateParts(answer.parts, event.part, event.at);
  return parts === undefined ? undefined : putRun(withParts(state, answer, parts), run);
}

/** The result of a call that a reader executes is shown with the call, like one that the agent reports. */
function foldInput(state: ChatState, event: EventOf<'input.requested' | 'input.answered' | 'input.closed'>): ChatState {
  const answer = findAnswer(state, event.runId);
  const run = runIn(state, event.runId);
  if (answer === undefined) return state;
  if (event.type === 'input.requested') return replaceMessage(state, answer, askInput(answer, event, run.leg ?? 0));
  const settled = settleInput(answer, event);
  if (settled === answer) return state;
  const input = settled.inputs?.find(({ inputId }) => inputId === event.inputId);
  const { toolCallId } = input ?? {};
  const parts =
    input?.kind === 'tool' && event.type === 'input.answered' && toolCallId !== undefined
      ? settleToolCall(settled.parts, { ...event.answer, type: 'tool.result', runId: event.runId, toolCallId })
      : settled.parts;
  return putRun(replaceMessage(state, answer, { ...settled, parts }), afterInput(run, settled));
}

function foldResumed(state: ChatState, event: EventOf<'run.resumed'>): ChatState {
  const { runId, messageId, leg, attempt } = event;
  const waited = { ...runIn(state, runId), ahead: undefined, paused: undefined, startsInSeconds: undefined };
  const run: Run = { ...waited, state: 'running', messageId, leg, attempt };
  return withAnswer(putRun(state, run), run, messageId);
}

function foldRunEnd(
  state: ChatState,
  event: EventOf<'run.cancelling' | 'run.cancelled' | 'run.completed' | 'run.failed'>,
): ChatState {
  const run: Run = { ...runIn(state, event.runId), ahead: undefined, paused: undefined, startsInSeconds: undefined };
  const ended = event.type === 'run.cancelling' ? state : changeAnswer(state, event.runId, closeInputs);
  const usage = !('usage' in event) || event.usage === undefined ? {} : { usage: event.usage };
  switch (event.type) {
    case 'run.cancelling':
      return putRun(state, { ...run, cancelling: true });
    case 'run.cancelled': {
      const by = event.by === undefined ? {} : { cancelledBy: event.by };
      return putRun(ended, { ...run, state: 'cancelled', cancelling: false, ...by, ...usage });
    }
    case 'run.completed': {
      const reason = event.finishReason === undefined ? {} : { finishReason: event.finishReason };
      return putRun(ended, { ...run, state: 'completed', cancelling: false, ...reason, ...usage });
    }
    case 'run.failed':
      return putRun(ended, { ...run, state: 'failed', cancelling: false, error: event.error, ...usage });
  }
}

/** The run as known so far. A run whose beginning is no longer in the log starts here. */
function runIn(state: ChatState, runId: string): Run {
  return knownRun(state, runId) ?? { runId, state: 'queued', attempt: 1, cancelling: false };
}

/** Searches from the end, as for answers: open runs are there, and a long chat has thousands of ended ones. */
function knownRun(state: ChatState, runId: string): Run | undefined {
  return state.runs.findLast((run) => run.runId === runId);
}

function putRun(state: ChatState, run: Run): ChatState {
  const index = state.runs.findLastIndex((other) => other.runId === run.runId);
  return { ...state, runs: index < 0 ? [...state.runs, run] : state.runs.with(index, run) };
}

function changeParts(state: ChatState, runId: string, change: (parts: readonly Part[]) => readonly Part[]): ChatState {
  const answer = findAnswer(state, runId);
  return answer === undefined ? state : withParts(state, answer, change(answer.parts));
}

function changeAnswer(state: ChatState, runId: string, change: (answer: Message) => Message): ChatState {
  const answer = findAnswer(state, runId);
  const changed = answer === undefined ? answer : change(answer);
  return answer === undefined || changed === undefined || changed === answer
    ? state
    : replaceMessage(state, answer, changed);
}

function withParts(state: ChatState, answer: Message, parts: readonly Part[]): ChatState {
  return answer.parts === parts ? state : replaceMessage(state, answer, { ...answer, parts });
}

function findAnswer(state: ChatState, runId: string): Message | undefined {
  return findMessage(state, (message) => message.runId === runId && isAnswer(message));
}

/** A given message may have the id of a prompt, and is none. */
function findPrompt(state: ChatState, messageId: string): Message | undefined {
  return findMessage(state, (message) => message.messageId === messageId && isPrompt(message));
}

function findMessage(state: ChatState, isWanted: (message: Message) => boolean): Message | undefined {
  return state.messages.findLast(isWanted) ?? state.hidden.findLast(isWanted);
}

/** Finds it on the shown branch or on another one. */
function replaceMessage(state: ChatState, old: Message, fresh: Message): ChatState {
  const index = state.messages.lastIndexOf(old);
  if (index >= 0) return { ...state, messages: state.messages.with(index, fresh) };
  return { ...state, hidden: state.hidden.with(state.hidden.lastIndexOf(old), fresh) };
}

/**
 * Puts the answer right after its prompt: with three queued prompts the log has all of them before the first answer,
 * but a reader expects each answer after its prompt. An answer of another branch is kept among the hidden messages.
 */
function withAnswer(state: ChatState, run: Run, messageId: string, parts: readonly Part[] = []): ChatState {
  const { runId } = run;
  if (findAnswer(state, runId) !== undefined) return state;
  const prompt = findPrompt(state, run.promptId ?? '');
  const answer: Message = { messageId, role: 'assistant', parts, runId, delivery: 'sent' };
  if (prompt === undefined) return { ...state, messages: [...state.messages, answer] };
  const index = state.messages.lastIndexOf(prompt);
  if (index < 0 || prompt.runId !== runId) return { ...state, hidden: [...state.hidden, answer] };
  const { answers } = prompt;
  const exchange =
    answers === undefined
      ? [prompt, answer]
      : [
          { ...prompt, answers: undefined },
          { ...answer, alternatives: answers },
        ];
  return { ...state, messages: [...state.messages.slice(0, index), ...exchange, ...state.messages.slice(index + 1)] };
}
