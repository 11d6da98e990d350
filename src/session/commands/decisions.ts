// What each command does to a chat, as pure functions: a command state and a command in, drafts of events out, or a
// refusal. The command log turns the drafts into one conditional append. No decision destroys history: a branch that is
// left stays in the log and can be selected again.
import { createHash, type Hash } from 'node:crypto';
import type { NewRecord } from '../../broker/broker.ts';
import type { ChatEvent, JsonObject, MessageContent, RunPriority, ToolOutcome } from '../events/chat-event.ts';
import { encodeOptions, type RunOptions } from '../events/run-options.ts';
import {
  findRun,
  foldCommandState,
  SESSION_RUNS_MAX,
  type BranchTip,
  type CommandState,
  type EventContext,
  type RunInfo,
} from './command-state.ts';
import { isOpenInput, type RunInput } from './run-inputs.ts';
import { encodePromptLink, encodeRunLink, GIVEN_LINK } from './branch-links.ts';
import { givenEvents, HISTORY_BYTES_MAX, HISTORY_MESSAGES_MAX, type GivenMessage } from '../events/given-message.ts';
import { SessionError } from '../errors.ts';

export interface Draft {
  readonly event: ChatEvent;
  /** Of the event without the further hidden fields. Undefined: it is encoded when it is appended. */
  readonly record?: NewRecord;
  /** The input of the fold besides the public event. Not stored. */
  readonly context?: Omit<EventContext, 'offset'>;
  /** Further hidden fields. */
  readonly hidden?: JsonObject;
}

/** Events to append together, the last of them major, and the state after them. */
export interface Decision {
  readonly drafts: readonly Draft[];
  /** Offsets in it count back from the last draft. */
  readonly after: CommandState;
}

/** What becomes of the other runs of a chat. `give-up`: as `interrupt` where the first run waits for a human, and as
 *  `queue` behind any other run. */
export type OnBusy = 'queue' | 'interrupt' | 'reject' | 'give-up';

export interface SendCommand {
  readonly messageId: string;
  readonly content: MessageContent;
  /** Digest of content, agent and model. A retry has the same one. */
  readonly bodyHash: string;
  readonly user: string;
  readonly agent: string;
  readonly model: string;
  readonly priority: RunPriority;
  readonly onBusy: OnBusy;
  readonly createdAt: string;
  /** The prompt that this one replaces. Undefined: it follows the shown branch. */
  readonly replaces?: { readonly messageId: string; readonly after: number | null };
  /** The run that it follows, which is shown from then on. Undefined: the last run of the shown branch. Never with
   *  `replaces`. */
  readonly follows?: BranchTip;
  /** For the model. */
  readonly options?: RunOptions;
  /** What calls of the answer before gave. */
  readonly toolResults?: readonly ToolOutcome[];
  /** Messages from elsewhere that come before the first prompt of a chat: an event for each. */
  readonly given?: readonly Draft[];
  /** Fresh ids, used if the message is new. */
  readonly runId: string;
  readonly answerId: string;
  readonly trace?: string;
}

/** The digest by which a retry is recognised. */
export function bodyHashOf(body: readonly unknown[]): string {
  return digestOf(createHash('sha256').update(JSON.stringify(body)));
}

/** Of a body whose JSON was hashed in pieces. */
export function digestOf(hash: Hash): string {
  return hash.digest('base64url').slice(0, 22);
}

/** The run of the same message or regeneration, if it was stored before. @throws SessionError message-conflict */
export function findRepeat(
  state: CommandState,
  command: Pick<SendCommand, 'messageId' | 'bodyHash'>,
): { runId: string; offset: number; queued: number } | undefined {
  const seen = state.recent.find((entry) => entry.messageId === command.messageId);
  if (seen === undefined) return undefined;
  if (seen.bodyHash !== command.bodyHash) throw new SessionError('message-conflict');
  const queuePosition = state.runs.findIndex((run) => run.runId === seen.runId);
  return { runId: seen.runId, offset: seen.offset, queued: Math.max(queuePosition, 0) };
}

/** The prompt with the same body whose run has not ended. Undefined where there is none, or more than one: each of them
 *  was meant. */
export function findEqual(
  state: CommandState,
  { bodyHash }: Pick<SendCommand, 'bodyHash'>,
): { messageId: string; runId: string; offset: number; queued: number } | undefined {
  const equal = state.recent.filter(
    (entry) => entry.bodyHash === bodyHash && state.runs.some(({ runId }) => runId === entry.runId),
  );
  const [one] = equal;
  if (one === undefined || equal.length > 1) return undefined;
  const { messageId, runId, offset } = one;
  return { messageId, runId, offset, queued: state.runs.findIndex((run) => run.runId === runId) };
}

/** The current time for the events of that run. */
export type TimeOfRun = (run: RunInfo) => string;

/** `first`: comes before the prompt in the log. @throws SessionError busy, queue-full, session-not-new */
export function decideSend(
  state: CommandState,
  command: SendCommand,
  timeOf: TimeOfRun,
  first: readonly Draft[] = [],
): Decision {
  const { messageId, runId, agent, model, priority, user, content, createdAt, bodyHash, answerId, trace } = command;
  const { replaces, follows, given = [], options, toolResults } = command;
  if (given.length > 0 && (state.tip !== null || state.messages > 0)) throw new SessionError('session-not-new');
  const role = toolResults === undefined || content !== '' ? 'user' : 'tool';
  const results = toolResults === undefined ? {} : { toolResults };
  const created = { type: 'message.created', messageId, role, content, ...results, createdAt, user } as const;
  const after = replaces === undefined ? ((follows ?? state.tip ?? state.given)?.at ?? null) : replaces.after;
  const links = given.length > 0 ? GIVEN_LINK : encodePromptLink(after);
  const drafts: Draft[] = [
    ...first,
    ...makeRoom(state, command, timeOf),
    ...(follows === undefined ? [] : selectDrafts(state, follows, user)),
    ...given,
    {
      event: replaces === undefined ? created : { ...created, replaces: replaces.messageId },
      context: { bodyHash, runId },
      hidden: links,
    },
    {
      event: { type: 'run.queued', runId, messageId, answerId, agent, model, priority, createdAt },
      context: { hasOptions: options !== undefined, ...(trace === undefined ? {} : { trace }) },
      hidden: encodeOptions(options),
    },
  ];
  return foldDrafts(state, drafts);
}

/** Messages from elsewhere for a chat that has no prompt yet. */
export interface GiveCommand {
  /** At least one. */
  readonly history: readonly GivenMessage[];
  /** Of them as JSON. */
  readonly bytes: number;
  /** Of the request. */
  readonly digest: string;
  /** The request may have been stored before. */
  readonly isRepeat: boolean;
}

/** Undefined if the newest messages are of this request. All messages of a chat that come before its first prompt have
 *  the bounds of one history. @throws SessionError session-not-new, too-large */
export function decideGive(
  state: CommandState,
  { history, bytes, digest, isRepeat }: GiveCommand,
  createdAt: string,
  first: readonly Draft[] = [],
): Decision | undefined {
  if (isRepeat && state.given?.digest === digest) return undefined;
  if (state.tip !== null) throw new SessionError('session-not-new');
  const all = { digest, bytes: (state.given?.bytes ?? 0) + bytes };
  if (all.bytes > HISTORY_BYTES_MAX || state.messages + history.length > HISTORY_MESSAGES_MAX)
    throw new SessionError('too-large');
  const events = givenEvents(history, createdAt, state.messages);
  const drafts = events.map((event, i) => (i < events.length - 1 ? { event } : { event, context: { given: all } }));
  return foldDrafts(state, [...first, ...drafts]);
}

/** The drafts that end or stop other runs before a new one is queued. @throws SessionError busy, queue-full */
export function makeRoom(
  state: CommandState,
  { onBusy, user }: Pick<SendCommand, 'onBusy' | 'user'>,
  timeOf: TimeOfRun,
): Draft[] {
  if (onBusy === 'reject' && state.runs.length > 0) throw new SessionError('busy');
  const stops = onBusy === 'interrupt' || (onBusy === 'give-up' && state.runs[0]?.state === 'waiting');
  const stopped = stops ? interruptDrafts(state, user, timeOf) : [];
  const left = state.runs.length - stopped.filter(({ event }) => event.type !== 'input.closed').length;
  if (left >= SESSION_RUNS_MAX) throw new SessionError('queue-full');
  return stopped;
}

/** Stops the running or waiting run and withdraws the queued ones, so that the new prompt is next. */
function interruptDrafts(state: CommandState, by: string, timeOf: TimeOfRun): Draft[] {
  const why = { by, reason: 'interrupted' };
  return state.runs.flatMap((run): Draft[] => {
    if (run.state === 'queued')
      return [{ event: { type: 'run.cancelled', runId: run.runId, ...why, endedAt: timeOf(run) } }];
    if (run.state === 'waiting') return cancelWaiting(run, why, timeOf(run));
    if (run.state === 'running')
      return [{ event: { type: 'run.cancelling', runId: run.runId, ...why, createdAt: timeOf(run) } }];
    return [];
  });
}

/** The run that a cancel names, or the head. @throws SessionError no-active-run */
export function cancelTarget(state: CommandState, runId: string | undefined): RunInfo {
  const run = runId === undefined ? state.runs[0] : findRun(state, runId);
  if (run === undefined) throw new SessionError('no-active-run');
  return run;
}

/** A queued or waiting run ends at once. A running one is marked as cancelling, because only the holder of its fence
 *  may end it. Undefined if it is marked already. */
export function decideCancel(
  state: CommandState,
  run: RunInfo,
  by: string,
  reason: string | undefined,
  now: string,
): Decision | undefined {
  const why = reason === undefined ? { by } : { by, reason };
  switch (run.state) {
    case 'queued':
      return foldDrafts(state, [{ event: { type: 'run.cancelled', runId: run.runId, ...why, endedAt: now } }]);
    case 'running':
      return foldDrafts(state, [{ event: { type: 'run.cancelling', runId: run.runId, ...why, createdAt: now } }]);
    case 'waiting':
      return foldDrafts(state, cancelWaiting(run, why, now));
    case 'cancelling':
      return undefined;
    default:
      return run.state satisfies never;
  }
}

/** No worker has the run, so it ends at once. The deltas of its answer stay in the log as they are. */
function cancelWaiting(run: RunInfo, why: { readonly by: string; readonly reason?: string }, endedAt: string): Draft[] {
  return [
    ...openInputs(run).map(({ inputId }) => closedDraft(run, inputId, 'cancelled', endedAt)),
    { event: { type: 'run.cancelled', runId: run.runId, ...why, endedAt } },
  ];
}

/** The runs that waited and that these drafts cancel: they need no end at the time of their wait. */
export function cancelledWaits(before: CommandState, drafts: readonly Draft[]): readonly RunInfo[] {
  return drafts.flatMap(({ event }) => {
    const run = event.type === 'run.cancelled' ? findRun(before, event.runId) : undefined;
    return run?.state === 'waiting' ? [run] : [];
  });
}

/** The inputs of a run that are neither answered nor closed. */
export function openInputs(run: RunInfo): readonly RunInput[] {
  return run.inputs?.filter(isOpenInput) ?? [];
}

export function closedDraft(
  { runId }: RunInfo,
  inputId: string,
  reason: 'expired' | 'cancelled',
  createdAt: string,
): Draft {
  return { event: { type: 'input.closed', runId, inputId, reason, createdAt } };
}

export interface RegenerateCommand extends Pick<
  SendCommand,
  'bodyHash' | 'user' | 'onBusy' | 'runId' | 'answerId' | 'createdAt' | 'trace' | 'options'
> {
  /** Of the prompt. */
  readonly messageId: string;
  readonly promptAt: number;
  readonly agent: string;
  readonly model: string;
  readonly priority: RunPriority;
}

/** Queues another answer to a prompt. Refuses a prompt with a run that has not ended, unless it interrupts. @throws
 *  SessionError busy, queue-full */
export function decideRegenerate(state: CommandState, command: RegenerateCommand, timeOf: TimeOfRun): Decision {
  const { messageId, runId, agent, model, priority, bodyHash, answerId, promptAt, onBusy, createdAt } = command;
  const { trace, options } = command;
  if (onBusy !== 'interrupt' && state.runs.some((run) => run.messageId === messageId)) throw new SessionError('busy');
  const queued = { type: 'run.queued', runId, messageId, answerId, agent, model, priority, createdAt } as const;
  return foldDrafts(state, [
    ...makeRoom(state, command, timeOf),
    {
      event: { ...queued, regenerates: true },
      context: { bodyHash, hasOptions: options !== undefined, ...(trace === undefined ? {} : { trace }) },
      hidden: { ...encodeRunLink(promptAt), ...encodeOptions(options) },
    },
  ]);
}

export interface EditCommand {
  readonly messageId: string;
  readonly content: MessageContent;
  readonly editedAt: string;
  readonly user: string;
}

/** The run keeps its queue position. @throws SessionError not-waiting */
export function decideEdit(state: CommandState, command: EditCommand): Decision {
  waitingRun(state, command.messageId);
  return foldDrafts(state, [{ event: { type: 'message.edited', ...command } }]);
}

/** @throws SessionError not-waiting */
export function decideWithdraw(state: CommandState, messageId: string, by: string, endedAt: string): Decision {
  const { runId } = waitingRun(state, messageId);
  return foldDrafts(state, [{ event: { type: 'run.cancelled', runId, by, reason: 'withdrawn', endedAt } }]);
}

/** Undefined if that branch is shown already. */
export function decideSelect(state: CommandState, tip: BranchTip, by: string): Decision | undefined {
  const drafts = selectDrafts(state, tip, by);
  return drafts.length === 0 ? undefined : foldDrafts(state, drafts);
}

/** Empty if that branch is shown already. */
function selectDrafts(state: CommandState, tip: BranchTip, by: string): Draft[] {
  if (state.tip?.runId === tip.runId) return [];
  const isEnd = state.branches?.some(({ runId }) => runId === tip.runId) === true;
  const { runId, at } = tip;
  const context = { tip: isEnd ? { runId, at } : ({ runId, at, isInner: true } as const) };
  return [{ event: { type: 'branch.selected', runId, by }, context }];
}

/** The queued run of a prompt that no run has ever begun to answer. */
function waitingRun(state: CommandState, messageId: string): RunInfo {
  const run = state.runs.find((one) => one.messageId === messageId);
  if (run?.state !== 'queued' || run.startedAt !== null || run.regenerates === true)
    throw new SessionError('not-waiting');
  return run;
}

/** The decision to append these drafts. */
export function foldDrafts(state: CommandState, drafts: readonly Draft[]): Decision {
  const after = drafts.reduce(
    (folded, draft, i) => foldCommandState(folded, draft.event, { ...draft.context, offset: i - drafts.length }),
    state,
  );
  return { drafts, after };
}
