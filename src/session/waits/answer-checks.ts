// Checks answers against what was asked for. A check against a JSON Schema may hold the event loop for CHECK_MS_MAX, so
// each has a turn of the loop of its own on this node, and its time is charged to its user. In one turn, the checks of
// a whole wait would hold everything else for seconds.
import { setImmediate } from 'node:timers/promises';
import { OneByOne } from '../../base/one-by-one.ts';
import { SessionError } from '../errors.ts';
import type { InputRequested } from '../events/wait-events.ts';
import type { Principal } from '../session-ref.ts';
import { checkReply } from './input-reply.ts';
import { cpuMsSince } from './input-schema.ts';
import { namingInput, type NamedReply } from './named-replies.ts';

/** What the checks of one user's answers against schemas may take. */
export interface CheckTime {
  /** Throws where the user has none left. */
  mustHaveSome(principal: Principal): void;
  charge(principal: Principal, cpuMs: number): void;
}

/** Undefined: the record of the request is lost. */
export type FoundRequest = InputRequested | undefined;

const LOST = 'what this input asks for is lost in the storage, so it cannot be answered: its run can be stopped';

export class AnswerChecks {
  readonly #time: CheckTime | undefined;
  /** The callers bound it: they read the chat in a bounded number at once. */
  readonly #turns = new OneByOne<'check'>();

  /** `time`: undefined for no limit. */
  constructor(time: CheckTime | undefined) {
    this.#time = time;
  }

  /** Before the checks of one request. All of them are done then, whatever they take: a refusal between two of them
   *  would come at each retry. */
  begin(principal: Principal, requests: Iterable<FoundRequest>): void {
    for (const request of requests) if (request?.schema !== undefined) return this.#time?.mustHaveSome(principal);
  }

  /** Checks one of these replies. @throws SessionError invalid-answer; chat-damaged: the request is lost */
  async check(
    principal: Principal,
    request: FoundRequest,
    named: NamedReply,
    replies: readonly NamedReply[],
  ): Promise<void> {
    const check = (): void => namingInput(replies, named, () => checkFound(request, named));
    if (request?.schema === undefined) check();
    else await this.#turns.run('check', () => this.#inTurn(principal, check));
  }

  async #inTurn(principal: Principal, check: () => void): Promise<void> {
    await setImmediate();
    const begun = process.cpuUsage();
    try {
      check();
    } finally {
      this.#time?.charge(principal, cpuMsSince(begun));
    }
  }
}

function checkFound(request: FoundRequest, { reply }: NamedReply): void {
  if (request === undefined) throw new SessionError('chat-damaged', { message: LOST });
  checkReply(request, reply);
}
