// What happens when a read finds records that cannot be read back: it declares them as lost, durably and in the log's
// order, and the read is answered again. Readers with a position then receive a reset, and a read from the start names
// the lost offsets. Several readers that find the same damage share one declaration.
import type { DamagedRange } from '../../health.ts';
import { BrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { OffsetRange } from '../topics/topic.ts';
import type { DamageAccount } from '../topics/damage-account.ts';

export type DeclareLost = (topic: LiteTopicName, base: string, ranges: readonly OffsetRange[]) => Promise<void>;

export class Quarantine {
  readonly #damage: DamageAccount;
  readonly #declareLost: DeclareLost;
  /** Declarations that are not durable yet: one for each topic with a damaged read under way. */
  readonly #running = new Map<LiteTopicName, Promise<void>>();

  constructor(damage: DamageAccount, declareLost: DeclareLost) {
    this.#damage = damage;
    this.#declareLost = declareLost;
  }

  /** Resolves when the topic can be read again. Declares nothing while another declaration for the topic is under way:
   *  the repeated read finds what is left.
   *  @throws BrokerError corrupt: the loss could not be made durable, for example on a full device, so nothing of it
   *  may be shown */
  async declare(topic: LiteTopicName, base: string, ranges: readonly DamagedRange[]): Promise<void> {
    const running = this.#running.get(topic);
    const declaring = running ?? this.#begin(topic, base, ranges);
    try {
      await declaring;
    } catch (cause) {
      throw new BrokerError('corrupt', `${topic} has damaged records, and their loss could not be declared`, { cause });
    }
  }

  #begin(topic: LiteTopicName, base: string, ranges: readonly DamagedRange[]): Promise<void> {
    const declaring = this.#declareLost(
      topic,
      base,
      ranges.map(({ from, to }): OffsetRange => [from, to]),
    ).finally(() => this.#running.delete(topic));
    this.#running.set(topic, declaring);
    // Before the declaration is durable: an operator of a full device must see the damage as well.
    this.#damage.found(topic, ranges);
    return declaring;
  }
}
