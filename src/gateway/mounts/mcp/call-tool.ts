// What the MCP tools do: they start, read, answer and stop runs with the commands of the native protocol. A run
// continues when the request that waits for it ends.
import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import { isSessionError, SessionError } from '../../../session/errors.ts';
import { pickReply } from '../../../session/waits/input-reply.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { traceOfRequest } from '../../../base/tracing.ts';
import { askedInput, toolResult, type RunResult, type ToolCall } from '../../../wires/mcp/tools.ts';
import { decodeRunName, encodeRunName, type RunName } from '../../../wires/run-name.ts';
import type { Identity } from '../../auth/identity.ts';
import type { ChatCommands } from '../../chat-commands.ts';
import { mapError } from '../../error-map.ts';
import { freshId } from '../../http/new-session.ts';
import type { PageReads } from '../../http/page-reads.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import type { RunWaits } from '../../run-waits.ts';

export interface McpToolsDeps {
  readonly commands: ChatCommands;
  readonly newId: () => string;
  readonly reads: PageReads;
  readonly runWaits: RunWaits;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

/** In ms. How long `stop_run` waits for the end; a worker has less time than this to end a stopped run. */
const STOP_WAIT_MS = 5_000;

/** @throws GatewayError, SessionError */
export async function callTool(
  deps: McpToolsDeps,
  identity: Identity,
  call: ToolCall,
  request: FastifyRequest,
): Promise<JsonObject> {
  if (call.name === 'start_run') return toolResult(await startRun(deps, identity, call.args, request));
  const run = mustBeRun(call.args.run);
  if (call.name === 'answer_run') {
    const { sessionId, runId } = run;
    const named = { inputId: call.args.input, runId, reply: pickReply(call.args) };
    await deps.commands.answerInputs(identity, sessionId, [named]);
    return toolResult(await readRun(deps, identity, run));
  }
  const waitMs = call.name === 'stop_run' ? STOP_WAIT_MS : (call.args.wait_ms ?? 0);
  if (call.name === 'stop_run') await stopRun(deps, identity, run);
  return toolResult(await readAtEnd(deps, identity, run, waitMs, request));
}

/** @throws SessionError run-not-found */
function mustBeRun(text: string): RunName {
  const run = decodeRunName(text);
  if (run === undefined) throw new SessionError('run-not-found');
  return run;
}

async function startRun(
  deps: McpToolsDeps,
  identity: Identity,
  { prompt, agent, session, key }: Extract<ToolCall, { name: 'start_run' }>['args'],
  request: FastifyRequest,
): Promise<RunResult> {
  const messageId = key === undefined ? undefined : `mcp-${digestOf(key)}`;
  const body = {
    content: prompt,
    ...(agent === undefined ? {} : { agent }),
    ...(messageId === undefined ? {} : { messageId }),
  };
  const trace = traceOfRequest(request.headers['traceparent']);
  const sessionId = session ?? ownChatOf(deps, identity, key);
  const { runId } = await (session === undefined
    ? deps.commands.sendFirst(identity, sessionId, body, trace)
    : deps.commands.send(identity, sessionId, body, trace));
  try {
    return await readRun(deps, identity, { sessionId, runId });
  } catch (error) {
    // The run is started. Without its handle the caller could only start another one.
    if (!mapError(error).error.retryable) throw error;
    return { run: encodeRunName({ sessionId, runId }), session: sessionId, state: 'queued', text: '' };
  }
}

/** The same key of the same user is the same chat, so that a repeated call finds its run. */
function ownChatOf({ newId }: McpToolsDeps, identity: Identity, key: string | undefined): string {
  const { tenant, user } = identity.principal;
  return freshId(identity, key === undefined ? newId : () => `mcp-${digestOf(JSON.stringify([tenant, user, key]))}`);
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A run that has ended stays as it is. @throws SessionError not-found, run-not-found */
async function stopRun(deps: McpToolsDeps, identity: Identity, { sessionId, runId }: RunName): Promise<void> {
  try {
    await deps.commands.cancel(identity, sessionId, runId);
  } catch (error) {
    if (!isSessionError(error, 'no-active-run')) throw error;
  }
}

async function readAtEnd(
  deps: McpToolsDeps,
  identity: Identity,
  run: RunName,
  waitMs: number,
  request: FastifyRequest,
): Promise<RunResult> {
  let result = await readRun(deps, identity, run);
  if (waitMs === 0 || isOver(result)) return result;
  const hasEnded = async (): Promise<boolean> => isOver((result = await readRun(deps, identity, run)));
  await deps.runWaits.wait(request, identity, { ...run, wire: 'mcp', timeoutMs: waitMs, hasEnded, endsAtWait: true });
  return isOver(result) ? result : readRun(deps, identity, run);
}

function isOver({ state }: RunResult): boolean {
  return state !== 'queued' && state !== 'running';
}

/** The run and its answer so far. @throws SessionError not-found, run-not-found */
async function readRun(deps: McpToolsDeps, identity: Identity, { sessionId, runId }: RunName): Promise<RunResult> {
  const { sessionIds, sessions, reads } = deps;
  const { principal } = identity;
  const ref = await sessionIds.find(identity, sessionId);
  // The last messages of the branch that ends with the run: its prompt, and its answer once it has begun.
  const { messages } = await reads.inTurn(principal, () => sessions.history(principal, ref, 1, undefined, runId));
  const last = messages.at(-1);
  if (last === undefined) throw new SessionError('run-not-found');
  const { status, content, usage, error } = last;
  const inputs = ENDED.has(status) ? undefined : await deps.commands.inputsOfWait(identity, sessionId, runId);
  return {
    run: encodeRunName({ sessionId, runId }),
    session: sessionId,
    state: inputs === undefined ? STATES[status] : 'waiting',
    text: last.role === 'assistant' && typeof content === 'string' ? content : '',
    ...(inputs === undefined || inputs.length === 0 ? {} : { inputs: inputs.map(askedInput) }),
    ...(usage === undefined ? {} : { usage }),
    ...(error === undefined ? {} : { error }),
  };
}

/** Statuses of the message of a run that has ended. */
const ENDED: ReadonlySet<string> = new Set(['given', 'completed', 'failed', 'cancelled']);

/** Of a run that does not wait. Its message was read before, and may say that it does. */
const STATES = {
  given: 'completed',
  sent: 'queued',
  queued: 'queued',
  streaming: 'running',
  waiting: 'running',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
} as const;
