// What of a run belongs to one leg, for the wires that show each leg as an answer of its own.
import type { ViewedInput } from './run-inputs.ts';
import type { RunView } from './run-view.ts';

/** What the leg asked for, oldest first. */
export function inputsOf(view: RunView, leg: number): readonly ViewedInput[] {
  return view.inputs.filter((input) => input.leg === leg);
}

/** The parts of the leg are those from the first number up to the second one. */
export function partsOf(view: RunView, leg: number): readonly [first: number, end: number] {
  return [view.legStart(leg), view.legStart(leg + 1)];
}
