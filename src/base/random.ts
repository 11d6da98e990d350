// The only owner of chance. Everybody takes it as a parameter, so that a test can give its own.
import { randomBytes } from 'node:crypto';

/** From 0 up to, not including, 1: for fairness and jitter, and nothing that must not be guessed. */
export const systemRandom = Math.random;

/** 128 random bits in `[A-Za-z0-9_-]`. */
export function randomId(): string {
  return randomBytes(16).toString('base64url');
}
