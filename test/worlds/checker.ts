// Decides whether Holdline may produce a given history. Pure, in time linear in the length of the history: the first
// pass sorts the observations, the second follows each reader, and then each session is checked as a whole.
// violation.ts lists the rules.
import { parsePosition } from '../../src/broker/position.ts';
import { CauseRules } from './cause-rules.ts';
import { checkFinals } from './final-rules.ts';
import { HistoryIndex } from './history-index.ts';
import type { Observation } from './history.ts';
import { ReaderChain } from './reader-chain.ts';
import { checkRuns } from './run-rules.ts';
import { checkSends } from './send-rules.ts';
import type { SessionRecord } from './session-record.ts';
import { Violations, type Violation } from './violation.ts';
import { checkAnswers, checkWaits } from './wait-rules.ts';

export function checkHistory(history: readonly Observation[]): readonly Violation[] {
  const found = new Violations();
  const index = new HistoryIndex(history, found);
  const causes = new CauseRules(index, found);
  new Readers(index, causes, found).follow(history);
  for (const session of index.sessions.values()) {
    const story = session.finalEpoch?.story;
    checkSends(session, index.losses, found);
    checkAnswers(session, index.losses, found);
    if (story !== undefined) checkRuns(session, story, found);
    if (story !== undefined) checkWaits(session.id, story, found);
    if (session.finals.length > 0) causes.checkEpochs(session);
    checkFinals(session, found);
  }
  return found.list;
}

interface FollowedReader {
  readonly session: SessionRecord;
  readonly chain: ReaderChain;
  connectedAt: number;
}

/** The second pass: what each reader receives, connection by connection. */
class Readers {
  readonly #index: HistoryIndex;
  readonly #causes: CauseRules;
  readonly #found: Violations;
  readonly #readers = new Map<string, FollowedReader>();

  constructor(index: HistoryIndex, causes: CauseRules, found: Violations) {
    this.#index = index;
    this.#causes = causes;
    this.#found = found;
  }

  follow(history: readonly Observation[]): void {
    for (const observation of history) {
      if (observation.kind === 'connect') this.#connect(observation);
      else if ('reader' in observation) this.#take(observation);
    }
  }

  #connect(connected: Extract<Observation, { kind: 'connect' }>): void {
    const session = this.#index.session(connected.session);
    const known = this.#readers.get(connected.reader);
    const chain = known?.session === session ? known.chain : new ReaderChain(connected.reader, session, this.#found);
    chain.connect(connected);
    this.#readers.set(connected.reader, { session, chain, connectedAt: connected.t });
  }

  #take(seen: Extract<Observation, { reader: string }>): void {
    const followed = this.#readers.get(seen.reader);
    if (followed === undefined) return;
    const { session, chain, connectedAt } = followed;
    const { reader, t } = seen;
    if (seen.kind === 'event') {
      const position = parsePosition(seen.id);
      if (position !== undefined) chain.take(position, seen.type, seen.data);
    } else if (seen.kind === 'live') chain.live(seen.position);
    else if (seen.kind === 'reset') {
      this.#causes.checkReset(session, { reader, reason: seen.reason, held: chain.position, t });
      chain.reset();
    } else if (seen.kind === 'end' && seen.reason === 'removed') {
      this.#causes.checkGone(session, { reader, held: chain.position, connectedAt, t });
    }
  }
}
