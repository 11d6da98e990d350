// One chat as a program holds it: commands, and a snapshot that can be observed. Puts together the replica
// (what is known), the connection (how it gets here) and the outbox (what is on its way).
import { ChatReplica } from './state/chat-replica.ts';
import type { ReplicaCounters } from './state/chat-replica.ts';
import { ChatClientError } from './chat-client-error.ts';
import { ChatConnection } from './chat-connection.ts';
import type { ConnectionState } from './chat-connection.ts';
import { isOpen } from './state/chat-state.ts';
import type { Message, Run } from './state/chat-state.ts';
import { randomId } from './environment.ts';
import type { Environment, WakeReason } from './environment.ts';
import type { Call, HttpApi } from './http/http-api.ts';
import { parseRegenerated, parseRunId } from './protocol/http-bodies.ts';
import { Outbox } from './state/outbox.ts';
import type { Outgoing } from './state/outbox.ts';
import { PatientCaller } from './http/patient-caller.ts';
import { SnapshotStore } from './state/snapshot-store.ts';
import type { TokenSource } from './http/token-source.ts';
import type { WireChoice } from './wire/wire-choice.ts';
import type { MessageContent, RegenerateReceipt, SendReceipt } from './protocol/wire-events.ts';
import type { WireName } from './protocol/wire.ts';

export interface ChatCounters extends ReplicaCounters {
  /** New connections that carried on from a position held. */
  readonly resumes: number;
}

/** Everything there is to show, at one moment. Immutable: what did not change is the same object as before. */
export interface ChatSnapshot {
  readonly sessionId: string;
  readonly title?: string;
  readonly metadata?: unknown;
  /** The branch that is shown, in the order of the conversation, with what is still on its way at the end. */
  readonly messages: readonly Message[];
  /** Of all branches. */
  readonly runs: readonly Run[];
  /** The run that is writing now. */
  readonly activeRun?: Run;
  readonly connection: ConnectionState;
  /** The wire in use, or last used. */
  readonly wire?: WireName;
  /** Of the last event taken over; what a reader elsewhere would resume from. */
  readonly position?: string;
  readonly counters: ChatCounters;
}

export type SendOptions = Partial<Omit<Outgoing, 'content'>>;

export interface RegenerateOptions extends Pick<SendOptions, 'model' | 'agent' | 'priority' | 'onBusy'> {
  /** Of the answer to be made: asked for again under the same id, it is the same answer. */
  readonly answerId?: string;
}

export interface ChatParts {
  readonly api: HttpApi;
  readonly tokens: TokenSource;
  readonly wires: WireChoice;
  readonly environment: Environment;
  /** How long a message or a stop is tried before it is given up, in ms. */
  readonly patienceMs?: number;
  /** It was closed from here. */
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

  /** The chat now: the same object until something changed. Bound, so that it can be handed to a view as it is. */
  readonly snapshot = (): ChatSnapshot => this.#store.get();

  /** Calls back after changes, at most once a frame, until the returned function is called. Bound, as `snapshot`. */
  readonly subscribe = (listener: () => void): (() => void) => this.#store.subscribe(listener);

  /**
   * Sends a message. It is shown at once and retried under one id until the server has it, so a lost answer
   * never makes two of it. Sending an `unsent` message again needs its `messageId`, `replaces` and the same content.
   *
   * @throws ChatClientError once it is refused for good, or was tried for two minutes
   */
  async send(content: MessageContent, options: SendOptions = {}): Promise<SendReceipt> {
    const receipt = await this.#outbox.send({ ...options, messageId: options.messageId ?? randomId(), content });
    this.#connection.revive();
    return receipt;
  }

  /**
   * Asks for another answer to a prompt, on a branch of its own that is shown from then on. What the prompt was
   * answered with stays, as an alternative.
   *
   * @param messageId of the prompt
   * @throws ChatClientError, as do all of these: `busy` while the prompt is still to be answered
   */
  async regenerate(messageId: string, options: RegenerateOptions = {}): Promise<RegenerateReceipt> {
    const body = { ...options, answerId: options.answerId ?? randomId() };
    return parseRegenerated(await this.#command('POST', `${messagePath(messageId)}/regenerate`, body));
  }

  /** Lets a prompt that waits say something else, in its place of the queue. @throws `not-waiting` once it is being answered */
  async edit(messageId: string, content: MessageContent): Promise<void> {
    await this.#command('PATCH', messagePath(messageId), { content });
  }

  /** Takes a prompt that waits out of the queue. @throws `not-waiting`, also where an attempt had got through whose answer was lost */
  async withdraw(messageId: string): Promise<void> {
    await this.#command('DELETE', messagePath(messageId));
  }

  /** Shows the chat up to this run on every device, and lets the next prompt follow it: the `previous` or `next` of a
   *  message's alternatives, or any other run of the chat. */
  async select(runId: string): Promise<void> {
    await this.#command('PUT', '/branch', { runId });
  }

  /**
   * Stops a run: the one named, else the one that is writing, else the next in the queue. What was written
   * stays. Resolves when the server took it, which is before the run has ended; undefined if there was nothing to stop.
   *
   * @throws ChatClientError
   */
  async stop(runId?: string): Promise<string | undefined> {
    const runs = this.#replica.state.runs;
    const target = runId ?? (runs.find((run) => run.state === 'running') ?? runs.find(isOpen))?.runId;
    try {
      // Without a name the call means "whatever runs": repeated after a lost answer, it would stop the next one too.
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

  /** Takes an `unsent` message off the screen. */
  discard(messageId: string): void {
    this.#outbox.discard(messageId);
  }

  /** Drops the connection there is, and resumes over a new one. */
  reconnect(): void {
    if (this.#connection.state.state !== 'closed') this.#connection.connect();
  }

  /** The device came back. Called by the client; needed only where the platform does not tell. */
  wake(reason: WakeReason): void {
    this.#connection.wake(reason);
    this.#caller.wake();
  }

  /** Stops watching, and gives up what is on its way. Runs go on: disconnecting is not stopping. Idempotent. */
  close(): void {
    this.#caller.close();
    this.#connection.close();
    this.#store.flush();
    this.#onClose();
  }

  /** For what may be said twice: it names what it is about. */
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
    const { position, title, metadata, messages, runs } = this.#replica.state;
    const waiting = this.#outbox.messages;
    const activeRun = runs.find((run) => run.state === 'running');
    const wire = this.#connection.wireName;
    return {
      sessionId: this.sessionId,
      messages: waiting.length === 0 ? messages : [...messages, ...waiting],
      runs,
      connection: this.#connection.state,
      counters: { ...this.#replica.counters, resumes: this.#connection.resumes },
      ...(title === undefined ? {} : { title }),
      ...(metadata === undefined ? {} : { metadata }),
      ...(activeRun === undefined ? {} : { activeRun }),
      ...(wire === undefined ? {} : { wire }),
      ...(position === undefined ? {} : { position }),
    };
  }
}

function messagePath(messageId: string): string {
  return `/messages/${encodeURIComponent(messageId)}`;
}
