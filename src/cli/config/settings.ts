// The names of all settings in the environment, and guesses for unknown names. A misspelled setting that is ignored is
// not in force: the server would run without its key, or on another storage.
import { edits, NAME_CHARS_MAX, nearestName } from './nearest-name.ts';

export const SETTINGS = [
  'HOST',
  'PORT',
  'HOLDLINE_AGENTS',
  'HOLDLINE_ATTACHMENT_BYTES',
  'HOLDLINE_BROKER',
  'HOLDLINE_CLOCK',
  'HOLDLINE_CONNECTIONS_PER_ADDRESS',
  'HOLDLINE_CONNECTIONS_PER_USER',
  'HOLDLINE_CONVERSATION_CHARS',
  'HOLDLINE_COOKIE_SECRET',
  'HOLDLINE_DRAIN_MS',
  'HOLDLINE_ERASE_WITHIN',
  'HOLDLINE_FSYNC',
  'HOLDLINE_HOSTS',
  'HOLDLINE_JWKS',
  'HOLDLINE_JWT_ALGORITHMS',
  'HOLDLINE_JWT_AUDIENCE',
  'HOLDLINE_JWT_ISSUER',
  'HOLDLINE_JWT_MAX_AGE',
  'HOLDLINE_JWT_PUBLIC_KEY',
  'HOLDLINE_JWT_SECRET',
  'HOLDLINE_LEASE_MS',
  'HOLDLINE_LOG_LEVEL',
  'HOLDLINE_METRICS_HOST',
  'HOLDLINE_METRICS_PORT',
  'HOLDLINE_MODEL',
  'HOLDLINE_MODEL_KEY',
  'HOLDLINE_MODEL_PREFILL',
  'HOLDLINE_MODEL_URL',
  'HOLDLINE_OPENAPI',
  'HOLDLINE_ORIGINS',
  'HOLDLINE_PAGE',
  'HOLDLINE_PROMISE',
  'HOLDLINE_PUBLIC_URL',
  'HOLDLINE_REDIS_APPENDFSYNC',
  'HOLDLINE_ROLE',
  'HOLDLINE_RUNS',
  'HOLDLINE_RUNS_PER_USER',
  'HOLDLINE_RUN_MS_MAX',
  'HOLDLINE_SERVE',
  'HOLDLINE_SESSION_ATTACHMENT_BYTES',
  'HOLDLINE_SESSIONS_PER_USER',
  'HOLDLINE_SESSION_IDS',
  'HOLDLINE_SESSION_TTL',
  'HOLDLINE_SOCKETS_PER_ADDRESS',
  'HOLDLINE_SUBSCRIPTIONS_PER_USER',
  'HOLDLINE_SYSTEM_PROMPT',
  'HOLDLINE_TAKEOVER',
  'HOLDLINE_TENANTS',
  'HOLDLINE_TOPICS',
  'HOLDLINE_TICKETS_PER_USER',
  'HOLDLINE_TRUSTED_PROXIES',
] as const;

/** Add a new setting to SETTINGS; the compiler refuses to read any other name. */
export type Setting = (typeof SETTINGS)[number];

/** Of `npm run cluster`, whose processes receive it too; and of the examples, where it is the address of the server: a
 *  shell that exports it may start the server as well. */
const TOOL_SETTINGS: ReadonlySet<string> = new Set(['HOLDLINE_CLUSTER_FOLDER', 'HOLDLINE_URL']);
const PREFIX = 'HOLDLINE_';
/** Kubernetes sets these in every pod in the namespace of a service called `holdline` or `holdline-…`. */
const SERVICE_LINK =
  /^HOLDLINE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
const SERVICE_LINK_URL = /^HOLDLINE_([A-Z0-9_]+_)?PORT$/;
/** Edits that turn a name without our prefix into one of ours, such as HOLDINE_BROKER. */
const PREFIX_EDITS_MAX = 1;

export interface UnknownSetting {
  readonly name: string;
  /** The most similar setting; undefined where none is similar. */
  readonly nearest: Setting | undefined;
}

/** The names that look like a setting and are none. `known`: other names that the configuration contains. */
export function findUnknownSettings(
  env: Readonly<Record<string, string | undefined>>,
  known: ReadonlySet<string>,
): UnknownSetting[] {
  return Object.entries(env).flatMap(([name, value = '']) => {
    const isKnown = (SETTINGS as readonly string[]).includes(name) || TOOL_SETTINGS.has(name) || known.has(name);
    if (isKnown || value.trim() === '' || isServiceLink(name, value)) return [];
    if (name.toUpperCase().startsWith(PREFIX)) return [{ name, nearest: nearestSetting(name) }];
    const meant =
      name.length > NAME_CHARS_MAX
        ? undefined
        : SETTINGS.find(
            (setting) =>
              setting.startsWith(PREFIX) &&
              // First, because each variable of the environment comes here and few are that similar.
              Math.abs(name.length - setting.length) <= PREFIX_EDITS_MAX &&
              edits(name.toUpperCase(), setting) <= PREFIX_EDITS_MAX,
          );
    return meant === undefined ? [] : [{ name, nearest: meant }];
  });
}

function isServiceLink(name: string, value: string): boolean {
  return SERVICE_LINK.test(name) || (SERVICE_LINK_URL.test(name) && /^(tcp|udp|sctp):\/\//.test(value));
}

/** Compares names without the prefix, which all but HOST and PORT share. */
function nearestSetting(name: string): Setting | undefined {
  const given = withoutPrefix(name.toUpperCase());
  return nearestName(given, SETTINGS, withoutPrefix);
}

function withoutPrefix(name: string): string {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
}
