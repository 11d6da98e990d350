// The systems that the lab compares: how each is started, and how a viewer begins a chat with it. Pure.
import type { Wire } from './messages.ts';

export interface System {
  readonly name: SystemName;
  /** For the results page. */
  readonly title: string;
  /** Relative to the root of the repository; `{dist-load}` is where `npm run build:load` writes. */
  readonly script: string;
  readonly args: readonly string[];
  readonly usesRedis: boolean;
  readonly isPeer: boolean;
  readonly wire: (secret: string) => Wire;
}

export const SYSTEM_NAMES = [
  'fetch-proxy',
  'http-proxy',
  'ai-sdk',
  'ai-sdk-resumable',
  'holdline',
  'holdline-redis',
] as const;
export type SystemName = (typeof SYSTEM_NAMES)[number];

/** The system that ratios refer to. */
export const YARDSTICK: SystemName = 'fetch-proxy';

const post: System['wire'] = () => ({ kind: 'post', path: '/chat' });
const holdline: System['wire'] = (secret) => ({ kind: 'holdline', secret, query: '' });

export const SYSTEMS: Readonly<Record<SystemName, System>> = {
  'fetch-proxy': {
    name: 'fetch-proxy',
    title: 'bare proxy, `fetch`',
    script: 'dist-load/load/lab/fetch-proxy-process.js',
    args: [],
    usesRedis: false,
    isPeer: false,
    wire: post,
  },
  'http-proxy': {
    name: 'http-proxy',
    title: 'bare proxy, `node:http`',
    script: 'dist-load/load/lab/http-proxy-process.js',
    args: [],
    usesRedis: false,
    isPeer: false,
    wire: post,
  },
  'ai-sdk': {
    name: 'ai-sdk',
    title: 'AI SDK `streamText`',
    script: 'load/peers/ai-sdk.js',
    args: [],
    usesRedis: false,
    isPeer: true,
    wire: post,
  },
  'ai-sdk-resumable': {
    name: 'ai-sdk-resumable',
    title: 'AI SDK, `resumable-stream`, Redis',
    script: 'load/peers/ai-sdk.js',
    args: ['resumable'],
    usesRedis: true,
    isPeer: true,
    wire: post,
  },
  holdline: {
    name: 'holdline',
    title: 'Holdline embedded (`always`)',
    script: 'dist/main.js',
    args: ['serve'],
    usesRedis: false,
    isPeer: false,
    wire: holdline,
  },
  'holdline-redis': {
    name: 'holdline-redis',
    title: 'Holdline on Redis (`memory`)',
    script: 'dist/main.js',
    args: ['serve'],
    usesRedis: true,
    isPeer: false,
    wire: holdline,
  },
};

export interface Surroundings {
  readonly port: number;
  readonly modelUrl: string;
  /** Undefined where the system uses none. */
  readonly redisUrl: string | undefined;
  readonly folder: string;
  readonly secret: string;
  /** Of the model server's own authority, with TLS. */
  readonly certificate: string | undefined;
}

/** The environment of a system's process. */
export function environmentOf({ name }: System, around: Surroundings): Readonly<Record<string, string>> {
  const common = {
    NODE_ENV: 'production',
    PORT: String(around.port),
    ...(around.certificate === undefined ? {} : { NODE_EXTRA_CA_CERTS: around.certificate }),
    ...(around.redisUrl === undefined ? {} : { REDIS_URL: around.redisUrl }),
  };
  if (name !== 'holdline' && name !== 'holdline-redis') return { ...common, MODEL_URL: around.modelUrl };
  return {
    ...common,
    HOST: '127.0.0.1',
    HOLDLINE_MODEL_URL: around.modelUrl,
    HOLDLINE_MODEL: 'lab',
    HOLDLINE_JWT_SECRET: around.secret,
    HOLDLINE_LOG_LEVEL: 'warn',
    ...(around.redisUrl === undefined
      ? { HOLDLINE_BROKER: `log:${around.folder}`, HOLDLINE_FSYNC: 'always' }
      : { HOLDLINE_BROKER: around.redisUrl, HOLDLINE_PROMISE: 'memory' }),
  };
}
