// What a request shows to prove who it is: a bearer token anywhere, a ticket or its cookie on streams. A token in
// a URL is refused wherever it stands, because URLs end up in logs and histories. [PROTOCOL §2]
import type { FastifyRequest } from 'fastify';
import type { Clock } from '../../base/clock.ts';
import { GatewayError, isGatewayError } from '../gateway-error.ts';
import type { Identity } from './identity.ts';
import type { StreamCookie } from './stream-cookie.ts';
import type { TicketPurpose, Tickets } from './tickets.ts';
import type { TokenVerifier } from './token-verifier.ts';

/** Where people put tokens in URLs. */
const TOKEN_PARAMETERS = ['token', 'access_token', 'id_token', 'jwt', 'authorization'];

export interface StreamIdentity {
  readonly identity: Identity;
  /** A ticket was spent for it: the stream may be given a cookie to come back with. */
  readonly byTicket: boolean;
}

export class Credentials {
  readonly #tokens: TokenVerifier;
  readonly #tickets: Tickets;
  readonly #cookie: StreamCookie;
  readonly #clock: Clock;

  constructor(tokens: TokenVerifier, tickets: Tickets, streamCookie: StreamCookie, clock: Clock) {
    this.#tokens = tokens;
    this.#tickets = tickets;
    this.#cookie = streamCookie;
    this.#clock = clock;
  }

  /** The bearer token's, for requests. @throws GatewayError unauthenticated, token-expired, token-in-url */
  async ofRequest(request: FastifyRequest): Promise<Identity> {
    const identity = await this.#ofHeader(request);
    if (identity === undefined) throw new GatewayError('unauthenticated');
    return identity;
  }

  /** Of an SSE request: token, else ticket, else the cookie of an earlier ticket. */
  async ofStream(request: FastifyRequest, ticket: string | undefined): Promise<StreamIdentity> {
    const byHeader = await this.#ofHeader(request);
    if (byHeader !== undefined) return { identity: byHeader, byTicket: false };
    const byCookie = this.#stillGood(this.#cookie.read(request.headers.cookie, this.#clock.now()));
    if (ticket === undefined) return fromCookie(byCookie);
    try {
      return { identity: await this.#redeem(ticket, 'stream'), byTicket: true };
    } catch (error) {
      // A reconnecting EventSource repeats its URL, with the ticket that it has spent.
      if (isGatewayError(error, 'unauthenticated') && byCookie !== undefined) return fromCookie(byCookie);
      throw error;
    }
  }

  /** Of an upgrade: token, else ticket, else undefined, and the first frame must bring one. Cookies never count here:
   *  a browser sends them along for any page that asks. */
  async ofUpgrade(request: FastifyRequest, ticket: string | undefined): Promise<Identity | undefined> {
    const byHeader = await this.#ofHeader(request);
    if (byHeader !== undefined) return byHeader;
    return ticket === undefined ? undefined : this.#redeem(ticket, 'socket');
  }

  /** @throws GatewayError */
  async ofToken(token: string): Promise<Identity> {
    return this.#tokens.verify(token);
  }

  async #redeem(ticket: string, purpose: TicketPurpose): Promise<Identity> {
    return this.#stillGood(await this.#tickets.redeem(ticket, purpose)) ?? refuseWithdrawn();
  }

  /** A ticket and a cookie are worth nothing once the key is withdrawn that verified their buyer's token. */
  #stillGood(identity: Identity | undefined): Identity | undefined {
    return identity !== undefined && this.#tokens.isStillGood(identity) ? identity : undefined;
  }

  async #ofHeader(request: FastifyRequest): Promise<Identity | undefined> {
    refuseTokenInUrl(request.query);
    const { authorization } = request.headers;
    if (authorization === undefined) return undefined;
    const token = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1];
    if (token === undefined)
      throw new GatewayError('unauthenticated', { message: 'the Authorization header is not a bearer token' });
    return this.#tokens.verify(token);
  }
}

function fromCookie(identity: Identity | undefined): StreamIdentity {
  if (identity === undefined) throw new GatewayError('unauthenticated');
  return { identity, byTicket: false };
}

function refuseWithdrawn(): never {
  throw new GatewayError('unauthenticated', { message: 'the key of its token was withdrawn' });
}

function refuseTokenInUrl(query: unknown): void {
  const names = typeof query === 'object' && query !== null ? Object.keys(query) : [];
  if (names.some((name) => TOKEN_PARAMETERS.includes(name.toLowerCase()))) throw new GatewayError('token-in-url');
}
