// Frees what a connection that lasts for hours does not need of its first request: about 3 KB of headers, request and
// reply, the caller's token included.
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Call it once the head of the answer is written or the upgrade is done; no code reads the headers after that. Node
 *  keeps the request object until the connection closes, so its headers are emptied. */
export function forgetRequest(request: IncomingMessage, response: ServerResponse): void {
  response.detachSocket(request.socket);
  request.headers = {};
  request.rawHeaders = [];
}
