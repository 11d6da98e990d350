// /v1/admin/pauses: an operator pauses agents, tenants and chats, and resumes them. Needs the scope `admin`. A token of
// the default tenant may name anything, a token of another tenant only that tenant and its chats. [PROTOCOL §3]
import Type from 'typebox';
import { mayName, pauseTarget, type Pause, type Pauses, type PauseTarget } from '../../session/stores/pauses.ts';
import { GatewayError } from '../gateway-error.ts';
import { identityOf, type HttpApp } from '../http/http-app.ts';
import { errorSchema } from '../http/wire-schemas.ts';

const KINDS = ['agent', 'tenant', 'topic'] as const;

const targetFields = {
  agent: Type.Optional(Type.String({ description: 'the name of an agent' })),
  tenant: Type.Optional(Type.String({ description: 'the name of a tenant' })),
  topic: Type.Optional(Type.String({ description: 'the topic of a chat: `chat/…`' })),
};
const body = Type.Object(targetFields, { additionalProperties: false, minProperties: 1, maxProperties: 1 });
const pausesSchema = Type.Object({
  pauses: Type.Array(Type.Object({ ...targetFields, since: Type.String({ format: 'date-time' }) })),
});
const changedSchema = Type.Object({ changed: Type.Boolean({ description: 'false: it was so already' }) });
const config = { access: 'admin' } as const;
const tags = ['admin'];

export function pausesRoutes(app: HttpApp, { pauses }: { readonly pauses: Pauses }): void {
  const response = { 200: pausesSchema, '4xx': errorSchema };
  app.get('/v1/admin/pauses', { schema: { tags, response }, config }, async (request) => {
    const { tenant } = identityOf(request).principal;
    const listed = (await pauses.list()).filter((pause) => mayName(tenant, pause));
    return { pauses: listed.map(wirePause) };
  });
  for (const [path, isPaused] of [
    ['/v1/admin/pause', true],
    ['/v1/admin/resume', false],
  ] as const) {
    const schema = { tags, body, response: { 200: changedSchema, '4xx': errorSchema } };
    app.post(path, { schema, config }, async (request) => {
      const target = targetOf(request.body);
      const { tenant } = identityOf(request).principal;
      if (!mayName(tenant, target)) throw new GatewayError('forbidden');
      return { changed: await pauses.set(target, isPaused, tenant) };
    });
  }
}

function targetOf(given: Readonly<Partial<Record<(typeof KINDS)[number], string>>>): PauseTarget {
  for (const kind of KINDS) {
    const target = given[kind] === undefined ? undefined : pauseTarget(kind, given[kind]);
    if (target !== undefined) return target;
  }
  throw new GatewayError('invalid-request', { message: 'name one agent, one tenant, or the topic of one chat' });
}

function wirePause({ kind, name, since }: Pause) {
  return { [kind]: name, since: new Date(since).toISOString() };
}
