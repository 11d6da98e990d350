// The files beside the text box: chosen, dropped or pasted. Each is uploaded at once, so that the message can be sent as
// soon as it is written, and shown with its name, its state, and a button that removes it.
import { ChatClientError } from '../../src/client/chat-client.ts';
import type { AttachedFile } from '../../src/client/chat-client.ts';
import { button, element, setText } from '../dom/element.ts';
import { sizeText } from '../dom/size-text.ts';

/** The server takes no more in one message. */
export const FILES_MAX = 32;

/** The upload of one file, to the chat that was open when it began. */
export interface Upload {
  /** Rejects with a ChatClientError. Undefined: the chat was left, and does not have the file. */
  readonly stored: Promise<AttachedFile | undefined>;
  /** Removes the file. No message may name it. */
  detach(attachmentId: string): void;
}

export interface FileActions {
  /** Uploads a file to the open chat. */
  attach(file: File): Upload;
  /** A file was added, uploaded or removed. */
  changed(): void;
  /** Tells the user why a file was not taken. */
  refuse(text: string): void;
}

interface Shown {
  readonly chip: HTMLElement;
  readonly upload: Upload;
  /** Undefined while it is being uploaded. */
  stored?: AttachedFile;
}

export class AttachedFiles {
  readonly #place: HTMLElement;
  readonly #actions: FileActions;
  #files: Shown[] = [];

  constructor(place: HTMLElement, actions: FileActions) {
    this.#place = place;
    this.#actions = actions;
  }

  get isEmpty(): boolean {
    return this.#files.length === 0;
  }

  get isUploading(): boolean {
    return this.#files.some(({ stored }) => stored === undefined);
  }

  add(files: readonly File[]): void {
    const taken = files.slice(0, FILES_MAX - this.#files.length);
    if (taken.length < files.length) this.#actions.refuse(`A message has at most ${FILES_MAX} files.`);
    for (const file of taken) void this.#upload(file);
  }

  /** The uploaded files, which the message names from now on. */
  take(): readonly AttachedFile[] {
    const stored = this.#files.flatMap((file) => (file.stored === undefined ? [] : [file.stored]));
    this.clear();
    return stored;
  }

  /** The uploads stay on the server, which removes a file that no message names within an hour. */
  clear(): void {
    this.#files = [];
    this.#show();
  }

  async #upload(file: File): Promise<void> {
    const state = element('span', {}, 'uploading …');
    const shown: Shown = {
      // Before the file is shown: the first file of a new chat opens that chat, which clears what another one had.
      upload: this.#actions.attach(file),
      chip: element('span', { class: 'chip file', 'data-testid': 'attached' }, file.name, ' ', state),
    };
    shown.chip.append(
      button('✕', () => this.#remove(shown), { class: 'quiet small', 'aria-label': `Remove ${file.name}` }),
    );
    this.#files.push(shown);
    this.#show();
    try {
      const stored = await shown.upload.stored;
      if (stored === undefined) return;
      shown.stored = stored;
      setText(state, sizeText(file.size));
    } catch (error) {
      if (!(error instanceof ChatClientError)) throw error;
      this.#files = this.#files.filter((one) => one !== shown);
      this.#actions.refuse(`${file.name} could not be attached: ${error.message}`);
    }
    // It was removed while it was being uploaded.
    if (shown.stored !== undefined && !this.#files.includes(shown)) shown.upload.detach(shown.stored.attachmentId);
    this.#show();
  }

  #remove(shown: Shown): void {
    this.#files = this.#files.filter((one) => one !== shown);
    if (shown.stored !== undefined) shown.upload.detach(shown.stored.attachmentId);
    this.#show();
  }

  #show(): void {
    this.#place.replaceChildren(...this.#files.map(({ chip }) => chip));
    this.#place.hidden = this.isEmpty;
    this.#actions.changed();
  }
}
