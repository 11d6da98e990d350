// A mistake of whoever typed the command or wrote the configuration: shown as one clear text, without a stack.

export class UsageError extends Error {
  override readonly name = 'UsageError';
}
