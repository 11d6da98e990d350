// The page: one client, one open chat, and the views that show it. Owns what concerns several of them: switching chats, drawing
// a snapshot in all views, and the keys that work on the whole page.
import { ChatClientError, createChatClient, randomId } from '../src/client/chat-client.ts';
import type {
  AttachedFile,
  ChatClient,
  ChatSnapshot,
  Fetch,
  Input,
  InputAnswer,
  Message,
  MessageContent,
  Run,
  SessionSummary,
} from '../src/client/chat-client.ts';
import { chatFragment } from './access/address.ts';
import type { Upload } from './composer/attached-files.ts';
import { AgentChoice } from './composer/agent-choice.ts';
import { Announcer } from './shell/announcer.ts';
import { NetworkSwitch } from './instruments/network-switch.ts';
import { ChatList } from './chats/chat-list.ts';
import { Composer } from './composer/composer.ts';
import { nameOf, NEW_CHAT } from './chats/chat-name.ts';
import { contentOf, textOf } from './chats/message-content.ts';
import { ChatTitle } from './chats/chat-title.ts';
import { ConnectionBadge } from './instruments/connection-badge.ts';
import { Conversation } from './conversation/conversation.ts';
import { answersWithDemo } from './composer/demo-model.ts';
import { EventLog } from './instruments/event-log.ts';
import type { DraftStore } from './composer/draft-store.ts';
import { Drawers } from './shell/drawers.ts';
import { find } from './dom/element.ts';
import { refusalText } from './inputs/input-text.ts';
import { isGone, Notice } from './shell/notice.ts';
import { saveFile } from './conversation/save-file.ts';
import { OpenChat } from './chats/open-chat.ts';
import { ListPace } from './chats/list-pace.ts';
import { SessionWalk } from './chats/session-walk.ts';
import { SurvivalPanel } from './instruments/survival-panel.ts';
import type { Settings } from './shell/settings.ts';
import type { UnsentStore } from './chats/unsent-store.ts';

export interface PageParts {
  readonly token: string;
  readonly unsent: UnsentStore;
  readonly drafts: DraftStore;
  readonly settings: Settings;
  /** The server does not take the token. */
  readonly onRefused: () => void;
}

export class Page {
  readonly #parts: PageParts;
  readonly #client: ChatClient;
  readonly #title = new ChatTitle((title) => void this.#rename(title));
  readonly #drawers: Drawers;
  readonly #badge = new ConnectionBadge();
  readonly #announcer = new Announcer();
  readonly #conversation: Conversation;
  readonly #composer: Composer;
  readonly #agents = new AgentChoice();
  readonly #panel: SurvivalPanel;
  readonly #list: ChatList;
  readonly #walk: SessionWalk;
  readonly #notice = new Notice(() => this.#composer.focus());
  #eventLog = new EventLog();
  #open: OpenChat | undefined;
  /** Chats that are being deleted from here: their end is no news. */
  readonly #removing = new Set<string>();
  readonly #pace = new ListPace();
  #listTimer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(parts: PageParts) {
    const network = new NetworkSwitch();
    this.#parts = parts;
    this.#drawers = new Drawers(parts.settings);
    this.#client = createChatClient({
      baseUrl: '',
      token: parts.token,
      transport: parts.settings.transport,
      fetch: network.fetch,
      WebSocket: network.webSocket(),
    });
    this.#conversation = new Conversation({
      resend: (message) => this.#resend(message),
      discard: (message) => this.#open?.discard(message),
      withdraw: (message, run) => void this.#orSay(this.#open?.withdraw(message, run), 'It could not be withdrawn'),
      edit: async (message, run, content) => {
        const saved = this.#orSay(this.#open?.edit(message, run, content), 'It could not be changed');
        this.#conversation.scrollToEnd();
        return saved;
      },
      regenerate: (promptId) => {
        void this.#orSay(this.#open?.regenerate(promptId), 'No other answer could be asked for');
        this.#conversation.scrollToEnd();
      },
      select: (runId) => void this.#orSay(this.#open?.select(runId), 'It could not be shown'),
      save: (file) => void this.#orSay(this.#saveFile(network.fetch, file), 'The file could not be read'),
      answer: (input, answer) => this.#answer(input, answer),
    });
    this.#composer = new Composer(
      {
        send: (content) => this.#send(content),
        stop: () => this.#stop(),
        attach: (file) => this.#attach(file),
        refuse: (text) => this.#notice.fail(text),
      },
      parts.drafts,
    );
    this.#panel = new SurvivalPanel({
      network,
      token: parts.token,
      firstWire: parts.settings.transport === 'sse' ? 'sse' : 'websocket',
      useWire: (wire) => {
        this.#client.useTransport(wire);
        parts.settings.transport = wire;
      },
    });
    this.#walk = new SessionWalk((query) => this.#client.sessions(query));
    this.#list = new ChatList({
      remove: (chatId) => void this.#remove(chatId),
      readMore: () => void this.#readList('more'),
    });
    this.#listen();
    void answersWithDemo(network.fetch, parts.token).then((isDemo) => this.#composer.showSuggestions(isDemo));
    void this.#agents.read(this.#client).then(() => this.#agents.show(this.#open === undefined));
  }

  /** @param chatId undefined: a new chat */
  show(chatId: string | undefined): void {
    find('page', HTMLDivElement).hidden = false;
    // A click on the link of the open chat: its state and counters stay.
    if (chatId !== undefined && chatId === this.#open?.chatId) return;
    this.#switchTo(chatId === undefined ? undefined : new OpenChat(chatId, false, this.#chatParts()));
    void this.#readList();
    this.#composer.focusIfHandy();
  }

  /** Everything stops, for another token. Whatever the client still reports is not drawn: the refusal of the token,
   *  which closes this page, would close it again from there, without end. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#listTimer);
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
    // A page in another window is visible and has no focus.
    for (const came of ['visibilitychange', 'focus'])
      window.addEventListener(came, () => this.#lookedAt(), { capture: true });
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
    this.#composer.open(chat?.chatId);
    this.#agents.show(chat === undefined);
    this.#eventLog = new EventLog();
    this.#panel.clearEvents();
    this.#conversation.clear();
    this.#announcer.forget();
    this.#notice.clear();
    this.#drawers.close();
    this.#draw();
  }

  #send(content: MessageContent): void {
    this.#notice.clear();
    const sent = isGone(this.#open?.snapshot?.connection) ? textOf(content) : content;
    if (sent !== '') {
      this.#toWrite().send(sent);
      this.#conversation.scrollToEnd();
    }
    if (sent !== content) this.#notice.fail('The files were deleted with their chat: attach them again');
  }

  #attach(file: File): Upload {
    const chat = this.#toWrite();
    return {
      stored: chat.attach(file),
      detach: (attachmentId) => void this.#orSay(chat.detach(attachmentId), 'The file could not be removed'),
    };
  }

  /** The open chat, or a new one if none is open or the open one is gone. */
  #toWrite(): OpenChat {
    if (this.#open !== undefined && !isGone(this.#open.snapshot?.connection)) return this.#open;
    const chatId = randomId();
    this.#parts.drafts.move(this.#open?.chatId, chatId);
    // The address first: after a reload at any later moment the page finds the chat and its unsent messages.
    history.pushState(null, '', chatFragment(chatId));
    const agent = this.#open === undefined ? this.#agents.chosen : undefined;
    const chat = new OpenChat(chatId, true, this.#chatParts(), agent);
    this.#switchTo(chat);
    return chat;
  }

  /** In a deleted chat it would become the first message of a new chat with the same id, so it goes to another chat. */
  #resend(message: Message): void {
    if (!isGone(this.#open?.snapshot?.connection)) {
      this.#open?.resend(message);
      return;
    }
    const content = contentOf(message);
    // A message of files only stays where it is.
    if (textOf(content) !== '') this.#open?.discard(message);
    this.#send(content);
  }

  #stop(): void {
    if (!isBusy(this.#open?.snapshot)) return;
    void this.#orSay(this.#open?.stop(), 'It could not be stopped');
  }

  async #saveFile(fetchOnce: Fetch, file: AttachedFile): Promise<void> {
    const chatId = this.#open?.chatId;
    if (chatId !== undefined) await saveFile(fetchOnce, this.#parts.token, chatId, file);
  }

  /** The card shows why it was not taken. */
  async #answer({ inputId }: Input, answer: InputAnswer): Promise<string | undefined> {
    try {
      await this.#open?.answer(inputId, answer);
      return undefined;
    } catch (error) {
      if (!(error instanceof ChatClientError)) throw error;
      return refusalText(error);
    }
  }

  async #rename(title: string): Promise<void> {
    const chatId = this.#open?.chatId;
    if (chatId === undefined) return;
    await this.#orSay(this.#client.update(chatId, { title }), 'The chat could not be renamed');
    await this.#readList();
  }

  async #remove(chatId: string): Promise<void> {
    this.#removing.add(chatId);
    const isRemoved = await this.#orSay(this.#client.remove(chatId), 'The chat could not be deleted');
    this.#removing.delete(chatId);
    if (isRemoved) this.#leave(chatId);
    await this.#readList();
  }

  #leave(chatId: string): void {
    this.#parts.unsent.removeChat(chatId);
    this.#parts.drafts.save(chatId, '');
    this.#walk.forget(chatId);
    if (this.#open?.chatId !== chatId) {
      this.#draw();
      return;
    }
    history.replaceState(null, '', location.pathname);
    this.#switchTo(undefined);
  }

  async #readList(how: 'again' | 'more' = 'again'): Promise<void> {
    clearTimeout(this.#listTimer);
    try {
      await (how === 'more' ? this.#walk.readMore() : this.#walk.refresh());
      if (this.#walk.has(this.#open?.chatId)) this.#open?.listed();
      this.#draw();
    } catch (error) {
      if (!(error instanceof ChatClientError)) throw error;
      if (this.#isClosed) return;
      if (error.status === 401) {
        this.#parts.onRefused();
        return;
      }
      if (error.code === 'closed') return;
      this.#list.fail(error.message);
    }
    this.#readListLater();
  }

  #readListLater(): void {
    const isBusyElsewhere = this.#walk.sessions.some(
      ({ sessionId, isActive }) => isActive && sessionId !== this.#open?.chatId,
    );
    clearTimeout(this.#listTimer);
    this.#listTimer = setTimeout(
      () => {
        // A hidden page reads the list when it becomes visible.
        if (document.visibilityState === 'visible') void this.#readList();
      },
      this.#pace.wasRead(performance.now(), isBusyElsewhere),
    );
  }

  #lookedAt(): void {
    if (document.visibilityState === 'visible' && this.#pace.lookedAt(performance.now())) void this.#readList();
  }

  /** @returns whether it could be done */
  async #orSay(step: Promise<unknown> | undefined, sentence: string): Promise<boolean> {
    try {
      this.#notice.clear();
      await step;
      return true;
    } catch (error) {
      if (!(error instanceof ChatClientError)) throw error;
      this.#notice.fail(`${sentence}: ${error.message}`);
      return false;
    }
  }

  #draw(): void {
    if (this.#isClosed) return;
    const chat = this.#open;
    const snapshot = ended(chat?.snapshot);
    const { connection } = snapshot ?? {};
    if (connection?.state === 'closed' && connection.reason === 'unauthorized') {
      this.#parts.onRefused();
      return;
    }
    const sessions = this.#sessions(snapshot);
    const listed = sessions.find(({ sessionId }) => sessionId === chat?.chatId);
    const title = chat === undefined ? NEW_CHAT : nameOf(snapshot, listed?.title, listed !== undefined);
    this.#title.show(
      title,
      connection !== undefined && connection.state !== 'closed' && snapshot?.position !== undefined,
    );
    this.#badge.show(connection);
    this.#notice.showState(chat !== undefined && this.#removing.has(chat.chatId) ? undefined : connection);
    this.#conversation.show(snapshot);
    this.#composer.show(isBusy(snapshot));
    this.#panel.show(chat?.chatId, snapshot);
    this.#list.show(sessions, chat?.chatId, this.#walk.more);
    if (snapshot !== undefined) this.#tell(snapshot);
  }

  /** The list, corrected by the newer state of the open chat: whether a run is open, its title, and whether it was deleted. */
  #sessions(snapshot: ChatSnapshot | undefined): readonly SessionSummary[] {
    const listed = this.#walk.sessions;
    if (snapshot === undefined || snapshot.position === undefined) return listed;
    const { sessionId, connection } = snapshot;
    if (isGone(connection)) return listed.filter((session) => session.sessionId !== sessionId);
    if (connection.state !== 'live') return listed;
    const isActive = isBusy(snapshot);
    return listed.map((session) =>
      session.sessionId === sessionId
        ? {
            ...session,
            isActive,
            isWaiting: snapshot.openInputs.length > 0,
            title: nameOf(snapshot, session.title, true),
          }
        : session,
    );
  }

  #tell(snapshot: ChatSnapshot): void {
    const happened = this.#eventLog.note(snapshot);
    if (happened !== undefined) this.#panel.tell(happened);
    // The end of a run changes the list too: the chat is no longer busy.
    if (this.#announcer.follow(snapshot, happened)) void this.#readList();
  }
}

function isOpen({ state }: Run): boolean {
  return state === 'running' || state === 'queued' || state === 'waiting';
}

function isBusy(snapshot: ChatSnapshot | undefined): boolean {
  return snapshot?.runs.some(isOpen) === true;
}

/** A deleted chat has no open runs: no event will report their end, and no command can reach them. */
function ended(snapshot: ChatSnapshot | undefined): ChatSnapshot | undefined {
  if (snapshot === undefined || !isGone(snapshot.connection)) return snapshot;
  return { ...snapshot, runs: [], openInputs: [] };
}
