// Finds the identity of a request by its credentials: a bearer token on every route, the same token as `x-api-key` on
// wires whose clients send it there, a ticket on streams and sockets, the cookie of an earlier ticket on streams. A
// token anywhere in a URL is refused, because logs and histories keep URLs. [PROTOCOL §2]
import type { FastifyRequest } from 'fastify';
import type { Clock } from '../../base/clock.ts';
import { GatewayError, isGatewayError } from '../gateway-error.ts';
import type { Identity } from './identity.ts';
import type { StreamCookie } from './stream-cookie.ts';
import type { TicketPurpose, Tickets } from './tickets.ts';
import type { TokenVerifier } from './token-verifier.ts';

/** Query parameters in which callers put tokens by mistake. */
const TOKEN_PARAMETERS = ['token', 'access_token', 'id_token', 'jwt', 'authorization'];

export interface StreamIdentity {
  readonly identity: Identity;
  /** The request spent a ticket, so the gateway sets a cookie with which the stream can reconnect. */
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

  /** Finds the identity of a plain request by its bearer token. @throws GatewayError unauthenticated, token-expired,
   *  token-in-url */
  async ofRequest(request: FastifyRequest): Promise<Identity> {
    const identity = await this.#ofHeader(request);
    if (identity === undefined) throw new GatewayError('unauthenticated');
    return identity;
  }

  /** Finds the identity of an SSE request by its bearer token. A request without a token is identified by its ticket,
   *  and one without a valid ticket by the cookie that the gateway set for an earlier ticket.
   *  @throws GatewayError unauthenticated, token-expired, token-in-url, forbidden */
  async ofStream(request: FastifyRequest, ticket: string | undefined): Promise<StreamIdentity> {
    const byHeader = await this.#ofHeader(request);
    if (byHeader !== undefined) return { identity: byHeader, byTicket: false };
    const byCookie = this.#stillGood(this.#cookie.read(request.headers.cookie, this.#clock.now()));
    if (ticket === undefined) return fromCookie(byCookie);
    try {
      return { identity: await this.#redeem(ticket, 'stream'), byTicket: true };
    } catch (error) {
      // A reconnecting EventSource repeats its URL, which has the spent ticket.
      if (isGatewayError(error, 'unauthenticated') && byCookie !== undefined) return fromCookie(byCookie);
      throw error;
    }
  }

  /** Finds the identity of an upgrade by its bearer token, or by its ticket. Without either it is undefined, and the
   *  first frame must carry a token. Cookies never count here, because a browser attaches them to the requests of any
   *  page. */
  async ofUpgrade(request: FastifyRequest, ticket: string | undefined): Promise<Identity | undefined> {
    const byHeader = await this.#ofHeader(request);
    if (byHeader !== undefined) return byHeader;
    return ticket === undefined ? undefined : this.#redeem(ticket, 'socket');
  }

  /** Finds the identity in the text of an `Authorization` header. @throws GatewayError unauthenticated, token-expired,
   *  keys-unavailable */
  async ofAuthorization(authorization: string): Promise<Identity> {
    const token = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1];
    if (token === undefined)
      throw new GatewayError('unauthenticated', { message: 'the Authorization header is not a bearer token' });
    return this.#tokens.verify(token);
  }

  /** Finds the identity in a token. @throws GatewayError unauthenticated, token-expired, keys-unavailable */
  async ofToken(token: string): Promise<Identity> {
    return this.#tokens.verify(token);
  }

  async #redeem(ticket: string, purpose: TicketPurpose): Promise<Identity> {
    return this.#stillGood(await this.#tickets.redeem(ticket, purpose)) ?? refuseWithdrawn();
  }

  /** A ticket and a cookie are void once the key that verified the buyer's token is withdrawn. */
  #stillGood(identity: Identity | undefined): Identity | undefined {
    return identity !== undefined && this.#tokens.isStillGood(identity) ? identity : undefined;
  }

  async #ofHeader(request: FastifyRequest): Promise<Identity | undefined> {
    refuseTokenInUrl(request.query);
    const { authorization } = request.headers;
    return authorization === undefined ? this.#ofApiKey(request) : this.ofAuthorization(authorization);
  }

  async #ofApiKey({ headers, routeOptions }: FastifyRequest): Promise<Identity | undefined> {
    const key = headers['x-api-key'];
    if (routeOptions.config.acceptsApiKey !== true || typeof key !== 'string') return undefined;
    return this.#tokens.verify(key);
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
