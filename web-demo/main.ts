// The page's entry: takes the token out of the address, finds out which chat to show, and puts the page together.
import { chatFragment, parseAddress } from './access/address.ts';
import { DraftStore } from './composer/draft-store.ts';
import { find } from './dom/element.ts';
import { Page } from './page.ts';
import { Settings } from './shell/settings.ts';
import { TokenBox } from './access/token-box.ts';
import { TokenStore } from './access/token-store.ts';
import { UnsentStore } from './chats/unsent-store.ts';

const local = usable(() => localStorage);
const settings = new Settings(local);
const tokens = new TokenStore(local);
const ofTab = usable(() => sessionStorage);
const unsent = new UnsentStore(ofTab);
const drafts = new DraftStore(ofTab);
const tokenBox = new TokenBox((token) => {
  tokens.save(token);
  location.reload();
});
let page: Page | undefined;

function start(): void {
  const address = parseAddress(location.hash);
  if (address.token !== undefined) {
    tokens.save(address.token);
    history.replaceState(null, '', location.pathname + chatFragment(address.chatId));
  }
  const token = tokens.load();
  if (token === undefined) {
    tokenBox.show();
    return;
  }
  page = new Page({
    token,
    unsent,
    drafts,
    settings,
    onRefused: refused,
  });
  page.show(address.chatId);
}

function refused(): void {
  page?.close();
  page = undefined;
  tokens.forget();
  tokenBox.show('The server does not accept the token of this page. Chats and answers are safe.');
}

function followAddress(): void {
  const { chatId, token } = parseAddress(location.hash);
  // A new link was pasted over the old one: with another token everything is another user's.
  if (token !== undefined) location.reload();
  else page?.show(chatId);
}

/** A browser that blocks storage throws on the first access; then the page keeps its settings until a reload. */
function usable(open: () => Storage): Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> {
  try {
    return open();
  } catch {
    const kept = new Map<string, string>();
    return {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => void kept.set(key, value),
      removeItem: (key) => void kept.delete(key),
    };
  }
}

// Fires for links to another fragment as well as for back and forward.
window.addEventListener('popstate', followAddress);
find('forget-token', HTMLButtonElement).addEventListener('click', () => {
  tokens.forget();
  location.replace(location.pathname);
});
start();
