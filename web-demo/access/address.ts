// The page's address: which chat is open, in the fragment, so that a reload and a second tab show the same one;
// and, once, the token that the printed link carries. Pure. Fragments are never sent to a server.

export interface Address {
  readonly chatId: string | undefined;
  readonly token: string | undefined;
}

const CHAT_ID = /^[A-Za-z0-9_-]{1,128}$/;

export function parseAddress(fragment: string): Address {
  const fields = new URLSearchParams(fragment.replace(/^#/, ''));
  const chatId = fields.get('chat') ?? '';
  const token = fields.get('token')?.trim() ?? '';
  return { chatId: CHAT_ID.test(chatId) ? chatId : undefined, token: token === '' ? undefined : token };
}

/** Never with a token: addresses are bookmarked, shared and shown on screens. */
export function chatFragment(chatId: string | undefined): string {
  return chatId === undefined ? '' : `#chat=${chatId}`;
}
