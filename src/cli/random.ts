// The only owner of randomness that need not be secret: for fairness and jitter. Everybody takes it as a parameter, so
// that a test can give its own. What must not be guessed comes from node:crypto.

/** From 0 up to, not including, 1. */
export const systemRandom = Math.random;
