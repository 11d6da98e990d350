// Reads the environment as trimmed texts, numbers and choices, and collects every fault.
import { findUnknownSettings, type Setting } from './settings.ts';

/** A mistake in the command line or in the configuration: shown as one text, without a stack. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export type Environment = Readonly<Record<string, string | undefined>>;

export class EnvironmentReader {
  readonly #env: Environment;
  readonly #faults: string[] = [];
  /** Variables that the configuration itself names. */
  readonly #named = new Set<string>();

  constructor(env: Environment) {
    this.#env = env;
  }

  fault(name: string, what: string): void {
    this.#faults.push(`${name}: ${what}`);
  }

  throwFaults(): void {
    if (this.#faults.length > 0)
      throw new UsageError(`the configuration cannot be used:\n  ${this.#faults.join('\n  ')}`);
  }

  /** Undefined for an empty value. */
  text(name: Setting): string | undefined {
    return this.#read(name);
  }

  /** A variable whose name comes from the configuration. */
  variable(name: string): string | undefined {
    this.#named.add(name);
    return this.#read(name);
  }

  /** Every name that looks like a setting and is none is a fault. `concerns`: reports only names that may mean one
   *  of these; a command that reads a part of the configuration does not know which names the rest contains. */
  checkNames(concerns?: readonly Setting[]): void {
    for (const { name, nearest } of findUnknownSettings(this.#env, this.#named)) {
      if (concerns !== undefined && (nearest === undefined || !concerns.includes(nearest))) continue;
      this.fault(name, nearest === undefined ? 'is no setting' : `is no setting: do you mean ${nearest}?`);
    }
  }

  #read(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  list(name: Setting): readonly string[] {
    return (this.text(name) ?? '')
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  }

  integer(name: Setting, min: number, max: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= max) return number;
    this.fault(name, `must be a whole number from ${min} to ${max}`);
    return undefined;
  }

  oneOf<T extends string>(name: Setting, choices: readonly T[], otherwise: T): T {
    const value = this.text(name);
    const chosen = choices.find((choice) => choice === value);
    if (value !== undefined && chosen === undefined) this.fault(name, `must be one of ${choices.join(', ')}`);
    return chosen ?? otherwise;
  }
}
