// What a node does for an append that names a quota: it reserves what the write adds at the account's home, appends
// with the ticket, and reports to the home what the partition holds then. Other appends do not come here (ADR 19).
import { addedBytes, quotaError } from '../../accounts.ts';
import type { Appended, TopicWrite } from '../../broker.ts';
import { BrokerError, isBrokerError, isRetryable, type BrokerErrorCode, type ReachedQuota } from '../../errors.ts';
import {
  decodeFigures,
  DRY_CHARGE,
  type Charge,
  type ChargedAppend,
  type PartitionFigures,
} from '../commands/append-call.ts';
import type { RedisCommands } from '../connection/redis-commands.ts';
import { didNotRun, wrongReply } from '../connection/redis-errors.ts';
import { BESIDE, COUNT } from './count-scripts.ts';
import { REPORT, RESERVE } from './home-scripts.ts';

/** How often a reservation is tried again when the home was lost after its partitions had been read. */
const TRIES_MAX = 3;

/** The home has no report of the partition. */
const NO_VERSION = '0';

/** After these the write may still be made, so its ticket stays until a report or its time removes it. */
const UNKNOWN: ReadonlySet<BrokerErrorCode> = new Set<BrokerErrorCode>(['unavailable', 'corrupt', 'failed', 'closed']);

/** What a write adds. */
interface Wanted {
  readonly account: string;
  readonly partition: number;
  readonly topics: number;
  readonly bytes: number;
}

/** The readings of one account's partitions: one that is under way, and one that waits for it. */
interface Readings {
  running: Promise<void>;
  next: Promise<void> | undefined;
}

export class AccountQuotas {
  readonly #commands: RedisCommands;
  readonly #newNonce: () => string;
  readonly #onError: (error: unknown) => void;
  /** Of accounts that are being read. */
  readonly #readings = new Map<string, Readings>();

  /** `newNonce`: must never return a value twice. */
  constructor(commands: RedisCommands, newNonce: () => string, onError: (error: unknown) => void) {
    this.#commands = commands;
    this.#newNonce = newNonce;
    this.#onError = onError;
  }

  /** `append` is called with the ticket for `write`. @throws BrokerError quota-reached, quota-rate-reached, and what
   *  `append` throws */
  async spend(
    account: string,
    write: TopicWrite,
    append: (charge: Charge) => Promise<ChargedAppend>,
  ): Promise<readonly Appended[]> {
    const wanted = await this.#wanted(account, write);
    const granted = await this.#reserve(wanted, write);
    if (granted instanceof BrokerError) return this.#refuse(granted, append);
    let used: ChargedAppend | undefined;
    try {
      used = await append(granted);
      return used.answers;
    } catch (error) {
      if (isBrokerError(error) && UNKNOWN.has(error.code) && !didNotRun(error)) throw error;
      used = { answers: [], figures: undefined };
      throw error;
    } finally {
      if (used !== undefined) this.#settle(wanted, granted, used.figures);
    }
  }

  async #wanted(account: string, { topic, records, expect, besideBytes }: TopicWrite): Promise<Wanted> {
    const partition = this.#commands.keys.partitionOf(topic);
    const before =
      besideBytes === undefined || besideBytes === 0 || !('epoch' in expect)
        ? 0
        : Number(await this.#commands.run(BESIDE, partition, [topic]));
    const bytes = addedBytes(records, (besideBytes ?? 0) - before);
    return { account, partition, topics: 'epoch' in expect ? 0 : 1, bytes };
  }

  /** A write that its topic would refuse, or that is a retry, has that answer, whatever the account holds. */
  async #refuse(
    refusal: BrokerError,
    append: (charge: Charge) => Promise<ChargedAppend>,
  ): Promise<readonly Appended[]> {
    try {
      return (await append(DRY_CHARGE)).answers;
    } catch (error) {
      throw isBrokerError(error, 'quota-reached') ? refusal : error;
    }
  }

  async #reserve(wanted: Wanted, { quota }: TopicWrite): Promise<Charge | BrokerError> {
    const { account, partition, topics, bytes } = wanted;
    const { keys } = this.#commands;
    const { perSecond, burst } = quota?.creations ?? {};
    const limits = [quota?.topics, quota?.bytes, perSecond, burst].map((limit) => limit ?? '-');
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const isRead = tries === 0 ? '0' : '1';
      const args = [account, partition, topics, bytes, this.#newNonce(), ...limits, keys.partitions, isRead];
      const reply = await this.#commands.run(RESERVE, keys.homeOf(account), args);
      const [word, ...values] = Array.isArray(reply) ? reply.map(String) : [];
      if (word === 'granted') return { ticket: values[0] ?? '', known: values[1] ?? '' };
      if (word === 'refused') return quotaError(reachedOf(values));
      if (word !== 'read') throw wrongReply(RESERVE.name);
      await this.#read(account, values[0]?.split(' ') ?? []);
    }
    throw new BrokerError('unavailable', 'the quota of the account cannot be read');
  }

  /** Reads all partitions after this call. Calls that come while a reading is under way share the one that follows. */
  #read(account: string, known: readonly string[]): Promise<void> {
    const readings = this.#readings.get(account);
    if (readings === undefined) {
      const running = this.#readAll(account, known);
      this.#readings.set(account, { running, next: undefined });
      void running.catch(() => undefined).then(() => this.#readDone(account));
      return running;
    }
    readings.next ??= readings.running.catch(() => undefined).then(() => this.#readAll(account, known));
    return readings.next;
  }

  #readDone(account: string): void {
    const next = this.#readings.get(account)?.next;
    if (next === undefined) {
      this.#readings.delete(account);
      return;
    }
    this.#readings.set(account, { running: next, next: undefined });
    void next.catch(() => undefined).then(() => this.#readDone(account));
  }

  async #readAll(account: string, known: readonly string[]): Promise<void> {
    const { keys } = this.#commands;
    const reports = await Promise.all(
      Array.from({ length: keys.partitions }, (_, partition) =>
        this.#readOne(account, partition, known[partition] ?? NO_VERSION),
      ),
    );
    await this.#commands.run(REPORT, keys.homeOf(account), [account, '-', '1', ...reports.flat()]);
  }

  /** A partition whose server is away writes nothing: its last report counts. */
  async #readOne(account: string, partition: number, version: string): Promise<readonly string[]> {
    try {
      return reportOf(partition, decodeFigures(await this.#commands.run(COUNT, partition, [account, version])));
    } catch (error) {
      if (version === NO_VERSION || !isBrokerError(error, 'unavailable')) throw error;
      return [];
    }
  }

  /** No caller waits for it. The ticket counts until the home has the report, or until the next reading. */
  #settle({ account, partition }: Wanted, { ticket }: Charge, figures: PartitionFigures | undefined): void {
    const args = figures === undefined ? [account, ticket, '0'] : [account, '-', '0', ...reportOf(partition, figures)];
    this.#commands.run(REPORT, this.#commands.keys.homeOf(account), args).catch((error: unknown) => {
      if (!isRetryable(error) && !isBrokerError(error, 'closed')) this.#onError(error);
    });
  }
}

function reportOf(partition: number, { topics, bytes, version, tickets }: PartitionFigures): string[] {
  return [String(partition), topics, bytes, version, tickets];
}

/** @throws BrokerError corrupt */
function reachedOf([quota = '', limit, used, retry]: readonly string[]): ReachedQuota {
  if (quota !== 'topics' && quota !== 'bytes' && quota !== 'creations') throw wrongReply(RESERVE.name);
  const reached = { quota, limit: Number(limit), used: Number(used) } as const;
  return retry === '-' ? reached : { ...reached, retryAfterMs: Number(retry) };
}
