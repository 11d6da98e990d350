// `Expect: 100-continue`: a client that asks before it sends its body gets 100 only once its request has
// passed the checks of the edge and the declared length is within the limit of the route. Node alone gives 100 to every
// client. [RFC 9110 §10.1.1]
import type { IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import type { HttpApp } from '../http/http-app.ts';

/** Call it before the routes are added. */
export function answerExpectations(app: HttpApp): void {
  /** Requests whose client waits. */
  const waiting = new WeakSet<IncomingMessage>();
  app.server.on('checkContinue', (request, response) => {
    waiting.add(request);
    app.routing(request, response);
  });
  app.addHook('preParsing', (request, reply, _payload, done) => {
    if (waiting.has(request.raw) && isWanted(request)) {
      waiting.delete(request.raw);
      reply.raw.writeContinue();
    }
    done();
  });
  app.addHook('onSend', (request, reply, _payload, done) => {
    // The client may send the body or leave it out, so the server cannot tell where the next request begins.
    if (waiting.has(request.raw)) reply.header('connection', 'close');
    done();
  });
}

function isWanted({ headers, routeOptions }: FastifyRequest): boolean {
  return Number(headers['content-length'] ?? 0) <= routeOptions.bodyLimit;
}
