// How much an account holds of what its quota allows: topics, bytes, and topics that were made lately. The broker knows
// accounts by name only (`AccountOf`). Pure: an engine calls it at its serialization point, and makes the figures as
// durable as the topics that they count.
import type { PlannedWrite } from './append-rules.ts';
import { BrokerError, type ReachedQuota } from './errors.ts';
import type { LiteTopicName } from './lite-topic.ts';
import type { Quota } from './quota.ts';

/** The account of a topic; undefined for a topic that counts for none. Must never give another answer. */
export type AccountOf = (topic: LiteTopicName) => string | undefined;

/** As it is stored: topics, bytes, `made`, `madeAt`, `perSecond`. */
export type AccountFigures = readonly [number, number, number, number, number];

export class Account {
  readonly name: string;
  topics = 0;
  bytes = 0;
  /** Topics that were made, less `perSecond` since: how far the bucket of creations is empty at `madeAt`. */
  #made = 0;
  #madeAt = 0;
  #perSecond = 0;
  /** Of writes that are accepted and not yet applied. */
  #reserved = { topics: 0, bytes: 0 };
  /** Changed since the figures were stored. */
  isChanged = false;

  constructor(name: string, figures?: AccountFigures) {
    this.name = name;
    if (figures !== undefined) [this.topics, this.bytes, this.#made, this.#madeAt, this.#perSecond] = figures;
  }

  get figures(): AccountFigures {
    return [this.topics, this.bytes, this.#made, this.#madeAt, this.#perSecond];
  }

  /** `at`: the time of the write, the same in a replay. */
  topicMade(at: number): void {
    this.#made = this.#madeBy(at) + 1;
    this.#madeAt = Math.max(at, this.#madeAt);
    this.topics += 1;
    this.isChanged = true;
  }

  topicEnded(bytes: number): void {
    this.topics -= 1;
    this.addBytes(-bytes);
  }

  addBytes(bytes: number): void {
    this.bytes += bytes;
    this.isChanged = true;
  }

  #madeBy(now: number): number {
    return Math.max(0, this.#made - (Math.max(0, now - this.#madeAt) * this.#perSecond) / 1000);
  }

  /** Reserves room for an accepted write that names a quota. Call the answer when the write is applied, or has failed.
   *  `beside`: the topic's `besideBytes` before. @throws BrokerError quota-reached, quota-rate-reached */
  reserve(quota: Quota, { write, created }: PlannedWrite, beside: number, now: number): () => void {
    const bytes = addedBytes(write.records, (write.besideBytes ?? beside) - beside);
    if (created) this.#checkCreation(quota, now);
    const used = this.bytes + this.#reserved.bytes;
    if (quota.bytes !== undefined && bytes > 0 && used + bytes > quota.bytes)
      throw quotaError({ quota: 'bytes', limit: quota.bytes, used });
    const topics = created ? 1 : 0;
    this.#reserved.topics += topics;
    this.#reserved.bytes += bytes;
    return () => {
      this.#reserved.topics -= topics;
      this.#reserved.bytes -= bytes;
    };
  }

  #checkCreation({ topics, creations }: Quota, now: number): void {
    const used = this.topics + this.#reserved.topics;
    if (topics !== undefined && used >= topics) throw quotaError({ quota: 'topics', limit: topics, used });
    if (creations === undefined) return;
    const { perSecond, burst } = creations;
    // The clock was ahead and has been set back: the bucket fills from now on, and not from the time that was wrong.
    if (this.#madeAt > now) this.#madeAt = now;
    if (this.#perSecond !== perSecond) this.#changeRate(perSecond, now);
    const made = this.#madeBy(now) + this.#reserved.topics;
    if (made + 1 <= burst) return;
    const retryAfterMs = Math.ceil(((made + 1 - burst) / perSecond) * 1000);
    throw quotaError({ quota: 'creations', limit: burst, used: Math.ceil(made), retryAfterMs });
  }

  /** What was made while there was no rate does not count: the bucket begins full. */
  #changeRate(perSecond: number, now: number): void {
    this.#made = this.#perSecond === 0 ? 0 : this.#madeBy(now);
    this.#madeAt = now;
    this.#perSecond = perSecond;
  }
}

/** What a write adds to the bytes of its account. `beside`: by how much its `besideBytes` grow. */
export function addedBytes(records: PlannedWrite['write']['records'], beside: number): number {
  return records.reduce((sum, { data }) => sum + Buffer.byteLength(data), Math.max(0, beside));
}

export function quotaError(reached: ReachedQuota): BrokerError {
  const code = reached.quota === 'creations' ? 'quota-rate-reached' : 'quota-reached';
  const { quota, limit, used } = reached;
  return new BrokerError(code, `${used} of ${limit} ${quota}`, { reached });
}

/** The accounts of one engine. One account is some hundred bytes, and there is one for each name that has topics. */
export class Accounts {
  readonly #accountOf: AccountOf | undefined;
  readonly #load: (name: string) => AccountFigures | undefined;
  readonly #accounts = new Map<string, Account>();

  /** `accountOf`: undefined if no topic counts for an account. `load`: the stored figures of an account. */
  constructor(accountOf: AccountOf | undefined, load: (name: string) => AccountFigures | undefined = () => undefined) {
    this.#accountOf = accountOf;
    this.#load = load;
  }

  get counts(): boolean {
    return this.#accountOf !== undefined;
  }

  of(topic: LiteTopicName): Account | undefined {
    const name = this.#accountOf?.(topic);
    if (name === undefined) return undefined;
    let account = this.#accounts.get(name);
    if (account === undefined) this.#accounts.set(name, (account = new Account(name, this.#load(name))));
    return account;
  }

  /** As `reserve` of an account, for the write of an append that names a quota. Undefined if none does. */
  reserve(
    writes: readonly PlannedWrite[],
    besideOf: (topic: LiteTopicName) => number,
    now: number,
  ): (() => void) | undefined {
    for (const planned of writes) {
      const { quota, topic } = planned.write;
      if (quota !== undefined) return this.of(topic)?.reserve(quota, planned, besideOf(topic), now);
    }
    return undefined;
  }

  /** The accounts that have changed since the last call. */
  *takeChanged(): Generator<Account> {
    for (const account of this.#accounts.values()) {
      if (!account.isChanged) continue;
      account.isChanged = false;
      yield account;
    }
  }
}
