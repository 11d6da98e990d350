// The open chat: follows it through the SDK, and remembers sent messages until the server acknowledges them. Creates a new chat
// before its first message is sent.
import { ChatClientError, randomId } from '../../src/client/chat-client.ts';
import type {
  AttachedFile,
  Chat,
  ChatClient,
  ChatSnapshot,
  InputAnswer,
  Message,
  MessageContent,
  Run,
  WireError,
} from '../../src/client/chat-client.ts';
import { partsOfContent } from '../../src/client/state/parts-fold.ts';
import { isUnanswered } from '../conversation/message-actions.ts';
import { contentOf } from './message-content.ts';
import type { Unsent, UnsentStore } from './unsent-store.ts';

export interface OpenChatParts {
  readonly client: ChatClient;
  readonly unsent: UnsentStore;
  readonly onChange: () => void;
  /** The chat was made or a message was acknowledged: lists of chats are out of date. */
  readonly onSent: () => void;
}

export class OpenChat {
  readonly chatId: string;
  readonly #parts: OpenChatParts;
  /** For the first message of a new chat. */
  readonly #firstAgent: string | undefined;
  #chat: Chat | undefined;
  #stopListening: () => void = () => undefined;
  /** Shown until the chat exists and can show them itself. */
  #early: readonly Message[] = [];
  #onItsWay = 0;
  #isLeft = false;

  /** @param isNew the chat does not exist on the server yet, so there is nothing to follow @param firstAgent default:
   *  the server decides */
  constructor(chatId: string, isNew: boolean, parts: OpenChatParts, firstAgent?: string) {
    this.chatId = chatId;
    this.#firstAgent = firstAgent;
    this.#parts = parts;
    const unsent = parts.unsent.of(chatId);
    if (!isNew) this.#follow();
    this.#early = unsent.flatMap((each) => (each.refused === undefined ? [] : [unsentMessage(each, each.refused)]));
    for (const each of unsent) if (each.refused === undefined) void this.#deliver(each);
  }

  get snapshot(): ChatSnapshot | undefined {
    const snapshot = this.#chat?.snapshot();
    if (this.#early.length === 0) return snapshot;
    return { ...(snapshot ?? this.#unborn()), messages: [...(snapshot?.messages ?? []), ...this.#early] };
  }

  /** @param replaces the prompt that this one replaces, on a branch @param agent default: the agent of the last run */
  send(
    content: MessageContent,
    {
      replaces,
      agent = this.#chat?.snapshot().runs.at(-1)?.agent ?? this.#firstAgent,
    }: { readonly replaces?: string | undefined; readonly agent?: string | undefined } = {},
  ): void {
    const unsent = {
      chatId: this.chatId,
      messageId: randomId(),
      content,
      ...(replaces === undefined ? {} : { replaces }),
      ...(agent === undefined ? {} : { agent }),
    };
    this.#parts.unsent.add(unsent);
    void this.#deliver(unsent);
  }

  /** Under the same id: if it had arrived after all, nothing is sent twice. */
  resend(message: Message): void {
    const { messageId, replaces } = message;
    const agent = this.#parts.unsent.find(messageId)?.agent;
    const unsent = {
      chatId: this.chatId,
      messageId,
      content: contentOf(message),
      ...(replaces === undefined ? {} : { replaces }),
      ...(agent === undefined ? {} : { agent }),
    };
    this.#parts.unsent.add(unsent);
    void this.#deliver(unsent);
  }

  discard(message: Message): void {
    this.#parts.unsent.remove(message.messageId);
    this.#early = this.#early.filter((early) => early.messageId !== message.messageId);
    this.#chat?.discard(message.messageId);
    this.#parts.onChange();
  }

  async regenerate(promptId: string): Promise<void> {
    await this.#chat?.regenerate(promptId);
  }

  /** Edits a queued prompt. If its answer has begun, or it was not sent, the new text is sent as a replacement. */
  async edit(message: Message, run: Run | undefined, content: string): Promise<void> {
    if (message.delivery === 'unsent') {
      const agent = this.#parts.unsent.find(message.messageId)?.agent;
      this.discard(message);
      this.send(content, { replaces: message.replaces, agent });
      return;
    }
    if (isUnanswered(message, run)) {
      try {
        await this.#chat?.edit(message.messageId, content);
        return;
      } catch (error) {
        if (!(error instanceof ChatClientError) || error.code !== 'not-waiting') throw error;
      }
    }
    this.send(content, { replaces: message.messageId });
  }

  /** What waits for another answer has been answered before: only the run is taken back. */
  async withdraw(message: Message, run: Run | undefined): Promise<void> {
    if (isUnanswered(message, run)) await this.#chat?.withdraw(message.messageId);
    else await this.#chat?.stop(run?.runId);
  }

  /** Uploads a file. Makes the chat first if it is new: the server keeps files of chats only. Undefined: the chat was left
   *  meanwhile, so no message of it will name the file, and nobody waits for an error. */
  async attach(file: File): Promise<AttachedFile | undefined> {
    return this.#unlessLeft(async () => {
      if (!this.#exists()) {
        await this.#parts.client.create({ sessionId: this.chatId });
        this.#parts.onSent();
      }
      return this.#isLeft ? undefined : this.#upload(file);
    });
  }

  async #upload(file: File): Promise<AttachedFile | undefined> {
    const chat = this.#follow();
    const stored = await chat.attach(file);
    if (!this.#isLeft) return stored;
    await chat.detach(stored.attachmentId);
    return undefined;
  }

  async detach(attachmentId: string): Promise<void> {
    await this.#unlessLeft(async () => this.#chat?.detach(attachmentId));
  }

  /** Answers what a run of the chat asks. An answer on its way arrives also where the chat is left meanwhile. */
  async answer(inputId: string, answer: InputAnswer): Promise<void> {
    await this.#unlessLeft(async () => this.#chat?.answer(inputId, answer));
  }

  async select(runId: string): Promise<void> {
    await this.#chat?.select(runId);
  }

  async stop(runId?: string): Promise<void> {
    await this.#chat?.stop(runId);
  }

  /** The server has listed the chat: where it had none at this address before, it is read now. */
  listed(): void {
    if (this.#chat !== undefined && !this.#exists()) this.#chat.reconnect();
  }

  /** No longer on the page. What is on its way still arrives. */
  leave(): void {
    this.#isLeft = true;
    this.#stopListening();
    this.#closeIfDone();
  }

  #follow(): Chat {
    if (this.#chat !== undefined) return this.#chat;
    this.#chat = this.#parts.client.chat(this.chatId);
    if (!this.#isLeft) this.#stopListening = this.#chat.subscribe(this.#parts.onChange);
    return this.#chat;
  }

  async #deliver(unsent: Unsent): Promise<void> {
    const { messageId, content, replaces, agent } = unsent;
    this.#onItsWay += 1;
    try {
      if (!this.#exists()) await this.#make(unsent);
      this.#early = this.#early.filter((early) => early.messageId !== messageId);
      await this.#follow().send(content, {
        messageId,
        ...(replaces === undefined ? {} : { replaces }),
        ...(agent === undefined ? {} : { agent }),
      });
      this.#parts.unsent.remove(messageId);
      this.#parts.onSent();
    } catch (error) {
      if (!(error instanceof ChatClientError)) throw error;
      this.#failed(unsent, error);
    } finally {
      this.#onItsWay -= 1;
      if (this.#isLeft) this.#closeIfDone();
      else this.#parts.onChange();
    }
  }

  /** The chat stays connected until the step has ended. Errors count for nothing once the chat is left. */
  async #unlessLeft<T>(step: () => Promise<T>): Promise<T | undefined> {
    this.#onItsWay += 1;
    try {
      return await step();
    } catch (error) {
      if (!this.#isLeft || !(error instanceof ChatClientError)) throw error;
      return undefined;
    } finally {
      this.#onItsWay -= 1;
      if (this.#isLeft) this.#closeIfDone();
    }
  }

  #exists(): boolean {
    const connection = this.#chat?.snapshot().connection;
    if (connection === undefined) return false;
    return connection.state !== 'closed' || connection.reason !== 'not-found';
  }

  /** Before its first message, so that the list has it also where that message is refused. */
  async #make({ messageId, content }: Unsent): Promise<void> {
    this.#showEarly({ messageId, role: 'user', parts: partsOfContent(content), delivery: 'sending' });
    await this.#parts.client.create({ sessionId: this.chatId });
    this.#parts.onSent();
  }

  #failed(unsent: Unsent, { code, message, retryable }: ChatClientError): void {
    const { messageId } = unsent;
    const refused = { code, message, retryable };
    // It is sent when this chat is opened again. One that the server does not take is kept too, for its writer to change.
    if (!retryable && code !== 'closed') this.#parts.unsent.refuse(messageId, refused);
    if (this.#early.some((early) => early.messageId === messageId)) this.#showEarly(unsentMessage(unsent, refused));
  }

  #showEarly(message: Message): void {
    this.#early = [...this.#early.filter((early) => early.messageId !== message.messageId), message];
    this.#parts.onChange();
  }

  #unborn(): ChatSnapshot {
    const counters = { events: 0, duplicatesDropped: 0, resets: 0, rejoins: 0, resumes: 0 };
    return {
      sessionId: this.chatId,
      messages: [],
      runs: [],
      openInputs: [],
      connection: { state: 'connecting' },
      counters,
    };
  }

  #closeIfDone(): void {
    if (this.#onItsWay === 0) this.#chat?.close();
  }
}

function unsentMessage({ messageId, content, replaces }: Unsent, error: WireError): Message {
  return {
    messageId,
    role: 'user',
    parts: partsOfContent(content),
    delivery: 'unsent',
    error,
    ...(replaces === undefined ? {} : { replaces }),
  };
}
