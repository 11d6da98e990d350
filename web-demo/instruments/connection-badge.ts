// The badge with the state of the connection in words, and a countdown to the next attempt.
import type { ConnectionState } from '../../src/client/chat-client.ts';
import { find, setText } from '../dom/element.ts';

export class ConnectionBadge {
  readonly #badge = find('connection', HTMLElement);
  #state: ConnectionState | undefined;
  #until = 0;
  #ticker: ReturnType<typeof setInterval> | undefined;

  /** @param state undefined: a chat that does not exist yet has no connection */
  show(state: ConnectionState | undefined): void {
    if (state === this.#state) return;
    this.#state = state;
    clearInterval(this.#ticker);
    if (state?.state === 'waiting') {
      this.#until = Date.now() + state.retryInMs;
      this.#ticker = setInterval(() => this.#write(), 250);
    }
    this.#badge.dataset['state'] = state?.state ?? 'new';
    this.#write();
  }

  #write(): void {
    setText(this.#badge, badgeText(this.#state, Math.max(0, this.#until - Date.now())));
  }
}

/** @param leftMs until the next attempt, while waiting */
export function badgeText(state: ConnectionState | undefined, leftMs: number): string {
  switch (state?.state) {
    case undefined:
      return 'New';
    case 'connecting':
      return 'Connecting';
    case 'catching-up':
      return 'Catching up';
    case 'live':
      return 'Live';
    case 'offline':
      return 'Offline';
    case 'waiting':
      return leftMs < 1_000 ? 'Reconnecting' : `Again in ${Math.ceil(leftMs / 1000)} s`;
    case 'closed':
      return CLOSED[state.reason];
  }
}

const CLOSED = {
  closed: 'Closed',
  'not-found': 'New',
  forbidden: 'Not allowed',
  unauthorized: 'Token refused',
  expired: 'Chat expired',
  removed: 'Chat removed',
  refused: 'Refused',
} as const;
