// Computes the durations and rates of a run from the times in its events. The timeline, the log line at the end of a
// run and the metrics share them. Pure. Nodes' clocks differ a little, so no figure is below zero. If two times
// contradict each other, because a clock was set between them, there is no figure.
import type { RunTally, RunTerminal } from '../events/chat-event.ts';
import type { RunTimes } from './command-state.ts';

export interface RunFigures {
  /** From the prompt to the first start. */
  readonly waitedMs?: number;
  /** From the start to the first token. Absent after a takeover: another worker produced the first token. */
  readonly firstTokenMs?: number;
  /** From the first start to the end. */
  readonly durationMs?: number;
  /** From the Stop to the end. */
  readonly cancelMs?: number;
  /** Of the attempt that ended the run, by the provider's usage. Without usage there is `deltasPerSecond` instead. */
  readonly tokensPerSecond?: number;
  readonly deltasPerSecond?: number;
}

/** How much the clocks of two nodes may differ. */
const SKEW_MS = 5_000;

export function runFigures(
  times: RunTimes,
  attempts: number,
  terminal: RunTally | RunTerminal | undefined,
): RunFigures {
  const { queued, started, cancelling } = times;
  const { firstTokenAt, endedAt } = terminal ?? {};
  return {
    ...named('waitedMs', between(queued, started)),
    ...named('firstTokenMs', attempts > 1 ? undefined : between(started, firstTokenAt)),
    ...named('durationMs', between(started, endedAt)),
    // A running run is stopped after its start. Another node's clock gives the time of the Stop, so a Stop before the
    // start means that the clocks contradict each other.
    ...named('cancelMs', between(started, cancelling) === undefined ? undefined : between(cancelling, endedAt)),
    ...(terminal === undefined ? {} : rate(terminal, between(firstTokenAt, endedAt))),
  };
}

function rate(terminal: RunTally | RunTerminal, ms: number | undefined): RunFigures {
  if (ms === undefined || ms === 0) return {};
  const perSecond = (count: number): number => Math.round((count * 10_000) / ms) / 10;
  const tokens = terminal.usage?.outputTokens ?? 0;
  return tokens > 0 ? { tokensPerSecond: perSecond(tokens) } : { deltasPerSecond: perSecond(terminal.deltas ?? 0) };
}

function between(from: string | null | undefined, to: string | null | undefined): number | undefined {
  if (typeof from !== 'string' || typeof to !== 'string') return undefined;
  const ms = Date.parse(to) - Date.parse(from);
  return ms < -SKEW_MS ? undefined : Math.max(0, ms);
}

function named<K extends keyof RunFigures>(name: K, value: number | undefined): Pick<RunFigures, K> | undefined {
  return value === undefined ? undefined : ({ [name]: value } as Pick<RunFigures, K>);
}
