// A Holdline for torture tests: its processes, a model server of its own, and two agents that differ in how they treat
// a run whose worker died. On the embedded engine it is one process; on Redis it is a cluster.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClusterRig } from '../support/cluster-rig.ts';
import { RedisServer } from '../support/redis-server.ts';
import { ServerProcess } from '../support/server-process.ts';
import { slowed } from '../support/slowness.ts';
import { UpstreamProcess } from '../support/upstream-process.ts';
import { ChatStory } from './chat-story.ts';
import { playOnCluster } from './cluster-story.ts';
import { seededRandom } from './seeded-random.ts';
import { Torture, type Victim, type Victims } from './torture.ts';

export type Engine = 'embedded' | 'redis';
const AGENTS = ['goer', 'starter'] as const;
/** Per agent, the prompts of two chats are queued behind one another. */
const SESSIONS = 3;
/** More faults than one run meets. */
const ATTEMPTS_MAX = 100;
const LEASE_MS = slowed(1_000);

type Strike = (torture: Torture) => Promise<void>;

export class TortureRig {
  readonly engine: Engine;
  readonly upstream: UpstreamProcess;
  readonly #holdline: ServerProcess | ClusterRig;
  readonly #folder: string;

  private constructor(engine: Engine, upstream: UpstreamProcess, holdline: ServerProcess | ClusterRig, folder: string) {
    this.engine = engine;
    this.upstream = upstream;
    this.#holdline = holdline;
    this.#folder = folder;
  }

  static async start(engine: Engine): Promise<TortureRig> {
    const folder = await mkdtemp(join(tmpdir(), 'holdline-torture-'));
    const upstream = await UpstreamProcess.start();
    const env = { HOLDLINE_AGENTS: join(folder, 'agents.json'), HOLDLINE_LEASE_MS: String(LEASE_MS) };
    await writeFile(env.HOLDLINE_AGENTS, JSON.stringify({ agents: agentsAt(upstream.baseUrl) }));
    const holdline =
      engine === 'embedded'
        ? await ServerProcess.start({ env })
        : await ClusterRig.start(await RedisServer.start({ appendfsync: 'always' }), env);
    return new TortureRig(engine, upstream, holdline, folder);
  }

  /** Resolves when the faults are over, every run has ended, and the checker found no violation. */
  async play(strike: Strike): Promise<ChatStory> {
    const name = `torture-${this.engine}`;
    const holdline = this.#holdline;
    const play = { name, sessions: SESSIONS, agents: AGENTS };
    const run = async (story: ChatStory): Promise<void> => strike(new Torture(story, this.#victims()));
    if (holdline instanceof ClusterRig) return playOnCluster(holdline, play, run);
    const story = new ChatStory({ ...play, server: holdline, token: holdline.token, random: seededRandom(name) });
    await story.play(
      async () => run(story),
      () => [{ name: 'last life', url: holdline.url }],
    );
    return story;
  }

  get log(): string {
    const { log } = this.#holdline;
    return typeof log === 'string' ? log : log.slice(-LOG_LINES).join('\n');
  }

  async close(): Promise<void> {
    await this.#holdline.close();
    await this.upstream.close();
    await rm(this.#folder, { recursive: true });
  }

  #victims(): Victims {
    const model = victim('upstream', this.upstream, true);
    const holdline = this.#holdline;
    if (holdline instanceof ServerProcess) return [victim('server', holdline), model];
    const [gateways, workers] = [holdline.gateways, holdline.workers];
    return [
      model,
      ...gateways.map((one, i) => victim(`gateway-${i + 1}`, one)),
      ...workers.map((one, i) => victim(`worker-${i + 1}`, one)),
    ];
  }
}

const LOG_LINES = 60;

function agentsAt(url: string): Readonly<Record<(typeof AGENTS)[number], object>> {
  const counting = { url, model: 'counting', attemptsMax: ATTEMPTS_MAX };
  return {
    goer: { ...counting, prefill: 'vllm', takeover: 'continue' },
    starter: { ...counting, takeover: 'restart' },
  };
}

function victim(name: string, process: Omit<Victim, 'name' | 'isModel'>, isModel = false): Victim {
  return {
    name,
    isModel,
    kill: () => process.kill(),
    restart: () => process.restart(),
    freeze: () => process.freeze(),
    thaw: () => process.thaw(),
  };
}
