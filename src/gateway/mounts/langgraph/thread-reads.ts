// What the LangGraph routes read of a chat: a thread with its messages, and one run.
import type { FastifyRequest } from 'fastify';
import type { RunView } from '../../../stream/run/run-view.ts';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import type { TranscriptMessage } from '../../../session/history/transcript.ts';
import type { RunTimeline } from '../../../session/history/run-timeline.ts';
import { SessionError } from '../../../session/errors.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { answerMessages, promptMessage } from '../../../wires/langgraph/messages.ts';
import type { ThreadFacts } from '../../../wires/langgraph/resources.ts';
import type { AskedInput } from '../../../wires/langgraph/interrupts.ts';
import type { Identity } from '../../auth/identity.ts';
import type { ChatCommands } from '../../chat-commands.ts';
import type { EventStreams } from '../../event-streams.ts';
import { readRun as readView } from '../../run-reads.ts';
import type { PageReads } from '../../http/page-reads.ts';
import type { SessionIds } from '../../http/session-ids.ts';

export interface ThreadReadsDeps {
  readonly commands: Pick<ChatCommands, 'openInputs'>;
  readonly reads: PageReads;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly streams: EventStreams;
}

/** Messages of a thread that a state has: the newest. A page of a chat bounds their characters as well, to about 1 Mi
 *  (`PAGE_CHARS_MAX`), and so the state that each stream in the mode `values` keeps. */
export const STATE_MESSAGES_MAX = 200;

/** A thread without its messages. @throws SessionError not-found */
export async function describeThread(
  { commands, sessionIds, sessions }: ThreadReadsDeps,
  identity: Identity,
  threadId: string,
): Promise<Omit<ThreadFacts, 'messages' | 'error' | 'lastRunId'>> {
  const ref = await sessionIds.find(identity, threadId);
  const { createdAt, lastActiveAt, metadata = {}, activeRun } = await sessions.describe(identity.principal, ref);
  const asked = activeRun?.state === 'waiting' ? await commands.openInputs(identity, threadId) : [];
  return { threadId, createdAt, updatedAt: lastActiveAt, metadata, isBusy: activeRun !== undefined, asked };
}

/** `messagesMax`: at least 1, for how the last run ended. @throws SessionError not-found */
export async function readThread(
  deps: ThreadReadsDeps,
  identity: Identity,
  threadId: string,
  messagesMax = STATE_MESSAGES_MAX,
): Promise<ThreadFacts> {
  const thread = await describeThread(deps, identity, threadId);
  const { messages } = await readPage(deps, identity, threadId, undefined, messagesMax);
  const last = messages.at(-1);
  return {
    ...thread,
    error: last?.error,
    lastRunId: last?.runId,
    messages: messages.flatMap(serialize),
  };
}

/** The newest messages of a branch: up to the answer of the run, or of the shown branch. `isWhole`: there are no older
 *  ones. @throws SessionError not-found, run-not-found */
export async function readPage(
  { reads, sessionIds, sessions }: ThreadReadsDeps,
  identity: Identity,
  threadId: string,
  runId: string | undefined,
  messagesMax = STATE_MESSAGES_MAX,
): Promise<{ readonly messages: readonly TranscriptMessage[]; readonly isWhole: boolean }> {
  const { principal } = identity;
  const ref = await sessionIds.find(identity, threadId);
  const { messages, before } = await reads.inTurn(principal, () =>
    sessions.history(principal, ref, messagesMax, undefined, runId),
  );
  return { messages, isWhole: before === undefined };
}

/** The state behind a run, with its error if it has failed, and with what it asks for if it waits. */
export async function readRunValues(
  deps: ThreadReadsDeps,
  identity: Identity,
  threadId: string,
  runId: string,
): Promise<{
  readonly messages: readonly JsonObject[];
  readonly asked: readonly AskedInput[];
  readonly error: TranscriptMessage['error'];
}> {
  const open = await deps.commands.openInputs(identity, threadId);
  const { messages } = await readPage(deps, identity, threadId, runId);
  const asked = open.filter((input) => input.runId === runId);
  return { messages: messages.flatMap(serialize), asked, error: messages.at(-1)?.error };
}

/** The messages up to the prompt of a run. */
export async function readBefore(
  deps: ThreadReadsDeps,
  identity: Identity,
  threadId: string,
  runId: string,
): Promise<readonly JsonObject[]> {
  const { messages } = await readPage(deps, identity, threadId, runId);
  const isAnswer = messages.at(-1)?.role === 'assistant';
  return (isAnswer ? messages.slice(0, -1) : messages).flatMap(serialize);
}

export function serialize(message: TranscriptMessage): readonly JsonObject[] {
  const { messageId, role, content, parts, usage } = message;
  if (role !== 'assistant') return [promptMessage({ messageId, role, content })];
  const text = typeof content === 'string' ? content : '';
  return answerMessages({ messageId, parts: parts ?? [{ kind: 'text', text }], usage });
}

/** One run. Nothing is streamed, so it needs no room. @throws SessionError not-found, run-not-found */
export async function readRun(
  { sessions, streams }: ThreadReadsDeps,
  identity: Identity,
  threadId: string,
  runId: string,
): Promise<RunTimeline> {
  const { ref, after, answer } = await streams.startAtRun(identity, threadId, runId, { hasRoom: true });
  const page = await sessions.runs(identity.principal, ref, 1, { epoch: after.epoch, offset: answer.queuedAt + 1 });
  const [run] = page.runs;
  if (run?.runId !== runId) throw new SessionError('run-not-found');
  return run;
}

/** The fold of a run, for its legs. @throws SessionError not-found, run-not-found */
export async function readLegs(
  { streams }: Pick<ThreadReadsDeps, 'streams'>,
  identity: Identity,
  threadId: string,
  runId: string,
  request: FastifyRequest,
): Promise<RunView> {
  const start = await streams.startAtRun(identity, threadId, runId, { hasRoom: true });
  return readView(streams, request, { start, wire: 'langgraph' });
}
