// What an operator has paused: an agent, a tenant or one chat. The list is the last record of a topic, so it survives
// restarts and is the same on all nodes. The broker applies it (`setPaused`): prompts wait, and runs continue.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Broker, GroupBroker, LogItem, LogRecord, ReadResult } from '../../broker/broker.ts';
import type { Position } from '../../broker/position.ts';
import { BrokerError, isBrokerError, isRetryable } from '../../broker/errors.ts';
import { PAUSED_MAX, type Paused } from '../../broker/flow-policy.ts';
import { parseLiteTopicName, type LiteTopicName } from '../../broker/lite-topic.ts';
import { SessionError } from '../errors.ts';
import { DEFAULT_TENANT, isAgent, isTenant } from '../session-ref.ts';
import { flowOf, pausedAs, pausesTopic, sessionOf } from '../topic-names.ts';

/** How often a node reads the list again, and gives it to the broker again. */
export const PAUSES_LOOK_MS = 15_000;
/** How soon it tries again while the storage refuses work. */
export const PAUSES_RETRY_MS = 1_000;
/** Pauses of a tenant and of its chats with which a token of that tenant can still add one: all tenants share one list.
 *  The default tenant, which may pause anything, has PAUSED_MAX. */
export const TENANT_PAUSED_MAX = 32;
/** Tries of one change while other nodes change the list too. */
const TRIES_MAX = 10;

export type PauseKind = 'agent' | 'tenant' | 'topic';

/** `name`: the name of the agent or of the tenant, or the topic of the chat. */
export interface PauseTarget {
  readonly kind: PauseKind;
  readonly name: string;
}

export interface Pause extends PauseTarget {
  /** ms since 1970. */
  readonly since: number;
}

interface Stored {
  readonly version: number;
  readonly pauses: readonly Pause[];
}

/** Where a list was read. */
interface Place {
  readonly epoch: string;
  /** Of the last record of the list, or of the topic where the list is lost. */
  readonly offset: number;
  /** A later list may supersede it. */
  readonly isMinor: boolean;
}

interface PausesDeps {
  readonly broker: Pick<Broker, 'describe' | 'read' | 'append'> & Pick<GroupBroker, 'setPaused'>;
  readonly clock: Clock;
  readonly onError?: (error: unknown) => void;
}

export class Pauses {
  readonly #deps: PausesDeps;
  #stored: Stored = { version: 0, pauses: [] };
  #names: ReadonlySet<string> = new Set();
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(deps: PausesDeps) {
    this.#deps = deps;
  }

  /** Applies the list, now and again from time to time. If the storage refuses work for now, it reports that, and tries
   *  again soon: an outage does not stop a start. @throws BrokerError that is not retryable */
  async start(): Promise<void> {
    try {
      await this.list();
      this.#arm(PAUSES_LOOK_MS);
    } catch (error) {
      if (!isRetryable(error)) throw error;
      this.#failed(error);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  /** As this node has read it last. */
  get size(): number {
    return this.#stored.pauses.length;
  }

  /** Whether a request topic of this agent waits because of a pause, as far as this node has read the list. */
  holds(agent: string, topic: LiteTopicName): boolean {
    if (this.#names.size === 0) return false;
    const flow = flowOf(topic);
    const tenant = flow.slice(0, flow.indexOf('/'));
    return [nameOf('agent', agent), nameOf('tenant', tenant), flowName(flow)].some((name) => this.#names.has(name));
  }

  /** @throws BrokerError */
  async list(): Promise<readonly Pause[]> {
    const { stored } = await this.#read();
    await this.#apply(stored);
    return stored.pauses;
  }

  /** @param by the tenant that asks. False: it was so already, in the list and in the broker. @throws SessionError
   *  too-many-pauses, contended; BrokerError */
  async set(target: PauseTarget, isPaused: boolean, by = DEFAULT_TENANT): Promise<boolean> {
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const { stored, at } = await this.#read();
      const held = await this.#apply(stored);
      const others = stored.pauses.filter(({ kind, name }) => kind !== target.kind || name !== target.name);
      const isListed = others.length < stored.pauses.length;
      const isSame = isListed === isPaused && held.names.includes(nameOf(target.kind, target.name)) === isPaused;
      // A resume writes even where the list is the same: the storage may have lost the list that the broker, or another
      // node, still has. The version is above both, or the broker would ignore the list.
      if (isSame && isPaused) return false;
      const now = this.#deps.clock.now();
      const pauses = isPaused === isListed ? stored.pauses : isPaused ? [...others, { ...target, since: now }] : others;
      if (isPaused && !isListed) checkRoom(pauses, by);
      const version = Math.max(now, 1 + Math.max(stored.version, held.version, this.#stored.version));
      if (!(await this.#write({ version, pauses }, at))) continue;
      await this.#apply({ version, pauses });
      return !isSame;
    }
    throw new SessionError('contended');
  }

  /** The list replaces the one before it. An empty major record precedes it, because only major records are seen by
   *  `ifUnchanged`, and only minor ones can be superseded. False: another node has changed the list meanwhile. */
  async #write(stored: Stored, at: Place | undefined): Promise<boolean> {
    const condition =
      at === undefined
        ? { expect: { absent: true } as const }
        : {
            expect: { epoch: at.epoch },
            ifUnchanged: { epoch: at.epoch, offset: at.offset },
            ...(at.isMinor ? { supersedes: [[at.offset, at.offset] as const] } : {}),
          };
    try {
      const records = [
        { major: true, data: '' },
        { major: false, data: JSON.stringify(stored) },
      ];
      await this.#deps.broker.append([{ topic: pausesTopic, records, ...condition, mayUseReserve: true }]);
      return true;
    } catch (error) {
      if (isBrokerError(error, 'conflict') || isBrokerError(error, 'epoch-changed')) return false;
      throw error;
    }
  }

  /** A list that is lost counts as the one that this node has read last. */
  async #read(): Promise<{ stored: Stored; at: Place | undefined }> {
    const { broker } = this.#deps;
    const [info] = await broker.describe([pausesTopic]);
    if (info === undefined) return { stored: { version: 0, pauses: [] }, at: undefined };
    const from = { epoch: info.epoch, offset: info.next - 1 };
    const lost = { stored: this.#stored, at: { ...from, isMinor: false } };
    const result = await this.#readFrom(from);
    const last = result?.kind === 'batch' ? result.items.findLast(isList) : undefined;
    if (result?.kind !== 'batch' || last === undefined) return lost;
    const at = { epoch: result.epoch, offset: last.offset, isMinor: !last.major };
    const stored = storedOf(last.data);
    if (stored !== undefined) return { stored, at };
    this.#deps.onError?.(new BrokerError('corrupt', `${pausesTopic}: record ${last.offset} is no list of pauses`));
    return { stored: lost.stored, at };
  }

  /** Undefined: the storage cannot read it back. */
  async #readFrom(from: Position): Promise<ReadResult | undefined> {
    try {
      return await this.#deps.broker.read(pausesTopic, from);
    } catch (error) {
      if (!isBrokerError(error, 'corrupt')) throw error;
      this.#deps.onError?.(error);
      return undefined;
    }
  }

  /** Returns the list that the broker has now: it may be of a higher version. */
  async #apply(stored: Stored): Promise<Paused> {
    const names = stored.pauses.map(({ kind, name }) => nameOf(kind, name));
    const held = await this.#deps.broker.setPaused({ names, version: stored.version });
    if (stored.version < this.#stored.version) return held;
    this.#stored = stored;
    this.#names = new Set(names);
    return held;
  }

  #arm(ms: number): void {
    if (this.#isClosed) return;
    this.#timer = this.#deps.clock.after(ms, () => {
      this.list().then(
        () => this.#arm(PAUSES_LOOK_MS),
        (error: unknown) => this.#failed(error),
      );
    });
  }

  #failed(error: unknown): void {
    this.#deps.onError?.(error);
    this.#arm(isRetryable(error) ? PAUSES_RETRY_MS : PAUSES_LOOK_MS);
  }
}

/** Whether a token of this tenant may name it: one of the default tenant may name anything. */
export function mayName(tenant: string, { kind, name }: PauseTarget): boolean {
  if (tenant === DEFAULT_TENANT) return true;
  if (kind === 'tenant') return name === tenant;
  return kind === 'topic' && sessionOf(name as LiteTopicName).tenant === tenant;
}

function checkRoom(pauses: readonly Pause[], by: string): void {
  if (pauses.length > PAUSED_MAX) throw new SessionError('too-many-pauses', { limit: PAUSED_MAX });
  if (by !== DEFAULT_TENANT && pauses.filter((pause) => mayName(by, pause)).length > TENANT_PAUSED_MAX)
    throw new SessionError('too-many-pauses', { limit: TENANT_PAUSED_MAX });
}

function isList(item: LogItem): item is LogRecord {
  return item.kind === 'record' && item.data !== '';
}

/** Undefined: it is no list of pauses that the broker takes. */
function storedOf(data: string): Stored | undefined {
  try {
    const { version, pauses } = JSON.parse(data) as Readonly<Partial<Record<keyof Stored, unknown>>>;
    if (!Number.isSafeInteger(version) || !Array.isArray(pauses) || pauses.length > PAUSED_MAX) return undefined;
    return pauses.every(isPause) ? { version: Number(version), pauses } : undefined;
  } catch {
    // No JSON, or `null`.
    return undefined;
  }
}

function isPause(value: unknown): value is Pause {
  const { kind, name, since } = (value ?? {}) as Readonly<Partial<Record<keyof Pause, unknown>>>;
  if (kind !== 'agent' && kind !== 'tenant' && kind !== 'topic') return false;
  return typeof name === 'string' && Number.isSafeInteger(since) && pauseTarget(kind, name) !== undefined;
}

/** Undefined: no such thing can be there. A topic is the topic of a chat. */
export function pauseTarget(kind: PauseKind, name: string): PauseTarget | undefined {
  if (kind === 'agent') return isAgent(name) ? { kind, name } : undefined;
  if (kind === 'tenant') return isTenant(name) ? { kind, name } : undefined;
  return name.startsWith('chat/') && isTopic(name) ? { kind, name } : undefined;
}

function isTopic(name: string): boolean {
  try {
    return parseLiteTopicName(name).split('/').length === 2;
  } catch {
    return false;
  }
}

/** The name by which the broker knows it. */
function nameOf(kind: PauseKind, name: string): string {
  if (kind === 'agent') return pausedAs(name, 0).group;
  return flowName(kind === 'tenant' ? name : flowOf(name as LiteTopicName));
}

function flowName(flow: string): string {
  return `${pausedAs('', 0).flows ?? ''}${flow}`;
}
