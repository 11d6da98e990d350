// Builds the objects that the routes of one node share. All durable state is in the broker, so another node can take
// over.
import type { Logger } from 'pino';
import type { BrokerEngine } from '../broker/broker.ts';
import { isBrokerError, isRetryable } from '../broker/errors.ts';
import type { Clock } from '../base/clock.ts';
import type { CommandLog, QuotaOf } from '../session/commands/command-log.ts';
import { StreamForks } from '../durable-streams/stream-forks.ts';
import { StreamLog } from '../durable-streams/stream-log.ts';
import { AttachmentSweep } from '../session/attachments/attachment-sweep.ts';
import { Attachments } from '../session/attachments/attachments.ts';
import { Cursors } from '../session/stores/cursors.ts';
import { Inputs } from '../session/inputs.ts';
import { Branches } from '../session/branches.ts';
import { Runs } from '../session/runs.ts';
import { Sessions } from '../session/sessions.ts';
import { chatTopic, sessionOf, streamForksTopic } from '../session/topic-names.ts';
import { Pauses } from '../session/stores/pauses.ts';
import { TenantLimit } from '../session/stores/tenant-limit.ts';
import { UserLimits } from '../session/stores/user-limits.ts';
import { TopicHub } from '../stream/topic-hub.ts';
import { Admission } from './limits/admission.ts';
import { LastRequests } from './http/answer-order.ts';
import { PresenceReporter } from './watch/presence-reporter.ts';
import { Credentials } from './auth/credentials.ts';
import type { FetchKeys } from './auth/remote-jwk-set.ts';
import { RunCapabilities } from './auth/run-capability.ts';
import { StreamCookie } from './auth/stream-cookie.ts';
import { Tickets } from './auth/tickets.ts';
import { createKeySource } from './auth/token-keys.ts';
import { TokenVerifier } from './auth/token-verifier.ts';
import { CancelWatch } from './watch/cancel-watch.ts';
import { ChatCommands } from './chat-commands.ts';
import { Connections } from './connections/connections.ts';
import { EventStreams } from './event-streams.ts';
import type { GatewayConfig } from './gateway-config.ts';
import { Metrics, type MetricSources } from './metrics.ts';
import { LargeJson } from './json/large-json.ts';
import { CheckBudget } from './limits/check-budget.ts';
import { ParseBudget } from './limits/parse-budget.ts';
import { PageReads } from './http/page-reads.ts';
import { OutageWatch } from './watch/outage-watch.ts';
import { QueueWatch } from './watch/queue-watch.ts';
import { Readiness } from './readiness.ts';
import { RunWaits } from './run-waits.ts';
import { SessionIds } from './http/session-ids.ts';
import { UploadsUnderWay } from './http/upload-body.ts';
import { WaitExpiries } from './watch/wait-expiries.ts';
import { SilentPeers } from './connections/silent-peers.ts';

export interface PartsDeps {
  readonly config: GatewayConfig;
  readonly broker: BrokerEngine;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
  readonly logger: Logger;
  readonly commandLog: CommandLog;
  /** What the tenant of a chat may hold. Its durable streams count with its chats. */
  readonly quotaOf?: QuotaOf;
  readonly metrics?: MetricSources;
  readonly fetchKeys?: FetchKeys;
}

export type GatewayParts = ReturnType<typeof buildParts>;

export function buildParts(deps: PartsDeps) {
  const { config, broker, clock, random, newId, logger, commandLog: log } = deps;
  const onDefect = (error: unknown): void => {
    // Every stream and every watch fails in the same outage; the process reports it once.
    if (isBrokerError(error, 'unavailable')) logger.debug({ err: error }, 'the storage cannot be reached');
    else if (isRetryable(error)) logger.warn({ err: error }, 'the storage refuses work for now');
    else logger.error({ err: error }, 'gateway work failed');
  };
  const auth = buildAuth(deps);
  const { runs, branches, ...chats } = buildChats(deps, onDefect);
  const { attachments, inputs } = chats;
  const waitExpiries = new WaitExpiries({ broker, inputs, clock, onError: onDefect });
  const sweep = new AttachmentSweep({ broker, blobs: broker.blobs, log, attachments, clock, onError: onDefect });
  const readiness = new Readiness(broker);
  const pauses = new Pauses({ broker, clock, onError: onDefect });
  const { connections, metrics } = buildConnections(deps, auth.tokens, pauses, onDefect);
  const live = buildLive(deps, metrics, pauses, onDefect);
  const { hub, queueWatch } = live;
  const cancelWatch = new CancelWatch({ runs, clock, watchesMax: config.cancelWatchesMax, onError: onDefect });
  const reads = new PageReads();
  const admission = new Admission(config);
  const streams = new EventStreams({
    ...chats,
    broker,
    hub,
    log,
    reads,
    queueWatch,
    metrics,
    readiness,
    clock,
    random,
    onError: onDefect,
  });
  return {
    config,
    clock,
    random,
    newId,
    ...auth,
    ...chats,
    connections,
    metrics,
    readiness,
    reads,
    pauses,
    waitExpiries,
    admission,
    parseBudget: new ParseBudget(config, clock),
    largeJson: new LargeJson(clock),
    lastRequests: new LastRequests(),
    uploadsUnderWay: new UploadsUnderWay(),
    commands: new ChatCommands({ ...chats, config, reads, runs, branches, log, cancelWatch, readiness, clock }),
    streams,
    runWaits: new RunWaits({ admission, connections, streams, tokens: auth.tokens, clock }),
    ...buildStreams(deps),
    onDefect,
    cutConnections: (): void => {
      readiness.startDraining();
      connections.destroyAll();
    },
    /** Call it once every connection is gone. */
    close: async (): Promise<void> => {
      await waitExpiries.close();
      cancelWatch.close();
      pauses.close();
      sweep.close();
      live.close();
      metrics.close();
    },
  };
}

/** Durable streams. They count for the quota of their tenant's chats. */
function buildStreams({ broker, clock, quotaOf }: PartsDeps) {
  const streamLog = new StreamLog({ broker, clock, quotaOf: (stream) => quotaOf?.(chatTopic(sessionOf(stream))) });
  return { streamLog, streamForks: new StreamForks({ broker, clock, streamLog, registerOf: streamForksTopic }) };
}

/** The session layer. Sessions, runs and branches share the limits of users and tenants. */
function buildChats({ config, broker, clock, newId, commandLog: log }: PartsDeps, onError: (error: unknown) => void) {
  const attachments = new Attachments(broker.blobs, log, clock, newId, {
    sessionBytesMax: config.sessionAttachmentBytesMax,
  });
  const { sessionTtlMs, chatLifetimeOf, sessionsPerUserMax, runsPerUserMax } = config;
  const limits = new UserLimits({
    broker,
    log,
    clock,
    sessionsMax: sessionsPerUserMax,
    runsMax: runsPerUserMax,
    chatTtlMs: sessionTtlMs,
    tenants: new TenantLimit({ broker, clock, maxOf: config.waitingMaxOf, agents: config.agents?.keys(), onError }),
  });
  const runs = new Runs(broker, log, clock, newId, chatLifetimeOf, limits);
  return {
    attachments,
    sessions: new Sessions(broker, log, clock, chatLifetimeOf, limits, attachments),
    runs,
    longWork: runs.longWork,
    branches: new Branches(broker, log, clock, newId, limits),
    inputs: new Inputs({ broker, log, clock, checkTime: new CheckBudget(clock), onError }),
    cursors: new Cursors(broker),
    sessionIds: new SessionIds({ scope: config.sessionIds, broker, log }),
  };
}

function buildAuth(deps: PartsDeps) {
  const { config, broker, clock, newId } = deps;
  const tokens = buildVerifier(deps);
  const tickets = new Tickets(broker, clock, newId, config);
  const streamCookie = new StreamCookie(config.auth.cookieSecret);
  const runCapabilities = new RunCapabilities(config.auth.cookieSecret);
  return {
    tokens,
    tickets,
    streamCookie,
    runCapabilities,
    credentials: new Credentials(tokens, tickets, streamCookie, clock),
  };
}

function buildVerifier({ config, clock, logger, fetchKeys }: PartsDeps): TokenVerifier {
  const { issuer, audience, maxAgeMs } = config.auth;
  const keys = createKeySource(config.auth, {
    clock,
    fetchKeys: fetchKeys ?? ((url, init) => fetch(url, init)),
    onFetchFailed: (error) => logger.warn({ err: error }, 'keys could not be fetched'),
  });
  return new TokenVerifier(keys, { issuer, audience, maxAgeMs }, clock);
}

/** The open connections, and the checks that run once a second while there are any. */
function buildConnections(
  { config, broker, clock, random, metrics: sources }: PartsDeps,
  tokens: TokenVerifier,
  pauses: Pauses,
  onError: (error: unknown) => void,
) {
  const connections: Connections = new Connections(clock, () => {
    outageWatch.look();
    silentPeers.look();
    tokens.refreshKeys();
  });
  const silentPeers = new SilentPeers({ connections, clock, triesMax: config.silentTriesMax, onError });
  const outageWatch = new OutageWatch({ broker, connections, clock, random });
  const metrics = new Metrics(connections, {
    ...sources,
    damage: () => broker.health().damage,
    paused: () => pauses.size,
  });
  return { connections, metrics };
}

/** The hub of live topics, and what observes the topics that are followed on this node. */
function buildLive(
  { broker, clock, commandLog: log }: PartsDeps,
  metrics: Metrics,
  pauses: Pauses,
  onError: (error: unknown) => void,
) {
  const presenceReporter = new PresenceReporter({ broker, log, clock, onError });
  const hub = new TopicHub({
    broker,
    clock,
    observer: presenceReporter,
    onError,
    onLatency: (ms) => metrics.onLatency(ms),
    onQueued: (topic) => queueWatch.watch(sessionOf(topic)),
  });
  const queueWatch: QueueWatch = new QueueWatch({ broker, log, hub, pauses, clock, onError });
  const close = (): void => {
    queueWatch.close();
    hub.close();
    presenceReporter.close();
  };
  return { hub, queueWatch, close };
}
