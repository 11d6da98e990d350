// One chat as a program holds it: commands, and an observable snapshot. Combines the replica (the copy of the log), the
// connection, and the outbox (messages that are not acknowledged yet).
import { ChatReplica } from './state/chat-replica.ts';
import type { ReplicaCounters } from './state/chat-replica.ts';
import { ChatClientError } from './chat-client-error.ts';
import { ChatConnection } from './chat-connection.ts';
import type { ConnectionState } from './chat-connection.ts';
import { isOpen } from './state/chat-state.ts';
import type { Input, LostPart, Message, Run } from './state/chat-state.ts';
import { randomId } from './environment.ts';
import type { Environment, WakeReason } from './environment.ts';
import type { Call, HttpApi } from './http/http-api.ts';
import { parseAnswered, parseAttachment, parseRegenerated, parseRunId } from './protocol/http-bodies.ts';
import { Outbox } from './state/outbox.ts';
import type { Outgoing } from './state/outbox.ts';
import { PatientCaller } from './http/patient-caller.ts';
import { SnapshotStore } from './state/snapshot-store.ts';
import { reuseList } from './state/state-reuse.ts';
import type { TokenSource } from './http/token-source.ts';
import type { WireChoice } from './wire/wire-choice.ts';
import type {
  AnswerReceipt,
  AttachedFile,
  InputAnswer,
  MessageContent,
  RegenerateReceipt,
  SendReceipt,
} from './protocol/wire-events.ts';
import type { WireName } from './protocol/wire.ts';

export interface ChatCounters extends ReplicaCounters {
  /** New connections that resumed from a held position. */
  readonly resumes: number;
}

/** The state to show at one moment. Immutable: unchanged values are the same objects as before. */
export interface ChatSnapshot {
  readonly sessionId: string;
  readonly title?: string;
  readonly metadata?: unknown;
  /** The shown branch, in the order of the conversation, with unacknowledged messages at the end. */
  readonly messages: readonly Message[];
  /** Of all branches. */
  readonly runs: readonly Run[];
  /** The server has announced that the chat ends at this time although it is watched, unless `keep` extends it. */
  readonly expiresAt?: string;
  /** Parts of the chat that the server has lost. Absent without any. */
  readonly lost?: readonly LostPart[];
  /** The run that is writing now, or that waits for its inputs. */
  readonly activeRun?: Run;
  /** What the shown branch waits for: the open inputs of its answers, oldest first. */
  readonly openInputs: readonly Input[];
  readonly connection: ConnectionState;
  /** The wire in use, or last used. */
  readonly wire?: WireName;
  /** The position of the last event received; a reader elsewhere would resume from it. */
  readonly position?: string;
  readonly counters: ChatCounters;
}

export type SendOptions = Partial<Omit<Outgoing, 'content'>>;

export interface RegenerateOptions extends Pick<SendOptions, 'model' | 'agent' | 'priority' | 'onBusy'> {
  /** Names the new answer: a repeated request with the same id gets the same answer. */
  readonly answerId?: string;
}

export interface ChatParts {
  readonly api: HttpApi;
  readonly tokens: TokenSource;
  readonly wires: WireChoice;
  readonly environment: Environment;
  /** How long a message or a stop is retried before it is abandoned, in ms. */
  readonly patienceMs?: number;
  /** This client closed the chat. */
  readonly onClose: () => void;
}

export class Chat {
  readonly sessionId: string;
  readonly #api: HttpApi;
  readonly #caller: PatientCaller;
  readonly #replica = new ChatReplica();
  readonly #connection: ChatConnection;
  readonly #outbox: Outbox;
  readonly #store: SnapshotStore<ChatSnapshot>;
  readonly #onClose: () => void;
  #openInputs: readonly Input[] = [];

  /** Made by `ChatClient.chat`, connected at once. */
  constructor(sessionId: string, parts: ChatParts) {
    const { api, environment } = parts;
    const onChange = (): void => this.#changed();
    this.sessionId = sessionId;
    this.#api = api;
    this.#onClose = parts.onClose;
    this.#caller = new PatientCaller(api, environment, parts.patienceMs);
    this.#outbox = new Outbox(sessionId, this.#caller, environment, onChange);
    this.#connection = new ChatConnection({ sessionId, replica: this.#replica, onChange, ...parts });
    this.#store = new SnapshotStore(environment, () => this.#build());
    this.#connection.connect();
  }

  /** The chat now: the same object until a change. Bound, so that it can be passed to a view as a function. */
  readonly snapshot = (): ChatSnapshot => this.#store.get();

  /** Calls back after changes, at most once a frame, until the returned function is called. Bound, as `snapshot`. */
  readonly subscribe = (listener: () => void): (() => void) => this.#store.subscribe(listener);

  /**
   * Sends a message; a text above 100,000 characters as a file. It is shown at once and retried under one id until the
   * server has it, so a lost answer never makes two messages. To send an `unsent` message again, pass its `messageId`,
   * `replaces` and the same content.
   *
   * @throws ChatClientError when the server refuses it for good, or after two minutes of attempts
   */
  async send(content: MessageContent, options: SendOptions = {}): Promise<SendReceipt> {
    const sent = isLongText(content) ? [await this.attach(new Blob([content], { type: 'text/plain' }))] : content;
    const receipt = await this.#outbox.send({ ...options, messageId: options.messageId ?? randomId(), content: sent });
    this.#connection.revive();
    return receipt;
  }

  /**
   * Stores a file of the chat, and returns the content part that names it in a message: `send([{ type: 'text', text },
   * await chat.attach(file)])`. The server removes a file that no message names within an hour.
   *
   * @param options.name default: that of a `File`
   * @throws ChatClientError, among others `too-large`, `session-storage-full`, `too-many-uploads`
   */
  async attach(file: Blob, options: { readonly name?: string } = {}): Promise<AttachedFile> {
    const name = options.name ?? (file as Partial<File>).name;
    const headers = {
      'content-type': file.type === '' ? 'application/octet-stream' : file.type,
      ...(name === undefined ? {} : { 'content-disposition': `attachment; filename*=UTF-8''${encodeName(name)}` }),
    };
    const call = { ...this.#call('POST', '/attachments'), file: { bytes: file, headers } };
    return parseAttachment(await this.#caller.call(call));
  }

  /** Removes a file that no message names. @throws ChatClientError attachment-in-use, attachment-not-found */
  async detach(attachmentId: string): Promise<void> {
    await this.#command('DELETE', `/attachments/${encodeURIComponent(attachmentId)}`);
  }

  /**
   * Requests another answer to a prompt, on a branch of its own that is shown from then on. The earlier answers stay
   * as alternatives.
   *
   * @param messageId of the prompt
   * @throws ChatClientError, as do all of these: `busy` while the prompt has no answer yet
   */
  async regenerate(messageId: string, options: RegenerateOptions = {}): Promise<RegenerateReceipt> {
    const body = { ...options, answerId: options.answerId ?? randomId() };
    return parseRegenerated(await this.#command('POST', `${messagePath(messageId)}/regenerate`, body));
  }

  /** Changes a queued prompt, which keeps its queue position. @throws `not-waiting` once its answer has begun */
  async edit(messageId: string, content: MessageContent): Promise<void> {
    await this.#command('PATCH', messagePath(messageId), { content });
  }

  /** Removes a queued prompt from the queue. @throws `not-waiting`, also if an earlier try succeeded and its answer
   *  was lost */
  async withdraw(messageId: string): Promise<void> {
    await this.#command('DELETE', messagePath(messageId));
  }

  /** Keeps the chat for this time from now on, in ms, within the bounds of the server. */
  async keep(ttlMs: number): Promise<void> {
    await this.#command('PATCH', '', { ttlMs });
  }

  /** Shows the chat up to this run on every device, and lets the next prompt follow it: the `previous` or `next` of a
   *  message's alternatives, or any other run of the chat. */
  async select(runId: string): Promise<void> {
    await this.#command('PUT', '/branch', { runId });
  }

  /**
   * Stops a run: the named one, else the one that is writing, else the next in the queue. The text written so far
   * stays. Resolves when the server accepts it, which is before the run has ended; undefined if no run is open.
   *
   * @throws ChatClientError
   */
  async stop(runId?: string): Promise<string | undefined> {
    const runs = this.#replica.state.runs;
    const target = runId ?? (runs.find((run) => run.state === 'running') ?? runs.find(isOpen))?.runId;
    try {
      // Without an id the call means "the current run": repeated after a lost answer, it would stop the next run too.
      const call =
        target === undefined
          ? this.#api.call(this.#call('POST', '/cancel', {}))
          : this.#command('POST', '/cancel', { runId: target });
      return parseRunId(await call);
    } catch (error) {
      if (error instanceof ChatClientError && error.code === 'no-active-run') return undefined;
      throw error;
    }
  }

  /**
   * Answers what a run asks for, once: `{ approved, reason? }` to an approval, `{ value }` to a question, `{ result }`
   * to a tool, or `{ error }` to decline one of these two. Retried as a message is; the same answer again has the same
   * receipt, so a lost reply does no harm. The snapshot shows the answer as soon as the chat has it, on every device.
   *
   * @throws ChatClientError `already-answered` if the input has another answer, whose user and time are in `details`
   * (`by`, `createdAt`); `not-waiting` if it was closed, or its run has ended; `input-not-found`; `invalid-answer`
   */
  async answer(inputId: string, answer: InputAnswer): Promise<AnswerReceipt> {
    return parseAnswered(await this.#command('POST', `/inputs/${encodeURIComponent(inputId)}`, answer));
  }

  /** Removes an `unsent` message from the snapshot. */
  discard(messageId: string): void {
    this.#outbox.discard(messageId);
  }

  /** Drops the current connection, and resumes over a new one. A chat that did not exist is looked for now. */
  reconnect(): void {
    if (this.#connection.state.state !== 'closed') this.#connection.connect();
    else this.#connection.lookAgain();
  }

  /** The device came back. The client calls this; a program only on platforms without such events. */
  wake(reason: WakeReason): void {
    this.#connection.wake(reason);
    this.#caller.wake();
  }

  /** Stops watching, and abandons unacknowledged calls. Runs continue: disconnecting does not stop them. Idempotent. */
  close(): void {
    this.#caller.close();
    this.#connection.close();
    this.#store.flush();
    this.#onClose();
  }

  /** For calls that are safe to repeat, because they name their subject. */
  #command(method: Call['method'], path: string, body?: unknown): Promise<unknown> {
    return this.#caller.call(this.#call(method, path, body));
  }

  #call(method: Call['method'], path: string, body?: unknown): Call {
    return { method, path: `/sessions/${encodeURIComponent(this.sessionId)}${path}`, body };
  }

  #changed(): void {
    this.#outbox.settle(this.#replica.state);
    this.#store.changed();
  }

  #build(): ChatSnapshot {
    const { position, title, metadata, messages, runs, expiresAt, lost } = this.#replica.state;
    const waiting = this.#outbox.messages;
    const activeRun = runs.find((run) => run.state === 'running' || run.state === 'waiting');
    this.#openInputs = reuseList(this.#openInputs, openInputsOf(messages, activeRun), ({ inputId }) => inputId);
    const wire = this.#connection.wireName;
    return {
      sessionId: this.sessionId,
      messages: waiting.length === 0 ? messages : [...messages, ...waiting],
      runs,
      openInputs: this.#openInputs,
      connection: this.#connection.state,
      counters: { ...this.#replica.counters, resumes: this.#connection.resumes },
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(lost === undefined ? {} : { lost }),
      ...(title === undefined ? {} : { title }),
      ...(metadata === undefined ? {} : { metadata }),
      ...(activeRun === undefined ? {} : { activeRun }),
      ...(wire === undefined ? {} : { wire }),
      ...(position === undefined ? {} : { position }),
    };
  }
}

/** A waiting run is the only one that has open inputs. */
function openInputsOf(messages: readonly Message[], activeRun: Run | undefined): readonly Input[] {
  if (activeRun?.state !== 'waiting') return [];
  return messages.flatMap(({ inputs = [] }) => inputs.filter(({ state }) => state === 'open'));
}

/** A longer text goes to the server as a file: the body of a message has at most 512 KiB. */
const LONG_TEXT_CHARS = 100_000;

function isLongText(content: MessageContent): content is string {
  return typeof content === 'string' && content.length > LONG_TEXT_CHARS;
}

/** As RFC 8187 requires it. */
function encodeName(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function messagePath(messageId: string): string {
  return `/messages/${encodeURIComponent(messageId)}`;
}
