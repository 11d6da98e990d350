// The environment as its readers see it: trimmed texts, numbers and choices, and a list of every fault found on the way.
import { UsageError } from './usage-error.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export class EnvironmentReader {
  readonly #env: Environment;
  readonly #faults: string[] = [];

  constructor(env: Environment) {
    this.#env = env;
  }

  fault(name: string, what: string): void {
    this.#faults.push(`${name}: ${what}`);
  }

  throwFaults(): void {
    if (this.#faults.length > 0) throw new UsageError(`the configuration cannot be used:\n  ${this.#faults.join('\n  ')}`);
  }

  /** An empty value is none. */
  text(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  list(name: string): readonly string[] {
    return (this.text(name) ?? '').split(',').map((item) => item.trim()).filter((item) => item !== '');
  }

  integer(name: string, min: number, max: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= max) return number;
    this.fault(name, `must be a whole number from ${min} to ${max}`);
    return undefined;
  }

  oneOf<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.text(name);
    const chosen = choices.find((choice) => choice === value);
    if (value !== undefined && chosen === undefined) this.fault(name, `must be one of ${choices.join(', ')}`);
    return chosen ?? otherwise;
  }
}
