// Removes, from time to time, what no chat holds: the blobs of chats that ended, uploads that no prompt named in time,
// and what a crash left of an upload. The chats decide (attachments.ts); every node sweeps, and a step that two nodes
// take is taken once.
import type { Clock, Timer } from '../../base/clock.ts';
import type { BlobOwnerEntry, BlobStore } from '../../broker/blobs.ts';
import type { Broker, TopicInfo } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import type { CommandLog } from '../commands/command-log.ts';
import { sessionOf } from '../topic-names.ts';
import { keepTimeOf, type Attachments } from './attachments.ts';
import { generationOf } from './open-attachment.ts';

/** From the end of one sweep to the next. */
export const ATTACHMENT_SWEEP_MS = 60_000;
/** Owners of blobs that are examined together. */
const PAGE_OWNERS = 100;
/** Owners whose last examination is remembered, so that the next sweep only looks whether their chat exists. */
const EXAMINED_MAX = 100_000;
/** The keys of a shared storage get a longer time when the chat's end moved by this much. */
const KEEP_STEP_MS = 60 * 60 * 1000;

interface Examined {
  readonly changedAt: number;
  /** The chat's end at that time. */
  readonly expiresAt: number;
}

export interface AttachmentSweepDeps {
  readonly broker: Broker;
  readonly blobs: BlobStore;
  readonly log: CommandLog;
  readonly attachments: Attachments;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

export class AttachmentSweep {
  readonly #deps: AttachmentSweepDeps;
  readonly #examined = new Map<string, Examined>();
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(deps: AttachmentSweepDeps) {
    this.#deps = deps;
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  /** Examines everything once. @throws BrokerError */
  async sweep(): Promise<void> {
    const { blobs, broker } = this.#deps;
    for (let after: string | undefined; !this.#isOver();) {
      const page = await blobs.owners(PAGE_OWNERS, after);
      const infos = await broker.describe(page.owners.map(({ topic }) => topic));
      for (const [i, owner] of page.owners.entries()) {
        if (this.#isOver()) return;
        await this.#examine(owner, infos[i]);
      }
      if (page.after === undefined) return;
      after = page.after;
    }
  }

  #isOver(): boolean {
    return this.#isClosed;
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer = this.#deps.clock.after(ATTACHMENT_SWEEP_MS, () => {
      this.sweep()
        .catch((error: unknown) => {
          // The next sweep repeats what this one left.
          if (!isBrokerError(error, 'unavailable') && !isBrokerError(error, 'closed')) this.#deps.onError(error);
        })
        .finally(() => this.#schedule());
    });
  }

  async #examine(owner: BlobOwnerEntry, info: TopicInfo | undefined): Promise<void> {
    const key = `${owner.topic} ${owner.generation}`;
    if (info === undefined) {
      this.#examined.delete(key);
      return this.#deps.blobs.removeAll(owner);
    }
    const { expiresAt = Infinity } = info;
    const known = this.#examined.get(key);
    if (known?.changedAt === owner.changedAt && expiresAt - known.expiresAt < KEEP_STEP_MS) return;
    try {
      if (await this.#examineChat(owner)) this.#remember(key, { changedAt: owner.changedAt, expiresAt });
    } catch (error) {
      // A chat that cannot be read keeps its attachments until it is removed.
      if (!isBrokerError(error, 'corrupt')) throw error;
    }
  }

  /** True if nothing of the owner will change by itself. */
  async #examineChat(owner: BlobOwnerEntry): Promise<boolean> {
    const { blobs, log, attachments } = this.#deps;
    const ref = sessionOf(owner.topic);
    const loaded = await log.load(ref);
    if (loaded === undefined || generationOf(loaded.state.createdAt) !== owner.generation) {
      await blobs.removeAll(owner);
      return false;
    }
    const { state } = loaded;
    const uploads = state.attached?.uploads ?? [];
    await attachments.endOverdue(ref, state);
    // An upload that the chat does not know cannot be completed: its reservation has ended.
    const known = new Set(uploads.map(({ id }) => id));
    for (const { id, isSealed } of await blobs.list(owner)) {
      if (!isSealed && !known.has(id)) await blobs.remove(owner, id);
    }
    await blobs.keep(owner, keepTimeOf(state));
    return uploads.length === 0;
  }

  #remember(key: string, examined: Examined): void {
    this.#examined.delete(key);
    this.#examined.set(key, examined);
    if (this.#examined.size <= EXAMINED_MAX) return;
    for (const oldest of this.#examined.keys()) {
      this.#examined.delete(oldest);
      break;
    }
  }
}
