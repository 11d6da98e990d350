// From events to what a chat looks like: a pure and total function. The same events give the same state on any
// mix of wires, merges and reconnects; types and fields it does not know change nothing [PROTOCOL §4].
// Positions and duplicates are `chat-replica.ts`, the text itself is `parts-fold.ts`.
import { appendDelta, partsOfContent, settleToolCall, startPart, truncateParts } from './parts-fold.ts';
import type { ChatState, Message, Part, Run } from './chat-state.ts';
import type { ChatEvent } from './wire-events.ts';

type EventOf<T extends ChatEvent['type']> = Extract<ChatEvent, { type: T }>;

/** The next state, or undefined where the event does not join what is here: the stream must be read again. */
export function foldEvent(state: ChatState, event: ChatEvent): ChatState | undefined {
  switch (event.type) {
    case 'session.created':
    case 'session.updated':
      return foldSession(state, event);
    case 'message.created':
      return foldMessage(state, event);
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
    case 'run.cancelling':
    case 'run.cancelled':
    case 'run.completed':
    case 'run.failed':
      return foldRunEnd(state, event);
  }
}

/** The server's word on how long a queued run still waits. Not part of the log, so never needed to be right. */
export function foldQueue(state: ChatState, runId: string, ahead: number): ChatState {
  const run = knownRun(state, runId);
  return run?.state === 'queued' ? putRun(state, { ...run, ahead }) : state;
}

function foldSession(state: ChatState, event: EventOf<'session.created' | 'session.updated'>): ChatState {
  return {
    ...state,
    ...(event.title === undefined ? {} : { title: event.title }),
    ...(event.metadata === undefined ? {} : { metadata: event.metadata }),
  };
}

function foldMessage(state: ChatState, event: EventOf<'message.created'>): ChatState {
  if (state.messages.some((message) => message.messageId === event.messageId)) return state;
  const message: Message = {
    messageId: event.messageId,
    role: event.role,
    parts: partsOfContent(event.content),
    delivery: 'sent',
    ...(event.createdAt === undefined ? {} : { createdAt: event.createdAt }),
  };
  return { ...state, messages: [...state.messages, message] };
}

function foldQueued(state: ChatState, event: EventOf<'run.queued'>): ChatState {
  const index = state.messages.findLastIndex((message) => message.messageId === event.messageId);
  const prompt = state.messages[index];
  const messages = prompt === undefined ? state.messages : state.messages.with(index, { ...prompt, runId: event.runId });
  const run: Run = {
    ...runIn(state, event.runId),
    promptId: event.messageId,
    ...(event.agent === undefined ? {} : { agent: event.agent }),
    ...(event.model === undefined ? {} : { model: event.model }),
  };
  return putRun({ ...state, messages }, run);
}

function foldStarted(state: ChatState, event: EventOf<'run.started'>): ChatState {
  const started: Run = {
    ...runIn(state, event.runId),
    state: 'running',
    ahead: undefined,
    messageId: event.messageId,
    attempt: event.attempt,
    ...(event.model === undefined ? {} : { model: event.model }),
  };
  return withAnswer(putRun(state, started), started, event.messageId);
}

function foldDelta(state: ChatState, delta: EventOf<'delta'>): ChatState | undefined {
  // Without a `run.started` the log no longer holds the run's beginning: it was trimmed away.
  const known = knownRun(state, delta.runId);
  const mayLackBeginning = known?.messageId === undefined;
  const index = answerIndex(state, delta.runId);
  const parts = appendDelta(state.messages[index]?.parts ?? [], delta, mayLackBeginning);
  if (parts === undefined) return undefined;
  if (index >= 0) return withParts(state, index, parts);
  const run: Run = { ...runIn(state, delta.runId), state: 'running', messageId: delta.messageId };
  const begun = withAnswer(putRun(state, run), run, delta.messageId);
  return withParts(begun, answerIndex(begun, delta.runId), parts);
}

function foldRestarted(state: ChatState, event: EventOf<'run.restarted'>): ChatState | undefined {
  const run: Run = { ...runIn(state, event.runId), state: 'running', attempt: event.attempt };
  const index = answerIndex(state, event.runId);
  if (index < 0) return putRun(state, run);
  const parts = truncateParts(state.messages[index]?.parts ?? [], event.part, event.at);
  return parts === undefined ? undefined : putRun(withParts(state, index, parts), run);
}

function foldRunEnd(
  state: ChatState,
  event: EventOf<'run.cancelling' | 'run.cancelled' | 'run.completed' | 'run.failed'>,
): ChatState {
  const run: Run = { ...runIn(state, event.runId), ahead: undefined };
  switch (event.type) {
    case 'run.cancelling':
      return putRun(state, { ...run, cancelling: true });
    case 'run.cancelled': {
      const by = event.by === undefined ? {} : { cancelledBy: event.by };
      return putRun(state, { ...run, state: 'cancelled', cancelling: false, ...by });
    }
    case 'run.completed': {
      const reason = event.finishReason === undefined ? {} : { finishReason: event.finishReason };
      const usage = event.usage === undefined ? {} : { usage: event.usage };
      return putRun(state, { ...run, state: 'completed', cancelling: false, ...reason, ...usage });
    }
    case 'run.failed':
      return putRun(state, { ...run, state: 'failed', cancelling: false, error: event.error });
  }
}

/** The run as known so far. One whose beginning the log no longer holds starts here. */
function runIn(state: ChatState, runId: string): Run {
  return knownRun(state, runId) ?? { runId, state: 'queued', attempt: 1, cancelling: false };
}

/** Searched from the end, as are answers: that is where runs are open, and a long chat has thousands that are not. */
function knownRun(state: ChatState, runId: string): Run | undefined {
  return state.runs.findLast((run) => run.runId === runId);
}

function putRun(state: ChatState, run: Run): ChatState {
  const index = state.runs.findLastIndex((other) => other.runId === run.runId);
  return { ...state, runs: index < 0 ? [...state.runs, run] : state.runs.with(index, run) };
}

function changeParts(
  state: ChatState,
  runId: string,
  change: (parts: readonly Part[]) => readonly Part[],
): ChatState {
  const index = answerIndex(state, runId);
  const message = state.messages[index];
  return message === undefined ? state : withParts(state, index, change(message.parts));
}

/** Of the answer, not of the prompt that carries the same run id. */
function answerIndex(state: ChatState, runId: string): number {
  return state.messages.findLastIndex((message) => message.runId === runId && message.role === 'assistant');
}

function withParts(state: ChatState, index: number, parts: readonly Part[]): ChatState {
  const message = state.messages[index];
  if (message === undefined || message.parts === parts) return state;
  return { ...state, messages: state.messages.with(index, { ...message, parts }) };
}

/**
 * The answer goes right after its prompt: with three prompts queued, the log has them before the first
 * answer, but nobody wants to read them like that.
 */
function withAnswer(state: ChatState, run: Run, messageId: string): ChatState {
  if (answerIndex(state, run.runId) >= 0) return state;
  const answer: Message = { messageId, role: 'assistant', parts: [], runId: run.runId, delivery: 'sent' };
  const prompt = state.messages.findLastIndex((message) => message.messageId === run.promptId);
  const place = prompt < 0 ? state.messages.length : prompt + 1;
  return { ...state, messages: state.messages.toSpliced(place, 0, answer) };
}
