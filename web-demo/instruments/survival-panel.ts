// "What survives": buttons that break this page's connection, and the numbers that show it did not matter.
import type { ChatSnapshot, WireName } from '../../src/client/chat-client.ts';
import type { NetworkSwitch } from './network-switch.ts';
import { copyText } from '../dom/copy-button.ts';
import { element, find, setText } from '../dom/element.ts';

export interface SurvivalParts {
  readonly network: NetworkSwitch;
  /** Only for the command that is copied: never shown. */
  readonly token: string;
  /** The wire that a first connection will try. */
  readonly firstWire: WireName;
  readonly useWire: (wire: WireName) => void;
}

/** Long enough to see that the connection is gone, and that the answer went on without it. */
const CUT_MS = 2_000;
const EVENT_LINES_MAX = 6;

export class SurvivalPanel {
  readonly #network: NetworkSwitch;
  readonly #token: string;
  readonly #firstWire: WireName;
  readonly #drop = find('drop', HTMLButtonElement);
  readonly #wire = find('wire', HTMLFieldSetElement);
  readonly #radios = {
    sse: find('wire-sse', HTMLInputElement),
    websocket: find('wire-websocket', HTMLInputElement),
  };
  readonly #facts = {
    position: find('position', HTMLOutputElement),
    events: find('events', HTMLOutputElement),
    resumes: find('resumes', HTMLOutputElement),
    duplicates: find('duplicates', HTMLOutputElement),
    resets: find('resets', HTMLOutputElement),
  };
  readonly #curl = find('curl', HTMLElement);
  readonly #copyCurl = find('copy-curl', HTMLButtonElement);
  readonly #eventLog = find('event-log', HTMLOListElement);
  #chatId: string | undefined;
  #mending: ReturnType<typeof setTimeout> | undefined;

  constructor({ network, token, firstWire, useWire }: SurvivalParts) {
    this.#network = network;
    this.#token = token;
    this.#firstWire = firstWire;
    this.#drop.addEventListener('click', () => this.#dropConnection());
    find('reload', HTMLButtonElement).addEventListener('click', () => location.reload());
    find('second-tab', HTMLButtonElement).addEventListener('click', () =>
      window.open(location.href, '_blank', 'noopener'),
    );
    for (const [wire, radio] of Object.entries(this.#radios)) {
      radio.addEventListener('change', () => useWire(wire as WireName));
    }
    this.#copyCurl.addEventListener('click', () => void copyText(this.#copyCurl, this.#curlCommand(this.#token)));
  }

  show(chatId: string | undefined, snapshot: ChatSnapshot | undefined): void {
    this.#chatId = chatId;
    const counters = snapshot?.counters;
    setText(this.#facts.position, snapshot?.position ?? 'none yet');
    setText(this.#facts.events, String(counters?.events ?? 0));
    setText(this.#facts.resumes, String(counters?.resumes ?? 0));
    setText(this.#facts.duplicates, String(counters?.duplicatesDropped ?? 0));
    setText(this.#facts.resets, String((counters?.resets ?? 0) + (counters?.rejoins ?? 0)));
    setText(this.#curl, chatId === undefined ? 'Send a message first.' : this.#curlCommand('$TOKEN'));
    this.#copyCurl.hidden = chatId === undefined;
    this.#showWire(snapshot?.wire ?? this.#firstWire);
  }

  /** Newest first. */
  tell(sentence: string): void {
    const time = new Date().toLocaleTimeString();
    this.#eventLog.prepend(element('li', {}, element('time', {}, time), ` ${sentence}`));
    while (this.#eventLog.childElementCount > EVENT_LINES_MAX) this.#eventLog.lastElementChild?.remove();
  }

  clearEvents(): void {
    this.#eventLog.replaceChildren();
  }

  #showWire(wire: WireName): void {
    if (this.#wire.dataset['wire'] === wire) return;
    this.#wire.dataset['wire'] = wire;
    this.#radios[wire].checked = true;
  }

  #dropConnection(): void {
    if (this.#mending !== undefined) return;
    const label = this.#drop.textContent;
    this.#network.cut();
    // Not `disabled`: that would throw the keyboard's focus off the button.
    this.#drop.ariaDisabled = 'true';
    setText(this.#drop, 'Cut for two seconds…');
    this.#mending = setTimeout(() => {
      this.#mending = undefined;
      this.#network.mend();
      this.#drop.ariaDisabled = 'false';
      setText(this.#drop, label);
    }, CUT_MS);
  }

  #curlCommand(token: string): string {
    const url = `${location.origin}/v1/sessions/${this.#chatId ?? ''}/events`;
    return `curl -N -H "Authorization: Bearer ${token}" ${url}`;
  }
}
