// Ids that a client makes: 128 random bits, so that nobody guesses a chat and no two messages collide.

/** 32 lowercase hex digits. Not `crypto.randomUUID`, which a page has only over https or on localhost. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
