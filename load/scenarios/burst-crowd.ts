// The tenants of a burst, and what they saw. Five percent of them send half of all prompts, and send first; every
// second tenant asks for answers twice as long. Each prompt is in a chat of its own. A few more tenants send prompts
// of high priority now and then, and some users follow their chat while they wait.
import { readSse } from '../../test/support/sse-reader.ts';
import type { WireRecord } from '../../test/support/wire-record.ts';
import type { BurstPlan } from '../burst.ts';
import { PROMPT_TOKENS, writeBurstPrompt } from './burst-prompt.ts';
import type { BurstSecond } from './burst-verdict.ts';
import type { Deployment } from './deployment.ts';
import { fairness, jain, type Outcome } from './fair-shares.ts';
import { KeepAliveHttp } from './keep-alive-http.ts';
import type { ModelServer } from './model-server.ts';

const HEAVY_SHARE = 0.05;
const HEAVY_PROMPTS_SHARE = 0.5;
/** Of what the heavy tenants send, before anyone else sends. */
const HEAVY_FIRST_SHARE = 0.1;
/** Prompts that each other tenant sends before the measurement begins. */
const FIRST_PROMPTS = 4;
const SOCKETS = 48;
const TICK_MS = 20;
const HIGH_EVERY_MS = 250;
const HIGH_TENANTS = 10;
const WATCHERS_MAX = 40;
const WARM_UP_PROMPTS = 16;
/** A model that begins nothing for this long will not answer the rest. */
const PATIENCE_MS = 30_000;

interface Tenant {
  readonly name: string;
  readonly token: string;
  readonly tokens: number;
  sent: number;
}

/** A prompt of high priority that was accepted. */
export interface HighPrompt {
  readonly id: string;
  readonly acceptedAt: number;
}

/** A user that follows the chat of its queued prompt. */
export interface Watcher {
  readonly runId: string;
  readonly record: WireRecord;
}

export class BurstCrowd {
  readonly accepted = new Set<string>();
  /** Status and code → how often. */
  readonly refused = new Map<string, number>();
  readonly high: HighPrompt[] = [];
  readonly watchers: Watcher[] = [];
  readonly #plan: BurstPlan;
  readonly #holdline: Deployment;
  readonly #http = new KeepAliveHttp(SOCKETS);
  readonly #highHttp = new KeepAliveHttp(SOCKETS);
  readonly #heavy: readonly Tenant[];
  readonly #others: readonly Tenant[];
  readonly #highTenants: readonly Tenant[];
  readonly #acceptedTokens = new Map<string, number>();
  #prompts = 0;

  constructor(plan: BurstPlan, holdline: Deployment) {
    this.#plan = plan;
    this.#holdline = holdline;
    const tenant = (name: string, i: number): Tenant => {
      const tokens = plan.answerTokens * (i % 2 === 0 ? 1 : 2);
      return { name, token: holdline.token(name), tokens, sent: 0 };
    };
    const tenants = Array.from({ length: plan.tenants }, (_, i) => tenant(`t${i}`, i));
    const heavy = Math.max(2, Math.round(plan.tenants * HEAVY_SHARE));
    this.#heavy = tenants.slice(0, heavy);
    this.#others = tenants.slice(heavy);
    this.#highTenants = Array.from({ length: HIGH_TENANTS }, (_, i) => tenant(`high${i}`, i));
  }

  /** Sends some prompts, one after another, so that the service has been used before: the schedule begins with a guess
   *  of 500 tokens for each run, and after these it knows what a run costs here. */
  async warmUp(model: ModelServer): Promise<void> {
    const tenant = this.#others[0];
    for (let i = 0; i < WARM_UP_PROMPTS && tenant !== undefined; i += 1) {
      await this.#prompt(tenant);
      await this.drained(model);
    }
  }

  /** Resolves when every tenant has prompts waiting, those of the heavy tenants first. */
  async firstWave(): Promise<void> {
    const first = Math.ceil((this.#total * HEAVY_PROMPTS_SHARE * HEAVY_FIRST_SHARE) / this.#heavy.length);
    await Promise.all(this.#heavy.flatMap((one) => Array.from({ length: first }, () => this.#prompt(one))));
    await Promise.all(this.#others.flatMap((one) => Array.from({ length: FIRST_PROMPTS }, () => this.#prompt(one))));
    const watched = [...this.#heavy, ...this.#others.slice(-WATCHERS_MAX)].slice(-WATCHERS_MAX);
    await Promise.all(watched.map((one) => this.#watch(one)));
  }

  /** Sends for the time of the plan, at a steady rate whatever the answers are. Resolves when the gateway has answered
   *  every request. */
  async send(): Promise<void> {
    const { seconds } = this.#plan;
    const perMs = this.#total / (seconds * 1000);
    const from = performance.now();
    const sending: Promise<unknown>[] = [];
    let [due, high] = [0, 0];
    for (let at = 0; at < seconds * 1000; at = performance.now() - from) {
      for (; due < at * perMs; due += 1) sending.push(this.#prompt(this.#next(due)));
      for (; high < at / HIGH_EVERY_MS; high += 1) sending.push(this.#sendHigh(high));
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    await Promise.all(sending);
  }

  /** @param begin what was served when the measurement began */
  second(begin: Readonly<Record<string, number>>, served: Readonly<Record<string, number>>): BurstSecond {
    const outcomes = [...this.#heavy, ...this.#others].map(({ name }): Outcome => {
      const before = begin[name] ?? 0;
      return { wanted: (this.#acceptedTokens.get(name) ?? 0) - before, served: (served[name] ?? 0) - before };
    });
    const longest = PROMPT_TOKENS + 2 * this.#plan.answerTokens;
    const tokens = outcomes.map((one) => one.served);
    return {
      fairness: fairness(outcomes, longest),
      plainJain: jain(tokens),
      served: tokens.reduce((all, one) => all + one, 0),
      waiting: outcomes.reduce((all, one) => all + one.wanted - one.served, 0),
    };
  }

  /** Resolves when the model has answered every accepted prompt, or has begun none for a while. */
  async drained(model: ModelServer): Promise<void> {
    let [finished, since] = [-1, performance.now()];
    while (performance.now() - since < PATIENCE_MS) {
      const counts = await model.counts();
      if (counts.finished >= this.accepted.size && counts.underWay === 0) return;
      if (counts.finished !== finished) [finished, since] = [counts.finished, performance.now()];
      await new Promise((resolve) => setTimeout(resolve, 10 * TICK_MS));
    }
  }

  close(): void {
    this.#http.close();
    this.#highHttp.close();
    for (const { record } of this.watchers) record.cut();
  }

  /** The prompts of the whole burst: the overload times what the slots can answer. */
  get #total(): number {
    const { slots, tokensPerSecond, seconds, answerTokens, overload } = this.#plan;
    return Math.ceil((overload * slots * tokensPerSecond * seconds) / (1.5 * answerTokens));
  }

  #next(i: number): Tenant {
    const tenants = i % 2 === 0 ? this.#heavy : this.#others;
    const tenant = tenants[Math.floor(i / 2) % tenants.length];
    if (tenant === undefined) throw new Error('a burst needs more tenants');
    return tenant;
  }

  async #sendHigh(i: number): Promise<void> {
    const tenant = this.#highTenants[i % this.#highTenants.length];
    const sent = tenant && (await this.#prompt(tenant, 'high'));
    if (sent !== undefined) this.high.push({ id: sent.id, acceptedAt: Date.now() });
  }

  /** Undefined if it was refused. */
  async #prompt(tenant: Tenant, priority?: 'high'): Promise<{ id: string; runId: string } | undefined> {
    const id = `p${(this.#prompts += 1)}`;
    const [{ url }] = this.#holdline.gateways;
    const answer = await (priority === undefined ? this.#http : this.#highHttp)
      .ask({
        method: 'POST',
        url: `${url}/v1/sessions/${id}/messages`,
        token: tenant.token,
        body: {
          content: writeBurstPrompt({ tenant: tenant.name, id, tokens: tenant.tokens }),
          ...(priority && { priority }),
        },
      })
      .catch((error: unknown) => ({ status: 0, body: { error: { code: String(error) } } }));
    if (answer.status === 202) {
      this.accepted.add(id);
      const before = this.#acceptedTokens.get(tenant.name) ?? 0;
      this.#acceptedTokens.set(tenant.name, before + PROMPT_TOKENS + tenant.tokens);
      return { id, runId: String((answer.body as { runId?: string }).runId) };
    }
    const { code } = (answer.body as { error?: { code?: string } }).error ?? {};
    const why = `${answer.status} ${String(code)}`;
    this.refused.set(why, (this.refused.get(why) ?? 0) + 1);
    return undefined;
  }

  async #watch(tenant: Tenant): Promise<void> {
    const [{ url }] = this.#holdline.gateways;
    const sent = await this.#prompt(tenant);
    if (sent === undefined) return;
    const record = await readSse({ url, token: tenant.token, sessionId: sent.id });
    this.watchers.push({ runId: sent.runId, record });
  }
}
