// Tickets replace a token for clients that can send only a URL (EventSource and WebSocket in a browser). Each ticket is
// a topic for some seconds. The node that removes the topic has redeemed the ticket, so it works once across all nodes.
// Only its digest is stored. [PROTOCOL §2]
import { createHash } from 'node:crypto';
import type { Broker } from '../../broker/broker.ts';
import type { Clock } from '../../base/clock.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import { ticketTopic } from '../../session/topic-names.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';
import { decodeIdentity, encodeIdentity } from './identity-codec.ts';
import type { Identity } from './identity.ts';
import { TicketQuota } from './ticket-quota.ts';

export interface IssuedTicket {
  readonly ticket: string;
  /** ms since 1970. */
  readonly expiresAt: number;
}

/** Which kind of connection may redeem a ticket. */
export type TicketPurpose = 'stream' | 'socket';

export interface TicketOrder {
  /** Undefined: every session that the buyer may use. */
  readonly sessionId: string | undefined;
  readonly purpose: TicketPurpose;
  /** `chat`: everything that the buyer may do. */
  readonly scope: 'read' | 'chat';
}

interface StoredTicket {
  readonly until: number;
  readonly bearer: string;
  /** Missing if an older version wrote the ticket; then `stream`. */
  readonly purpose?: TicketPurpose;
}

const TICKET = /^[A-Za-z0-9_-]{16,128}$/;

export class Tickets {
  readonly #broker: Broker;
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #ttlMs: number;
  readonly #quota: TicketQuota;

  constructor(
    broker: Broker,
    clock: Clock,
    newId: () => string,
    { ticketTtlMs, ticketsPerUserMax }: Pick<GatewayConfig, 'ticketTtlMs' | 'ticketsPerUserMax'>,
  ) {
    this.#broker = broker;
    this.#clock = clock;
    this.#newId = newId;
    this.#ttlMs = ticketTtlMs;
    this.#quota = new TicketQuota(clock, ticketTtlMs, ticketsPerUserMax);
  }

  /** @throws GatewayError too-many */
  async issue(buyer: Identity, { sessionId, purpose, scope }: TicketOrder): Promise<IssuedTicket> {
    this.#quota.take(buyer.principal);
    const now = this.#clock.now();
    const expiresAt = Math.min(now + this.#ttlMs, buyer.expiresAt);
    const bearer = {
      ...buyer,
      isReadOnly: scope === 'read',
      ...(sessionId === undefined ? {} : { sessions: new Set([sessionId]) }),
    };
    const ticket = this.#newId();
    const stored: StoredTicket = { until: expiresAt, bearer: encodeIdentity(bearer), purpose };
    const record = { major: true, data: JSON.stringify(stored) };
    const ttlMs = Math.max(1, Math.ceil(expiresAt - now));
    // A browser without a ticket cannot return to its stream. The record is gone after seconds, while a full device
    // stays full for longer, so a ticket may use half of the reserve.
    await this.#broker.append([
      { topic: topicOf(ticket), records: [record], expect: { absent: true }, ttlMs, mayUseReserve: 'half' },
    ]);
    return { ticket, expiresAt };
  }

  /** @throws GatewayError unauthenticated: unknown, used, or expired; forbidden: for another purpose, and then not
   *  spent */
  async redeem(ticket: string, purpose: TicketPurpose): Promise<Identity> {
    if (!TICKET.test(ticket)) refuse();
    const topic = topicOf(ticket);
    const result = await this.#broker.read(topic, 'earliest', { maxRecords: 1 });
    const item = result.kind === 'batch' ? result.items[0] : undefined;
    if (item?.kind !== 'record') refuse();
    const { until, bearer, purpose: bought = 'stream' } = JSON.parse(item.data) as StoredTicket;
    if (bought !== purpose)
      throw new GatewayError('forbidden', {
        message: `the ticket is for a ${bought}: ask for one with the purpose ${purpose}`,
      });
    // Several requests may have read the ticket; only one of them removes it.
    if (!(await this.#broker.remove(topic))) refuse();
    const identity = decodeIdentity(bearer);
    const now = this.#clock.now();
    if (until <= now || identity.expiresAt <= now) refuse();
    return identity;
  }
}

function topicOf(ticket: string): LiteTopicName {
  return ticketTopic(createHash('sha256').update(ticket).digest('base64url'));
}

function refuse(): never {
  throw new GatewayError('unauthenticated', { message: 'the ticket is not valid any more' });
}
