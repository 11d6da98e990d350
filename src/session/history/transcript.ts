// The messages of a branch in order, each answer directly after its prompt, for history pages and for models. A fold
// over the log's items, total and without I/O.
import type { LogItem } from '../../broker/broker.ts';
import { AnswerBuilder, type AnswerPart } from '../events/answer-builder.ts';
import {
  eventUnlessDamaged,
  type ChatEvent,
  type MessageContent,
  type RunAnswer,
  type RunError,
  type RunRestarted,
  type RunUsage,
  type ToolCall,
  type ToolOutcome,
} from '../events/chat-event.ts';
import { foldInput, type FoldingInputs, type TranscriptInput } from './transcript-inputs.ts';

/** `waiting`: of an answer whose run waits for inputs; once they are answered it is `queued` again. `given`: of a
 *  message that came before the first prompt, from a conversation held elsewhere. */
export type MessageStatus =
  'given' | 'sent' | 'queued' | 'streaming' | 'waiting' | 'completed' | 'failed' | 'cancelled';

export interface TranscriptPart extends AnswerPart {
  readonly executor?: 'agent' | 'client';
  readonly result?: unknown;
  readonly error?: string;
}

export interface TranscriptMessage {
  readonly messageId: string;
  readonly role: 'user' | 'system' | 'assistant' | 'tool';
  /** An answer's content is the text of its text parts. */
  readonly content: MessageContent;
  readonly status: MessageStatus;
  readonly createdAt: string;
  readonly runId?: string;
  /** The prompt that this one replaces. */
  readonly replaces?: string;
  readonly usage?: RunUsage;
  readonly error?: RunError;
  /** Of an answer: records of the chat are lost between its beginning and its end, so a part of it may be missing. */
  readonly damaged?: true;
  /** Of an answer whose run asked for inputs, oldest first. */
  readonly inputs?: readonly TranscriptInput[];
  /** Of an answer that has more than one text part. */
  readonly parts?: readonly TranscriptPart[];
  /** Of a prompt: the outcomes of calls of the answer that it follows. */
  readonly toolResults?: readonly ToolOutcome[];
  /** Of a given message of the role `assistant`. */
  readonly toolCalls?: readonly ToolCall[];
  /** Of a given message of the role `tool`. */
  readonly toolCallId?: string;
}

/** Offsets whose records are lost, inclusive. */
export interface LostRange {
  readonly from: number;
  readonly to: number;
}

/** A message and the offset by which pages are cut: of a prompt's record, or of an answer's `run.queued`. Offsets rise
 *  in the order of the transcript. */
export interface TranscriptEntry {
  readonly offset: number;
  readonly message: TranscriptMessage;
}

interface FoldingRun extends FoldingInputs {
  readonly runId: string;
  readonly queuedAt: number;
  answerId?: string;
  createdAt?: string;
  status: MessageStatus;
  usage?: RunUsage;
  error?: RunError;
  /** Records are lost since the run was queued. */
  isDamaged: boolean;
  /** The answer from its deltas, until the `run.answer` records replace them. */
  readonly streamed: AnswerBuilder;
  readonly finished: { kind: AnswerPart['kind']; chunks: string[] }[];
  readonly heads: Map<number, PartHead>;
  /** Deltas of it were superseded: it had a first part, also where no record says that one began. */
  hasHole: boolean;
}

interface GivenTurn {
  readonly offset: number;
  readonly given: Extract<ChatEvent, { type: 'history.given' }>;
}

interface FoldingTurn {
  readonly offset: number;
  message: Extract<ChatEvent, { type: 'message.created' }>;
  run?: FoldingRun;
}

export class Transcript {
  readonly #branch: ReadonlySet<number>;
  readonly #turns: (FoldingTurn | GivenTurn)[] = [];
  readonly #byMessage = new Map<string, FoldingTurn>();
  readonly #runs = new Map<string, FoldingRun>();
  readonly #lost: LostRange[] = [];
  #chars = 0;

  /** `branch`: offsets of the prompts (`message.created`) and runs (`run.queued`) that belong to it. */
  constructor(branch: ReadonlySet<number>) {
    this.#branch = branch;
  }

  /** UTF-16 code units of the records that the transcript contains. */
  get chars(): number {
    return this.#chars;
  }

  /** Items in log order. Ignores unknown events. A record whose text is damaged counts as lost. */
  apply(item: LogItem): void {
    if (item.kind === 'lost') this.#noteLost(item);
    if (item.kind === 'hole') this.#noteHole();
    if (item.kind !== 'record') return;
    const event = eventUnlessDamaged(item.data);
    if (event === 'damaged') {
      this.#noteLost({ from: item.offset, to: item.offset });
      return;
    }
    if (event !== undefined && this.#applyEvent(event, item.offset)) this.#chars += item.data.length;
  }

  /** The lost records among the items. */
  get lost(): readonly LostRange[] {
    return this.#lost;
  }

  messages(): TranscriptEntry[] {
    return this.#turns.flatMap((turn) => {
      const { offset } = turn;
      if ('given' in turn) return [{ offset, message: givenMessage(turn.given) }];
      const { message, run } = turn;
      const prompt = { offset, message: promptMessage(message, run) };
      const answer = run === undefined ? undefined : answerMessage(run);
      return run === undefined || answer === undefined ? [prompt] : [prompt, { offset: run.queuedAt, message: answer }];
    });
  }

  #noteLost({ from, to }: LostRange): void {
    this.#lost.push({ from, to });
    for (const run of this.#runs.values())
      if (run.status === 'queued' || run.status === 'streaming' || run.status === 'waiting') run.isDamaged = true;
  }

  /** One run of a chat streams at a time, and only deltas are superseded. */
  #noteHole(): void {
    for (const run of this.#runs.values()) if (run.status === 'streaming') run.hasHole = true;
  }

  /** False if the event belongs to another branch, or changes no message. */
  #applyEvent(event: ChatEvent, offset: number): boolean {
    if (event.type === 'history.given') {
      if (this.#branch.has(offset)) this.#turns.push({ offset, given: event });
      return this.#branch.has(offset);
    }
    if (event.type === 'message.created') {
      if (!this.#branch.has(offset)) return false;
      const turn: FoldingTurn = { offset, message: event };
      this.#turns.push(turn);
      this.#byMessage.set(event.messageId, turn);
      return true;
    }
    if (event.type === 'message.edited') {
      const turn = this.#byMessage.get(event.messageId);
      if (turn !== undefined) turn.message = { ...turn.message, content: event.content };
      return turn !== undefined;
    }
    if (event.type === 'run.queued') {
      if (this.#branch.has(offset)) this.#queue(event.runId, event.messageId, offset);
      return this.#branch.has(offset);
    }
    const run = 'runId' in event ? this.#runs.get(event.runId) : undefined;
    if (run !== undefined) foldRun(run, event, offset);
    return run !== undefined;
  }

  #queue(runId: string, messageId: string, queuedAt: number): void {
    const turn = this.#byMessage.get(messageId);
    if (turn === undefined) return;
    turn.run = {
      runId,
      queuedAt,
      status: 'queued',
      isDamaged: false,
      streamed: new AnswerBuilder(),
      finished: [],
      heads: new Map(),
      results: new Map(),
      inputs: new Map(),
      open: new Set(),
      leg: 0,
      hasHole: false,
    };
    this.#runs.set(runId, turn.run);
  }
}

function foldRun(run: FoldingRun, event: ChatEvent, offset: number): void {
  switch (event.type) {
    case 'run.started':
      run.status = 'streaming';
      run.answerId = event.messageId;
      run.createdAt ??= event.createdAt;
      return;
    case 'part.started':
      run.heads.set(event.part, pickHead(event));
      run.streamed.apply(event, offset);
      return;
    case 'run.restarted':
      dropHeads(run, event);
      run.streamed.apply(event, offset);
      return;
    case 'run.answer':
      addChunk(run, event);
      return;
    case 'tool.result':
      run.results.set(event.toolCallId, event.error === undefined ? { result: event.result } : { error: event.error });
      return;
    case 'input.requested':
    case 'input.answered':
    case 'input.closed':
      foldInput(run, event, Math.max(run.streamed.partCount, run.hasHole ? 1 : 0));
      return;
    case 'run.waiting':
      run.status = 'waiting';
      for (const inputId of event.inputs) run.open.add(inputId);
      return;
    case 'run.resumed':
      run.status = 'streaming';
      run.leg = event.leg;
      run.streamed.apply(event, offset);
      return;
    case 'run.completed':
      run.status = 'completed';
      if (event.usage !== undefined) run.usage = event.usage;
      return;
    case 'run.failed':
      run.status = 'failed';
      run.error = event.error;
      if (event.usage !== undefined) run.usage = event.usage;
      return;
    case 'run.cancelled':
      run.status = 'cancelled';
      if (event.usage !== undefined) run.usage = event.usage;
      return;
    default:
      run.streamed.apply(event, offset);
  }
}

/** Removes the tool calls that a restart drops, with their results: the next attempt may produce another part there. */
function dropHeads(run: FoldingRun, { part, at }: RunRestarted): void {
  for (const [dropped, { toolCallId }] of run.heads) {
    if (dropped < part || (dropped === part && at > 0)) continue;
    run.heads.delete(dropped);
    if (toolCallId !== undefined) run.results.delete(toolCallId);
  }
}

type PartHead = Pick<TranscriptPart, 'toolCallId' | 'toolName' | 'executor'>;

function pickHead({ toolCallId, toolName, executor }: PartHead): PartHead {
  return {
    ...(toolCallId === undefined ? {} : { toolCallId }),
    ...(toolName === undefined ? {} : { toolName }),
    ...(executor === undefined ? {} : { executor }),
  };
}

function addChunk(run: FoldingRun, { part, kind, text }: RunAnswer): void {
  const stored = (run.finished[part] ??= { kind, chunks: [] });
  stored.chunks.push(text);
}

function givenMessage(given: GivenTurn['given']): TranscriptMessage {
  const { messageId, role, content, toolCalls, toolCallId, createdAt } = given;
  return {
    messageId,
    role,
    content,
    status: 'given',
    createdAt,
    ...(toolCalls === undefined ? {} : { toolCalls }),
    ...(toolCallId === undefined ? {} : { toolCallId }),
  };
}

function promptMessage(message: FoldingTurn['message'], run: FoldingRun | undefined): TranscriptMessage {
  const { messageId, role, content, createdAt, replaces, toolResults } = message;
  const neverStarted = run !== undefined && run.answerId === undefined;
  const status = neverStarted ? run.status : 'sent';
  return {
    messageId,
    role,
    content,
    status,
    createdAt,
    ...(replaces === undefined ? {} : { replaces }),
    ...(toolResults === undefined ? {} : { toolResults }),
    ...(run === undefined ? {} : { runId: run.runId }),
  };
}

function answerMessage(run: FoldingRun): TranscriptMessage | undefined {
  if (run.answerId === undefined) return undefined;
  const parts = answerParts(run);
  const texts = parts.filter((part) => part.kind === 'text');
  return {
    messageId: run.answerId,
    role: 'assistant',
    content: texts.map((part) => part.text).join(''),
    status: run.status,
    createdAt: run.createdAt ?? '',
    runId: run.runId,
    ...(run.usage === undefined ? {} : { usage: run.usage }),
    ...(run.error === undefined ? {} : { error: run.error }),
    ...(run.isDamaged ? { damaged: true } : {}),
    ...(run.inputs.size === 0 ? {} : { inputs: [...run.inputs.values()] }),
    ...(parts.length === texts.length && parts.length <= 1 ? {} : { parts }),
  };
}

/** A finished part without text, such as a call without arguments, has no `run.answer`: only its `part.started` names
 *  it. */
function wholeParts({ finished, streamed }: FoldingRun): AnswerPart[] {
  const begun = streamed.parts();
  if (finished.length === 0) return begun;
  return Array.from({ length: Math.max(finished.length, begun.length) }, (_, i) => {
    const stored = finished[i];
    return stored === undefined
      ? { kind: begun[i]?.kind ?? 'text', text: '' }
      : { kind: stored.kind, text: stored.chunks.join('') };
  });
}

function answerParts(run: FoldingRun): TranscriptPart[] {
  return wholeParts(run).map((part, i) => {
    const head = run.heads.get(i) ?? {};
    const result = head.toolCallId === undefined ? undefined : run.results.get(head.toolCallId);
    return { ...part, ...head, ...result };
  });
}
