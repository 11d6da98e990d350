// The page: one client, one open chat, and the views that show it. Owns what happens between them: switching
// chats, drawing a snapshot everywhere at once, and what the keyboard does on the whole page.
import { ChatClientError, createChatClient, randomId } from '../src/client/chat-client.ts';
import type { ChatClient, ChatSnapshot, SessionSummary, Transport } from '../src/client/chat-client.ts';
import { chatFragment } from './address.ts';
import { Announcer } from './announcer.ts';
import { Cable } from './cable.ts';
import { ChatList } from './chat-list.ts';
import { Composer } from './composer.ts';
import { ConnectionBadge } from './connection-badge.ts';
import { Conversation } from './conversation.ts';
import { Diary } from './diary.ts';
import { Drawers } from './drawers.ts';
import { find, setText } from './element.ts';
import { OpenChat } from './open-chat.ts';
import { SurvivalPanel } from './survival-panel.ts';
import type { UnsentStore } from './unsent-store.ts';

export interface PageParts {
  readonly token: string;
  readonly transport: Transport;
  readonly unsent: UnsentStore;
  /** The server does not take the token. */
  readonly onRefused: () => void;
  readonly onTransport: (transport: Transport) => void;
}

export class Page {
  readonly #parts: PageParts;
  readonly #client: ChatClient;
  readonly #title = find('title', HTMLHeadingElement);
  readonly #drawers = new Drawers();
  readonly #badge = new ConnectionBadge();
  readonly #announcer = new Announcer();
  readonly #conversation: Conversation;
  readonly #composer: Composer;
  readonly #panel: SurvivalPanel;
  readonly #list: ChatList;
  #diary = new Diary();
  #open: OpenChat | undefined;
  #sessions: readonly SessionSummary[] = [];

  constructor(parts: PageParts) {
    const cable = new Cable();
    this.#parts = parts;
    this.#client = createChatClient({
      baseUrl: '',
      token: parts.token,
      transport: parts.transport,
      fetch: cable.fetch,
      WebSocket: cable.webSocket(),
    });
    this.#conversation = new Conversation({
      resend: (message) => this.#open?.resend(message),
      discard: (message) => this.#open?.discard(message),
      withdraw: (message, run) => void this.#orSay(this.#open?.withdraw(message, run), 'It could not be withdrawn'),
      edit: (message, run, content) => {
        void this.#orSay(this.#open?.edit(message, run, content), 'It could not be changed');
        this.#conversation.scrollToEnd();
      },
      regenerate: (promptId) => {
        void this.#orSay(this.#open?.regenerate(promptId), 'No other answer could be asked for');
        this.#conversation.scrollToEnd();
      },
      select: (runId) => void this.#orSay(this.#open?.select(runId), 'It could not be shown'),
    });
    this.#composer = new Composer({ send: (text) => this.#send(text), stop: () => this.#stop() });
    this.#panel = new SurvivalPanel({
      cable,
      token: parts.token,
      firstWire: parts.transport === 'sse' ? 'sse' : 'websocket',
      useWire: (wire) => {
        this.#client.useTransport(wire);
        parts.onTransport(wire);
      },
    });
    this.#list = new ChatList((chatId) => void this.#remove(chatId));
    this.#listen();
  }

  /** @param chatId undefined: a new chat */
  show(chatId: string | undefined): void {
    find('page', HTMLDivElement).hidden = false;
    // A click on the link of the chat that is open: what it has read, and counted, stays.
    if (chatId !== undefined && chatId === this.#open?.chatId) return;
    this.#switchTo(chatId === undefined ? undefined : new OpenChat(chatId, false, this.#chatParts()));
    void this.#readList();
    this.#composer.focusIfHandy();
  }

  /** Everything stops, for another token. */
  close(): void {
    this.#client.close();
    find('page', HTMLDivElement).hidden = true;
  }

  #listen(): void {
    find('new-chat', HTMLButtonElement).addEventListener('click', () => {
      history.pushState(null, '', location.pathname);
      this.#drawers.close();
      this.show(undefined);
      this.#composer.focus();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || event.isComposing) return;
      if (this.#drawers.isOpen) this.#drawers.close();
      else this.#stop();
    });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') void this.#readList();
    });
  }

  #chatParts() {
    return {
      client: this.#client,
      unsent: this.#parts.unsent,
      onChange: () => this.#draw(),
      onSent: () => void this.#readList(),
    };
  }

  #switchTo(chat: OpenChat | undefined): void {
    this.#open?.leave();
    this.#open = chat;
    this.#diary = new Diary();
    this.#panel.clearDiary();
    this.#conversation.clear();
    this.#announcer.forget();
    this.#drawers.close();
    this.#draw();
  }

  #send(text: string): void {
    if (this.#open === undefined) {
      const chatId = randomId();
      // The address first: a reload at any later moment finds the chat, and what is on its way to it.
      history.pushState(null, '', chatFragment(chatId));
      this.#switchTo(new OpenChat(chatId, true, this.#chatParts()));
    }
    this.#open?.send(text);
    this.#conversation.scrollToEnd();
  }

  #stop(runId?: string): void {
    if (runId === undefined && !isBusy(this.#open?.snapshot)) return;
    void this.#orSay(this.#open?.stop(runId), 'It could not be stopped');
  }

  async #remove(chatId: string): Promise<void> {
    this.#parts.unsent.removeChat(chatId);
    if (this.#open?.chatId === chatId) {
      history.replaceState(null, '', location.pathname);
      this.#switchTo(undefined);
    }
    await this.#orSay(this.#client.remove(chatId), 'The chat could not be deleted');
    await this.#readList();
  }

  async #readList(): Promise<void> {
    try {
      this.#sessions = (await this.#client.sessions({ limit: 50 })).sessions;
      this.#draw();
    } catch (error) {
      if (!(error instanceof ChatClientError)) throw error;
      if (error.status === 401) this.#parts.onRefused();
      else if (error.code !== 'closed') this.#list.fail(error.message);
    }
  }

  async #orSay(step: Promise<unknown> | undefined, sentence: string): Promise<void> {
    try {
      await step;
    } catch (error) {
      if (!(error instanceof ChatClientError)) throw error;
      this.#panel.tell(`${sentence}: ${error.message}`);
      this.#announcer.say(`${sentence}: ${error.message}`);
    }
  }

  #draw(): void {
    const chat = this.#open;
    const snapshot = chat?.snapshot;
    const { connection } = snapshot ?? {};
    if (connection?.state === 'closed' && connection.reason === 'unauthorized') {
      this.#parts.onRefused();
      return;
    }
    const title = snapshot?.title ?? this.#sessions.find(({ sessionId }) => sessionId === chat?.chatId)?.title ?? 'New chat';
    setText(this.#title, title);
    document.title = `${title} · Holdline`;
    this.#badge.show(connection);
    this.#conversation.show(snapshot);
    this.#composer.show(isBusy(snapshot));
    this.#panel.show(chat?.chatId, snapshot);
    this.#list.show(this.#sessions, chat?.chatId);
    if (snapshot !== undefined) this.#tell(snapshot);
  }

  #tell(snapshot: ChatSnapshot): void {
    const happened = this.#diary.note(snapshot);
    if (happened !== undefined) this.#panel.tell(happened);
    // A run that ended changes the list as well: nothing is being written there any more.
    if (this.#announcer.hear(snapshot, happened)) void this.#readList();
  }
}

function isBusy(snapshot: ChatSnapshot | undefined): boolean {
  return snapshot?.runs.some((run) => run.state === 'running' || run.state === 'queued') === true;
}
