// /v1/sessions/{id}/attachments: stores a file of a chat, gives it back, and removes one that no message names. Bytes
// are streamed in both directions. [PROTOCOL §9]
import { Readable } from 'node:stream';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { Clock } from '../../base/clock.ts';
import type { Attachments } from '../../session/attachments/attachments.ts';
import type { OpenAttachment } from '../../session/attachments/open-attachment.ts';
import type { Sessions } from '../../session/sessions.ts';
import { requireWrite } from '../auth/identity.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import { digestOf, downloadHeaders, fileNameOf, mediaTypeOf, rangeOf } from './attachment-headers.ts';
import { isListed } from '../../base/entity-tag.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import { PageReads } from '../http/page-reads.ts';
import type { SessionIds } from '../http/session-ids.ts';
import { uploadLength, type UploadsUnderWay } from '../http/upload-body.ts';
import { errorSchema, sessionParams } from '../http/wire-schemas.ts';
import type { Readiness } from '../readiness.ts';

export interface AttachmentsRoutesDeps {
  readonly config: Pick<GatewayConfig, 'attachmentBytesMax'>;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly attachments: Attachments;
  readonly uploadsUnderWay: UploadsUnderWay;
  readonly readiness: Readiness;
  readonly reads: PageReads;
  readonly clock: Clock;
}

/** Uploads that a node stores at once. Each holds one chunk of 256 KiB; the others wait, and nothing of them is read.
 *  */
export const UPLOADS = { insideMax: 64, insidePerUserMax: 4, waitingMax: 1_024, waitingPerUserMax: 128 };

const attachmentParams = Type.Object({ sessionId: Type.String(), attachmentId: Type.String() });

const attachmentSchema = Type.Object({
  attachmentId: Type.String(),
  name: Type.String(),
  mediaType: Type.String(),
  bytes: Type.Integer(),
  sha256: Type.String(),
});

const bytesAnswer = { description: 'the bytes', content: { '*/*': { schema: Type.Unsafe<Readable>(Type.String()) } } };

const tags = ['attachments'];
const url = '/v1/sessions/:sessionId/attachments';

export async function attachmentsRoutes(app: HttpApp, deps: AttachmentsRoutesDeps): Promise<void> {
  // A scope of its own: here a body of any type is a stream of bytes, and everywhere else it is JSON.
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    uploadRoute(scope.withTypeProvider<TypeBoxTypeProvider>(), deps);
  });
  downloadRoute(app, deps);
  removeRoute(app, deps);
}

function uploadRoute(
  app: HttpApp,
  { config, sessionIds, sessions, attachments, uploadsUnderWay, readiness, clock }: AttachmentsRoutesDeps,
): void {
  app.post(
    url,
    {
      schema: {
        tags,
        params: sessionParams,
        consumes: ['*/*'],
        response: { 201: attachmentSchema, '4xx': errorSchema },
      },
      bodyLimit: config.attachmentBytesMax,
      onRequest: async (request, reply) => uploadsUnderWay.begin(request, reply),
      preHandler: new PageReads(UPLOADS).admit,
      // The rest of a body that is not read would be taken for the next request.
      onError: async (_request, reply) => void reply.header('connection', 'close'),
    },
    async (request, reply) => {
      readiness.mustNotDrain();
      const identity = identityOf(request);
      requireWrite(identity);
      const { headers } = request;
      const file = {
        bytes: uploadLength(request, config.attachmentBytesMax),
        mediaType: mediaTypeOf(headers['content-type']),
        name: fileNameOf(headers['content-disposition']),
        sha256: digestOf(textOf(headers['content-digest'])),
      };
      const ref = await sessionIds.findOrMake(identity, request.params.sessionId);
      await sessions.create(identity.principal, ref, {});
      const body = uploadsUnderWay.read(request, clock);
      return reply.code(201).send(await attachments.upload(identity.principal, ref, file, body));
    },
  );
}

function downloadRoute(app: HttpApp, { sessionIds, attachments, reads }: AttachmentsRoutesDeps): void {
  app.get(
    `${url}/:attachmentId`,
    {
      schema: { tags, params: attachmentParams, response: { 200: bytesAnswer, '4xx': errorSchema } },
      preHandler: reads.admit,
    },
    async (request, reply) => {
      const identity = identityOf(request);
      const ref = await sessionIds.find(identity, request.params.sessionId);
      const opened = await attachments.open(identity.principal, ref, request.params.attachmentId);
      try {
        return await sendAttachment(request, reply, opened);
      } catch (error) {
        await opened.close();
        throw error;
      }
    },
  );
}

/** The stream closes the attachment when it ends, in whatever way. */
async function sendAttachment(
  request: FastifyRequest,
  reply: FastifyReply,
  opened: OpenAttachment,
): Promise<FastifyReply> {
  const { name, mediaType, bytes, sha256 } = opened;
  const { headers, method } = request;
  const etag = `"${sha256}"`;
  reply.headers({ ...downloadHeaders(name, mediaType), etag });
  if (isListed(headers['if-none-match'], etag)) {
    await opened.close();
    return reply.code(304).send();
  }
  const mayRange = headers['if-range'] === undefined || headers['if-range'] === etag;
  const range = mayRange ? rangeOf(headers.range, bytes) : undefined;
  const { from, to } = range ?? { from: 0, to: bytes - 1 };
  if (range !== undefined) reply.code(206).header('content-range', `bytes ${from}-${to}/${bytes}`);
  reply.header('content-length', to + 1 - from);
  if (method === 'HEAD') {
    await opened.close();
    return reply.send(Readable.from([]));
  }
  return reply.send(Readable.from(piecesOf(opened, from, to), { objectMode: false }));
}

async function* piecesOf(opened: OpenAttachment, from: number, to: number): AsyncGenerator<Uint8Array> {
  try {
    yield* opened.read(from, to);
  } finally {
    await opened.close();
  }
}

function textOf(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === 'object' ? header.join(', ') : header;
}

function removeRoute(app: HttpApp, { sessionIds, attachments }: AttachmentsRoutesDeps): void {
  app.delete(
    `${url}/:attachmentId`,
    { schema: { tags, params: attachmentParams, response: { 204: Type.Null(), '4xx': errorSchema } } },
    async (request, reply) => {
      const identity = identityOf(request);
      requireWrite(identity);
      const ref = await sessionIds.find(identity, request.params.sessionId);
      await attachments.remove(identity.principal, ref, request.params.attachmentId);
      return reply.code(204).send(null);
    },
  );
}
