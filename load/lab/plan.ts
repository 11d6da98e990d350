// What one run of the lab measures, read from its arguments: `rounds=6 seconds=8 loads=200x20,400x20 systems=…`. Pure.
import { SYSTEM_NAMES, type SystemName } from './systems.ts';

export interface Load {
  readonly chats: number;
  /** Tokens a second of each. */
  readonly rate: number;
}

export interface LabPlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly loads: readonly Load[];
  readonly systems: readonly SystemName[];
  /** How often the highest load of each system is looked for. */
  readonly searches: number;
  /** Tokens a second by which the load rises in a search, and at most rises to. */
  readonly step: number;
  readonly top: number;
  /** Multiples of the highest load at which each system is measured once it is known. */
  readonly beyond: readonly number[];
  readonly hasTls: boolean;
  /** Follows date and commit in the name of the results' file. */
  readonly name: string;
}

const USUAL: LabPlan = {
  rounds: 6,
  seconds: 8,
  loads: [
    { chats: 200, rate: 20 },
    { chats: 400, rate: 20 },
    { chats: 500, rate: 20 },
  ],
  systems: SYSTEM_NAMES,
  searches: 3,
  step: 1000,
  top: 40_000,
  beyond: [],
  hasTls: false,
  name: 'lab',
};

/** @throws Error that names the argument which cannot be read */
export function readPlan(args: readonly string[]): LabPlan {
  return args.reduce<LabPlan>((plan, arg) => ({ ...plan, ...readArgument(arg) }), USUAL);
}

function readArgument(arg: string): Partial<LabPlan> {
  const [, key = '', value = ''] = /^([a-z]+)=(.+)$/.exec(arg) ?? [];
  switch (key) {
    case 'rounds':
    case 'seconds':
    case 'searches':
    case 'step':
    case 'top':
      return { [key]: wholeNumber(arg, value) };
    case 'loads':
      return { loads: value === 'none' ? [] : value.split(',').map((load) => readLoad(arg, load)) };
    case 'systems':
      return { systems: value.split(',').map((name) => systemName(arg, name)) };
    case 'beyond':
      return { beyond: value.split(',').map((factor) => positive(arg, Number(factor))) };
    case 'tls':
      return { hasTls: value === '1' };
    case 'name':
      return { name: value };
    default:
      throw new Error(
        `${arg} is no argument: there are rounds, seconds, loads, systems, searches, step, top, beyond, tls and name`,
      );
  }
}

function readLoad(arg: string, load: string): Load {
  const [, chats, rate] = /^(\d+)x(\d+)$/.exec(load) ?? [];
  return { chats: positive(arg, Number(chats)), rate: positive(arg, Number(rate)) };
}

function systemName(arg: string, name: string): SystemName {
  const known = SYSTEM_NAMES.find((one) => one === name);
  if (known === undefined) throw new Error(`${arg}: there is no system ${name}: ${SYSTEM_NAMES.join(', ')}`);
  return known;
}

function wholeNumber(arg: string, value: string): number {
  if (!/^\d+$/.test(value)) throw new Error(`${arg} must be a whole number`);
  return Number(value);
}

function positive(arg: string, value: number): number {
  if (!(value > 0)) throw new Error(`${arg} cannot be read`);
  return value;
}

/** The systems in another order in each round: none is always measured behind the same neighbour. */
export function rotated<T>(list: readonly T[], by: number): readonly T[] {
  const from = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(from), ...list.slice(0, from)];
}
