// The part of a chat that commands are decided from; never content. It is small and bounded, so the last major record
// of every append carries it as a checkpoint, and a decision costs one read for a chat of any length. Pure: state in,
// state out.
//
// Offsets below zero count from the record that carries the checkpoint (-1 is that record itself). A writer cannot know
// its own offsets, because minor records may come between its decision and its append.
import type { QueuePosition } from '../events/queue-position.ts';
import { countBlocked, countResume, countStart, type AttemptCount } from './attempts.ts';
import { dropUpload, reserveUpload, takeUploads, type Attached } from './uploads.ts';
import type { ChatEvent, JsonObject, RunPriority, RunTerminal } from '../events/chat-event.ts';
import { foldWait, type RunWait, type WaitContext } from './run-inputs.ts';

/** Prompts in one session that are not ended yet, the active one included. */
export const SESSION_RUNS_MAX = 64;
/** The latest messages that a retried Send is compared with. */
export const RECENT_MESSAGES_MAX = 64;
/** Agents of one chat that the state names. The request topics of earlier agents expire by themselves. */
export const AGENTS_MAX = 32;
/** Branches in the list besides the shown one. Older ones stay in the log and can be selected by their last run. */
export const BRANCHES_MAX = 32;

export interface RunInfo extends AttemptCount, RunWait {
  readonly runId: string;
  /** Of the prompt. */
  readonly messageId: string;
  /** The message id of the answer. It is chosen when the run is queued, so that all attempts and all wires give the
   *  answer the same id. */
  readonly answerId: string;
  readonly agent: string;
  readonly model: string;
  readonly priority: RunPriority;
  /** Offset of the `run.queued` record. */
  readonly queuedAt: number;
  /** Offset of the first `run.started` record, null until then: where the run's own records begin. */
  readonly startedAt: number | null;
  readonly times: RunTimes;
  /** The trace of its prompt. The session only stores it. */
  readonly trace?: string;
  /** Its prompt was answered before. */
  readonly regenerates?: true;
  /** Its `run.queued` has options for the model. */
  readonly hasOptions?: true;
  /** The worker of the current attempt ends the run when nobody watches it for this long. */
  readonly unwatchedMs?: number | undefined;
  /** The user that requested the cancellation. */
  readonly cancelledBy?: string;
}

/** From the events of the run; null until that event. */
export interface RunTimes {
  readonly queued: string;
  /** Of the first attempt. */
  readonly started: string | null;
  readonly cancelling: string | null;
}

export interface RecentMessage {
  readonly messageId: string;
  readonly bodyHash: string;
  readonly runId: string;
  readonly offset: number;
}

/** The messages that were given to a chat before its first prompt. */
export interface GivenBefore {
  /** Offset of the last one, which the first prompt follows. */
  readonly at: number;
  /** Of all of them as JSON. */
  readonly bytes: number;
  /** Of the newest request that gave some: a repeat has the same one. */
  readonly digest: string;
}

/** The last run of a branch, which names it. */
export interface BranchTip {
  readonly runId: string;
  /** Offset of its `run.queued`. */
  readonly at: number;
  /** Other runs follow it, so it is part of another branch, and leaving it loses no branch. */
  readonly isInner?: true;
}

export interface CommandState {
  /** The token's `sub` that created the session. */
  readonly owner: string;
  readonly createdAt: string;
  readonly ttlMs: number;
  /** The chat is in no list of chats. */
  readonly isUnlisted?: true;
  /** Offset of the record with the current title and metadata, null if none was given. */
  readonly infoAt: number | null;
  readonly messages: number;
  /** The head first (the active run, or the one whose request waits for a worker), then the queue. */
  readonly runs: readonly RunInfo[];
  /** The agents of this chat's runs, latest last: each may have a request topic. Absent before the first prompt, and in
   *  a chat of an earlier version. */
  readonly agents?: readonly string[];
  /** Where the shown branch ends; null before the first prompt. The next prompt follows it. */
  readonly tip: BranchTip | null;
  /** Only between messages that were given without a prompt and the first prompt. */
  readonly given?: GivenBefore | undefined;
  /** The other branches, oldest first. Absent in a chat that never had one. */
  readonly branches?: readonly BranchTip[];
  /** Absent in a chat that never had an attachment. */
  readonly attached?: Attached;
  /** Oldest first. */
  readonly recent: readonly RecentMessage[];
}

export function newCommandState(owner: string, createdAt: string, ttlMs: number, isListed = true): CommandState {
  const unlisted = isListed ? {} : ({ isUnlisted: true } as const);
  return { owner, createdAt, ttlMs, ...unlisted, infoAt: null, messages: 0, runs: [], tip: null, recent: [] };
}

/** The input of the fold besides the public event. */
export interface EventContext extends WaitContext {
  /** With `message.created`, `input.answered`, and a `run.queued` that regenerates: identifies a retry. */
  readonly bodyHash?: string;
  /** With `message.created`. */
  readonly runId?: string;
  /** With `run.queued`. */
  readonly trace?: string;
  readonly hasOptions?: boolean;
  /** With the last `history.given` of messages that come without a prompt. */
  readonly given?: Omit<GivenBefore, 'at'>;
  /** With `branch.selected`. */
  readonly tip?: BranchTip;
  /** With `run.restarted`: the attempt before it was idle. */
  readonly wasIdle?: boolean;
}

/** Total: an event that no command depends on returns the same state. */
export function foldCommandState(state: CommandState, event: ChatEvent, context: EventContext): CommandState {
  switch (event.type) {
    case 'session.created':
    case 'session.updated':
      return { ...state, infoAt: context.offset };
    case 'message.created':
      return {
        ...(event.replaces === undefined ? state : leaveBranch(state)),
        ...attachedIn(takeUploads(state.attached, event.content)),
        messages: state.messages + 1,
        recent: remember(state.recent, event.messageId, context),
      };
    case 'history.given':
      return { ...state, messages: state.messages + 1, ...givenIn(context) };
    case 'message.edited':
      return { ...state, ...attachedIn(takeUploads(state.attached, event.content)) };
    case 'attachment.reserved':
      return { ...state, attached: reserveUpload(state.attached, event) };
    case 'attachment.dropped':
      return { ...state, attached: dropUpload(state.attached, event) };
    case 'run.queued':
      return queueRun(state, event, context);
    case 'branch.selected':
      return context.tip === undefined ? state : selectBranch(state, context.tip);
    case 'run.started':
    case 'run.restarted':
      return changeRun(state, event.runId, (run) => ({
        ...run,
        unwatchedMs: event.unwatchedMs,
        ...countStart(run, context.wasIdle ?? false),
        startedAt: run.startedAt ?? context.offset,
        times: { ...run.times, started: run.times.started ?? event.createdAt },
        state: run.state === 'cancelling' ? 'cancelling' : 'running',
      }));
    case 'run.blocked':
      return changeRun(state, event.runId, (run) => ({ ...run, ...countBlocked(run, event.attempt) }));
    case 'input.requested':
    case 'run.waiting':
    case 'input.answered':
    case 'input.closed':
      return changeRun(state, event.runId, (run) => ({ ...run, ...foldWait(run, event, context) }));
    case 'run.resumed':
      return changeRun(state, event.runId, (run) => ({
        ...run,
        unwatchedMs: event.unwatchedMs,
        ...countResume(run),
        leg: event.leg,
        state: run.state === 'cancelling' ? 'cancelling' : 'running',
      }));
    case 'run.cancelling':
      return changeRun(state, event.runId, (run) => ({
        ...run,
        state: 'cancelling',
        cancelledBy: event.by,
        times: { ...run.times, cancelling: run.times.cancelling ?? event.createdAt },
      }));
    case 'run.completed':
    case 'run.failed':
    case 'run.cancelled':
      return endRun(state, event);
    case 'part.started':
    case 'delta':
    case 'tool.result':
    case 'run.answer':
      return state;
    default:
      return event satisfies never;
  }
}

function givenIn({ given, offset }: EventContext): Pick<CommandState, 'given'> {
  return given === undefined ? {} : { given: { ...given, at: offset } };
}

function attachedIn(attached: Attached | undefined): Pick<CommandState, 'attached'> {
  return attached === undefined ? {} : { attached };
}

function remember(
  recent: readonly RecentMessage[],
  messageId: string,
  context: EventContext,
): readonly RecentMessage[] {
  const entry = { messageId, bodyHash: context.bodyHash ?? '', runId: context.runId ?? '', offset: context.offset };
  return [...recent.slice(-(RECENT_MESSAGES_MAX - 1)), entry];
}

const HAS_OPTIONS = { hasOptions: true } as const;

function queuedRun(event: Extract<ChatEvent, { type: 'run.queued' }>, context: EventContext): RunInfo {
  const { runId, messageId, answerId = runId, agent, model, priority } = event;
  const trace = context.trace === undefined ? {} : { trace: context.trace };
  const times = { queued: event.createdAt, started: null, cancelling: null };
  const run = {
    runId,
    messageId,
    answerId,
    agent,
    model,
    priority,
    state: 'queued',
    queuedAt: context.offset,
    startedAt: null,
    attempt: 0,
    times,
    ...trace,
    ...(context.hasOptions === true ? HAS_OPTIONS : {}),
  } as const;
  return event.regenerates === undefined ? run : { ...run, regenerates: true };
}

/** A regeneration is stored among the recent messages under the id of its answer, so that a retry finds it. */
function queueRun(
  state: CommandState,
  event: Extract<ChatEvent, { type: 'run.queued' }>,
  context: EventContext,
): CommandState {
  const run = queuedRun(event, context);
  const queued = {
    ...state,
    agents: withAgent(state.agents, run.agent),
    runs: [...state.runs, run],
    tip: { runId: run.runId, at: context.offset },
    ...(state.given === undefined ? {} : { given: undefined }),
  };
  if (event.regenerates === undefined) return queued;
  const recent = remember(state.recent, run.answerId, { ...context, runId: run.runId });
  return { ...leaveBranch(state), agents: queued.agents, runs: queued.runs, tip: queued.tip, recent };
}

function withAgent(agents: readonly string[] = [], agent: string): readonly string[] {
  return agents.at(-1) === agent ? agents : [...agents.filter((one) => one !== agent).slice(-(AGENTS_MAX - 1)), agent];
}

/** Moves the shown branch to the other branches. */
function leaveBranch(state: CommandState): CommandState {
  const { tip, branches = [] } = state;
  return tip === null || tip.isInner === true
    ? state
    : { ...state, branches: [...branches.slice(-(BRANCHES_MAX - 1)), tip] };
}

function selectBranch(state: CommandState, tip: BranchTip): CommandState {
  const { branches = [], ...left } = leaveBranch(state);
  return { ...left, tip, branches: branches.filter(({ runId }) => runId !== tip.runId) };
}

function changeRun(state: CommandState, runId: string, change: (run: RunInfo) => RunInfo): CommandState {
  return { ...state, runs: state.runs.map((run) => (run.runId === runId ? change(run) : run)) };
}

/** A completed answer counts as a message of the chat. */
function endRun(state: CommandState, event: RunTerminal): CommandState {
  const messages = event.type === 'run.completed' ? state.messages + 1 : state.messages;
  return { ...state, messages, runs: state.runs.filter((run) => run.runId !== event.runId) };
}

export function findRun(state: CommandState, runId: string): RunInfo | undefined {
  return state.runs.find((run) => run.runId === runId);
}

/** The queue position of each queued run. A run behind the head has the runs of its own session before it. The head has
 *  those requests of other sessions before it that the workers of its agent serve first. `head`: the position of the
 *  head, undefined where that is not known or a worker has it. */
export function queuePositions(
  runs: readonly RunInfo[],
  head: QueuePosition | undefined,
): ReadonlyMap<string, QueuePosition> {
  const positions = new Map<string, QueuePosition>();
  for (const [i, run] of runs.entries()) {
    if (run.state !== 'queued') continue;
    if (i > 0) positions.set(run.runId, { ahead: i + (head?.ahead ?? 0), ...(head?.paused && { paused: true }) });
    else if (head !== undefined) positions.set(run.runId, head);
  }
  return positions;
}

/** Turns offsets that count from the carrying record into real ones. */
export function resolveOffsets(state: CommandState, carrier: number): CommandState {
  const resolve = (offset: number): number => (offset < 0 ? carrier + 1 + offset : offset);
  return {
    ...state,
    infoAt: state.infoAt === null ? null : resolve(state.infoAt),
    runs: state.runs.map((run) => ({
      ...run,
      queuedAt: resolve(run.queuedAt),
      startedAt: run.startedAt === null ? null : resolve(run.startedAt),
      ...(run.inputs === undefined ? {} : { inputs: run.inputs.map((one) => ({ ...one, at: resolve(one.at) })) }),
    })),
    tip: state.tip === null ? null : { ...state.tip, at: resolve(state.tip.at) },
    ...(state.given === undefined ? {} : { given: { ...state.given, at: resolve(state.given.at) } }),
    recent: state.recent.map((entry) => (entry.offset < 0 ? { ...entry, offset: resolve(entry.offset) } : entry)),
  };
}

/** The recent messages are the bulk of a checkpoint. `recentAt`: the checkpoint at that offset holds them, and
 *  `added` came since. Undefined: this one holds all of them. */
export function encodeCheckpoint(
  state: CommandState,
  recentAt?: number,
  added: readonly RecentMessage[] = [],
): JsonObject {
  const { recent, ...rest } = state;
  if (recentAt === undefined) return { checkpoint: { ...rest, recent } };
  return { checkpoint: { ...rest, recentAt, ...(added.length === 0 ? {} : { recent: added }) } };
}

interface StoredState extends Omit<CommandState, 'recent'> {
  readonly recentAt?: number;
  /** Absent where nothing came since `recentAt`. */
  readonly recent?: readonly RecentMessage[];
}

export interface Checkpoint {
  /** With a `recentAt`, `recent` has only what came since. */
  readonly state: CommandState;
  readonly recentAt: number | undefined;
}

/** Undefined if the record carries no checkpoint. Only `encodeCheckpoint` writes that field. */
export function decodeCheckpoint(hidden: JsonObject | undefined, carrier: number): Checkpoint | undefined {
  const stored = hidden?.['checkpoint'] as StoredState | undefined;
  if (stored === undefined) return undefined;
  const { recentAt, recent = [], ...rest } = stored;
  return { state: resolveOffsets({ ...rest, recent }, carrier), recentAt };
}
