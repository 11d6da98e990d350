// What a connection that lasts for hours needs not keep of the request that began it: some 3 KB of headers, request and
// reply, the caller's token among them.
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Called once the head of the answer is written, or the upgrade done: nobody asks for either again. Node keeps the request
 *  itself until the connection closes, so its headers are emptied. */
export function forgetRequest(request: IncomingMessage, response: ServerResponse): void {
  response.detachSocket(request.socket);
  request.headers = {};
  request.rawHeaders = [];
}
