// Parses the URL of a Redis: `redis://` for one server, `redis-cluster://` for seeds of a cluster, `redis-sentinel://`
// for the sentinels of a master; `rediss…` is the same over TLS.

export interface RedisLocation {
  /** redis:// or rediss:// URLs: one server, or the seeds of a cluster. Empty with sentinels. */
  readonly nodes: readonly string[];
  readonly cluster: boolean;
  readonly sentinel?: { readonly name: string; readonly urls: readonly string[] };
}

/** Groups: protocol, kind, hosts, path. */
const REDIS_URL = /^(rediss?)(-cluster|-sentinel)?:\/\/([^/]*)(?:\/(.*))?$/;
export const REDIS_FORMS =
  'redis://<host>:<port>, redis-cluster://<host>:<port>,… or redis-sentinel://<host>:<port>,…/<name> (rediss… for TLS)';

/** The warning in the server's log. */
export const OPEN_SERVERS = 'this Redis has no password and no TLS: whoever reaches it reads and changes every chat';
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** The servers on other machines that are named without a password and without TLS: whoever reaches them can read and
 *  change every chat. */
export function openServers({ nodes, sentinel }: RedisLocation): string[] {
  const urls = [...nodes, ...(sentinel?.urls ?? [])].map((url) => new URL(url));
  const [first] = urls;
  if (first === undefined || first.protocol === 'rediss:' || first.password !== '') return [];
  return urls.filter(({ hostname }) => !LOOPBACK.test(hostname)).map(({ host }) => host);
}

export function isRedisUrl(text: string): boolean {
  return REDIS_URL.test(text);
}

/** @throws TypeError that says what is wrong, to go on after the name of what holds the URL; it carries no credentials
 *  */
export function parseRedisUrl(text: string): RedisLocation {
  const [, protocol = '', kind, places = '', path = ''] = REDIS_URL.exec(text) ?? [];
  const urls = parsePlaces(protocol, places);
  if (kind === '-sentinel') {
    if (!/^[A-Za-z0-9._-]+$/.test(path))
      throw new TypeError(
        'must end in the name by which the sentinels know the master, like redis-sentinel://<host>:<port>,…/mymaster',
      );
    return { nodes: [], cluster: false, sentinel: { name: path, urls } };
  }
  if (kind === '-cluster') {
    if (path !== '') throw new TypeError('names a database, and a cluster has only one');
    return { nodes: urls, cluster: true };
  }
  if (urls.length > 1)
    throw new TypeError(
      `names several servers: say whether they are a cluster (${protocol}-cluster://…) or sentinels (${protocol}-sentinel://…/<name>)`,
    );
  if (!/^\d{0,4}$/.test(path)) throw new TypeError('may end in the number of a database, and in nothing else');
  return { nodes: path === '' ? urls : urls.map((url) => `${url}/${path}`), cluster: false };
}

/** `user:password@` precedes the first host, and applies to all hosts. */
function parsePlaces(protocol: string, text: string): string[] {
  const at = text.lastIndexOf('@');
  const credentials = text.slice(0, at + 1);
  const urls = text
    .slice(at + 1)
    .split(',')
    .map((place) => `${protocol}://${credentials}${place.trim()}`);
  if (protocol === '' || urls.some((url) => !isPlace(url))) throw new TypeError(`must be ${REDIS_FORMS}`);
  return urls;
}

function isPlace(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { hostname, search, hash, pathname } = new URL(text);
  return hostname !== '' && search === '' && hash === '' && (pathname === '' || pathname === '/');
}
