// The only owner of randomness. Other code takes it as a parameter, so that a test can supply its own.
import { randomBytes } from 'node:crypto';

/** A number from 0 up to, but not including, 1. For fairness and jitter only: it can be guessed. */
export const systemRandom = Math.random;

/** 128 random bits in `[A-Za-z0-9_-]`. */
export function randomId(): string {
  return randomBytes(16).toString('base64url');
}
