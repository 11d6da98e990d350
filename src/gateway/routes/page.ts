// The demo page at `/`, if the configuration names its folder. Its content security policy lets it load its own files
// and connect to this server, and nothing else.
import { existsSync } from 'node:fs';
import fastifyStatic from '@fastify/static';
import type { HttpApp } from '../http/http-app.ts';

/** Browsers differ in whether 'self' covers WebSockets of the same host, so the policy names them. */
function contentSecurityPolicy(host: string | undefined): string {
  const sockets = host !== undefined && /^[A-Za-z0-9.:[\]-]+$/.test(host) ? ` ws://${host} wss://${host}` : '';
  return [
    "default-src 'self'",
    "img-src 'self' data:",
    "style-src 'self'",
    `connect-src 'self'${sockets}`,
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

export async function pageRoutes(app: HttpApp, folder: string | undefined): Promise<void> {
  if (folder === undefined || !existsSync(folder)) return;
  await app.register(async (page) => {
    page.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: 'open' };
      route.schema = { ...route.schema, hide: true };
    });
    page.addHook('onSend', async (request, reply) => {
      reply.header('content-security-policy', contentSecurityPolicy(request.headers.host));
    });
    await page.register(fastifyStatic, { root: folder, dotfiles: 'ignore', cacheControl: false, wildcard: false });
  });
}
