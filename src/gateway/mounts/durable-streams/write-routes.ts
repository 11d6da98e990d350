// PUT, POST and DELETE of a durable stream.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { BrokerError, isBrokerError } from '../../../broker/errors.ts';
import type { LiteTopicName } from '../../../broker/lite-topic.ts';
import { splitMessages } from '../../../durable-streams/json-messages.ts';
import type { StreamLog, StreamDecision } from '../../../durable-streams/stream-log.ts';
import type { LoadedStream } from '../../../durable-streams/stream-records.ts';
import {
  decideAppend,
  isJsonType,
  isSameType,
  type AppendRefusal,
  type AppendRequest,
  type ProducerState,
} from '../../../durable-streams/stream-rules.ts';
import { requireWrite } from '../../auth/identity.ts';
import type { GatewayConfig } from '../../gateway-config.ts';
import { identityOf } from '../../http/http-app.ts';
import type { PageReads } from '../../http/page-reads.ts';
import { boundError, errorOfBound } from '../../json/json-bounds.ts';
import { LARGE_JSON_BYTES, type LargeJson } from '../../json/large-json.ts';
import { decodeUtf8, parseJson } from '../../json/parse-json.ts';
import type { ParseBudget } from '../../limits/parse-budget.ts';
import type { Readiness } from '../../readiness.ts';
import { WIRE_JSON_VALUES_MAX } from '../mount.ts';
import { positionHeaders, streamHeaders } from './stream-replies.ts';
import { StreamRefusal } from './stream-refusals.ts';
import { readAppend, readCreate, readFork, typeOrDefault, type CreateHeaders } from './stream-requests.ts';
import { missing, topicOf, type StreamRequest } from './stream-of-request.ts';
import { createFork, isForkAsWanted, type ForkDeps } from './fork-creation.ts';

export interface WriteRoutesDeps extends ForkDeps {
  readonly config: Pick<GatewayConfig, 'publicUrl'>;
  readonly readiness: Readiness;
  readonly parseBudget: ParseBudget;
  readonly largeJson: LargeJson;
  readonly reads: PageReads;
}

/** Tries of one PUT. Each of them found a stream that was removed meanwhile, or one that is being made. */
const CREATE_ATTEMPTS_MAX = 4;

export class WriteRoutes {
  readonly #deps: WriteRoutesDeps;

  constructor(deps: WriteRoutesDeps) {
    this.#deps = deps;
  }

  readonly create = async (request: StreamRequest, reply: FastifyReply): Promise<FastifyReply> => {
    this.#mayWrite(request);
    const { streamLog, streamForks } = this.#deps;
    const creation = this.#creationOf(request);
    for (let attempt = 1; attempt <= CREATE_ATTEMPTS_MAX; attempt += 1) {
      const existing = await streamLog.load(creation.topic);
      if (existing !== undefined) {
        if (!creation.isAsWanted(existing)) throw new StreamRefusal('stream-exists');
        return reply.code(200).headers(streamHeaders(existing)).send();
      }
      if (await streamForks.isKept(creation.topic)) throw new StreamRefusal('name-kept');
      const made = await creation.make();
      if (made !== undefined)
        return reply
          .code(201)
          .headers({ ...streamHeaders(made), location: this.#urlOf(request) })
          .send();
    }
    throw new BrokerError('overloaded', 'the stream is being made or removed');
  };

  #creationOf(request: StreamRequest): Creation {
    const { reads } = this.#deps;
    const { topic, name } = topicOf(request);
    const wanted = readCreate(request.headers);
    const fork = readFork(request.headers);
    const dataOf = (type: string): Promise<Buffer> => this.#dataOf(request, type);
    if (fork !== undefined) {
      const creation = { topic, name, source: topicOf(request, fork.source).topic, fork, wanted, dataOf };
      return {
        topic,
        isAsWanted: (existing) => isForkAsWanted(existing, creation),
        // A copy reads as much as a long chat.
        make: () => reads.inTurn(identityOf(request).principal, () => createFork(this.#deps, creation)),
      };
    }
    const { ttl, expiresAt, closes } = wanted;
    const type = typeOrDefault(wanted.type);
    const life = { ...(ttl === undefined ? {} : { ttl }), ...(expiresAt === undefined ? {} : { expiresAt }) };
    return {
      topic,
      isAsWanted: (existing) => isAsWanted(existing, { ...wanted, type }),
      make: async () =>
        this.#deps.streamLog.create(topic, { name, type, ...life }, closes ? { closed: true } : {}, await dataOf(type)),
    };
  }

  readonly append = async (request: StreamRequest, reply: FastifyReply): Promise<FastifyReply> => {
    this.#mayWrite(request);
    const { topic } = topicOf(request);
    const headers = readAppend(request.headers);
    const hasBody = bodyOf(request).length > 0;
    if (!hasBody && !headers.closes) throw new StreamRefusal('empty-body');
    if (hasBody && headers.type === undefined) throw new StreamRefusal('type-required');
    const data = hasBody ? await this.#dataOf(request, headers.type ?? '') : Buffer.alloc(0);
    if (hasBody && data.length === 0) throw new StreamRefusal('empty-array');
    const asked: AppendRequest = { ...headers, hasData: hasBody };
    const done = await this.#deps.streamLog.change(topic, (stream) => decide(stream, asked, data));
    if (done === undefined) throw await missing(this.#deps.streamForks, topic);
    const { stream, producer, isNew } = done;
    // The protocol says 200 to a producer for what is new, and 204 for what it had sent before.
    const status = producer !== undefined && isNew && hasBody ? 200 : 204;
    return reply
      .code(status)
      .headers({ ...positionHeaders(stream), ...producerHeaders(producer) })
      .send();
  };

  readonly remove = async (request: StreamRequest, reply: FastifyReply): Promise<FastifyReply> => {
    this.#mayWrite(request);
    const { topic } = topicOf(request);
    const { streamLog, streamForks } = this.#deps;
    const stream = await loadDamaged(streamLog, topic);
    if (stream === undefined) throw await missing(streamForks, topic);
    // Whose state is lost can still be removed.
    await (stream === 'damaged' ? streamLog.remove(topic) : streamForks.remove(stream));
    return reply.code(204).send();
  };

  #mayWrite(request: FastifyRequest): void {
    this.#deps.readiness.mustNotDrain();
    requireWrite(identityOf(request));
  }

  /** What the body appends. @throws StreamRefusal invalid-json; GatewayError too-many, too-large, json-too-deep */
  async #dataOf(request: FastifyRequest, type: string): Promise<Buffer> {
    const { parseBudget } = this.#deps;
    const { principal } = identityOf(request);
    const body = bodyOf(request);
    parseBudget.spend(principal, body.length);
    if (!isJsonType(type) || body.length === 0) return body;
    if (body.length <= LARGE_JSON_BYTES) return jsonData(body);
    const parsed = await this.#deps.largeJson.parseBytes(body, WIRE_JSON_VALUES_MAX);
    parseBudget.chargeValues(principal, parsed.values);
    if (parsed.kind === 'malformed') throw new StreamRefusal('invalid-json');
    if (parsed.kind === 'exceeded') throw errorOfBound(parsed.bound, WIRE_JSON_VALUES_MAX);
    return messagesOf(parsed.text);
  }

  #urlOf({ protocol, host, url }: FastifyRequest): string {
    return `${this.#deps.config.publicUrl ?? `${protocol}://${host}`}${url.split('?')[0] ?? ''}`;
  }
}

/** A PUT, of a stream or of a fork. */
interface Creation {
  readonly topic: LiteTopicName;
  readonly isAsWanted: (existing: LoadedStream) => boolean;
  /** Undefined: the name was taken meanwhile. */
  readonly make: () => Promise<LoadedStream | undefined>;
}

async function loadDamaged(streamLog: StreamLog, topic: LiteTopicName): Promise<LoadedStream | 'damaged' | undefined> {
  try {
    return await streamLog.load(topic);
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return 'damaged';
    throw error;
  }
}

interface AppendDone {
  readonly stream: LoadedStream;
  readonly producer: ProducerState | undefined;
  readonly isNew: boolean;
}

function decide(stream: LoadedStream, asked: AppendRequest, data: Buffer): StreamDecision<AppendDone> {
  const decision = decideAppend(stream.state, stream.config.type, asked);
  switch (decision.kind) {
    case 'append':
      return {
        data,
        after: decision.after,
        answer: (after) => ({ stream: after, producer: asked.producer, isNew: true }),
      };
    case 'done':
      return { unchanged: { stream, producer: decision.producer, isNew: false } };
    case 'refused':
      throw refusalOf(stream, decision.refusal);
  }
}

function refusalOf(stream: LoadedStream, refusal: AppendRefusal): StreamRefusal {
  const { code } = refusal;
  switch (code) {
    case 'stale-producer':
      return new StreamRefusal(code, { headers: { 'producer-epoch': String(refusal.epoch) } });
    case 'producer-gap': {
      const { expected, received } = refusal;
      const headers = { 'producer-expected-seq': String(expected), 'producer-received-seq': String(received) };
      return new StreamRefusal(code, { headers });
    }
    default:
      return new StreamRefusal(code, { headers: positionHeaders(stream) });
  }
}

function producerHeaders(producer: ProducerState | undefined): Readonly<Record<string, string>> {
  if (producer === undefined) return {};
  return { 'producer-epoch': String(producer.epoch), 'producer-seq': String(producer.seq) };
}

function isAsWanted(
  { config, state }: LoadedStream,
  { type, ttl, expiresAt, closes }: CreateHeaders & { readonly type: string },
): boolean {
  const isSameLife = config.ttl === ttl && config.expiresAt === expiresAt;
  return isSameType(config.type, type) && isSameLife && (state.closed === true) === closes;
}

function bodyOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
}

function jsonData(body: Buffer): Buffer {
  const text = decodeUtf8(body);
  if (text === undefined || parseJson(text, WIRE_JSON_VALUES_MAX) === undefined)
    throw (
      (text === undefined ? undefined : boundError(text, WIRE_JSON_VALUES_MAX)) ?? new StreamRefusal('invalid-json')
    );
  return messagesOf(text);
}

/** The messages as they are stored: the text of a list without its brackets. */
function messagesOf(text: string): Buffer {
  return Buffer.from(splitMessages(text).join(','));
}
