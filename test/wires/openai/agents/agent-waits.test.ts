// Agents sessions whose turns wait for a client or a human, with the stock client.
import { describe, expect, it, vi } from 'vitest';
import { BrokerError } from '../../../../src/broker/errors.ts';
import { SESSION_RUNS_MAX } from '../../../../src/session/commands/command-state.ts';
import type { NewInput } from '../../../../src/session/waits/new-wait.ts';
import { WaitNode, type PlayedRun } from '../../../support/waiting-run.ts';
import { failureOf } from '../stock-client.ts';
import { NONE, Reader, startAgents, textOf } from './agents-client.ts';

const TOOL: NewInput = { key: 'a', kind: 'tool', toolCallId: 'c1', toolName: 'look' };
const APPROVAL: NewInput = { key: 'b', kind: 'approval', toolCallId: 'c1', toolName: 'pay', message: 'Pay 5?' };
const QUESTION: NewInput = { key: 'c', kind: 'question', message: 'Which one?', choices: ['x', 'y'] };

async function startWaiting() {
  const gateway = await startAgents();
  const node = new WaitNode(gateway.h.broker, gateway.h.clock);
  const { sessions } = gateway;
  return {
    ...gateway,
    node,
    /** A session whose turn has called a tool and asked for something. */
    ask: async (input: NewInput, ...others: readonly NewInput[]) => {
      const { id } = await sessions.create({ environment: NONE, agent: { model: 'default' }, input: 'go' });
      const ref = { tenant: 'default', sessionId: id };
      const runId = (await sessions.turns.list(id)).data[0]?.id ?? '';
      const run = await node.take(ref, runId);
      const executor = input.kind === 'tool' ? 'client' : 'agent';
      if (input.toolCallId !== undefined) {
        const call = { toolCallId: input.toolCallId, toolName: input.toolName ?? '', executor } as const;
        const delta = { messageId: run.run.answerId, part: 0, kind: 'tool-call', at: 0, text: '{}' } as const;
        await run.write(
          { type: 'part.started', runId, part: 0, kind: 'tool-call', ...call },
          { type: 'delta', runId, ...delta },
        );
      }
      const reader = await Reader.open(sessions, id);
      await run.ask({ inputs: [input, ...others] });
      await reader.until('requires_action');
      return { id, runId, reader, resume: (): Promise<PlayedRun> => node.take(ref, runId) };
    },
  };
}

/** A reader that comes back behind any event of a session that is idle now receives the rest. */
async function expectWholeAtAnyCut(
  sessions: Awaited<ReturnType<typeof startAgents>>['sessions'],
  id: string,
  reader: Reader,
): Promise<void> {
  for (const [place, { event_id }] of reader.seen.slice(0, -1).entries()) {
    const rest = await Reader.open(sessions, id, event_id);
    await rest.until('idle');
    rest.leave();
    const types = [...reader.types.slice(0, place + 1), ...rest.types];
    expect([place, types]).toEqual([place, reader.types]);
  }
}

describe('a turn that waits', () => {
  it('requires the result of a function, takes it once, and goes on in the same stream', async () => {
    const { sessions, ask } = await startWaiting();
    const { id, runId, reader, resume } = await ask(TOOL);
    const action = { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}', turn_id: runId };
    expect(reader.seen.at(-1)).toMatchObject({ session: { status: 'requires_action', required_actions: [action] } });
    expect(reader.types.filter((type) => type.startsWith('turn.item'))).toEqual(['turn.item.added']);
    expect(await sessions.retrieve(id)).toMatchObject({ status: 'requires_action', required_actions: [action] });
    expect(await sessions.turns.retrieve(runId, { session_id: id })).toMatchObject({ status: 'waiting' });
    const result = (output: string) => ({
      events: [
        { type: 'agent.session.input.tool_result' as const, turn_id: runId, call_id: 'c1', success: true, output },
      ],
    });
    await sessions.events.create(id, result('a chair'));
    // The reply may have been lost: the package repeats such a request by itself.
    await sessions.events.create(id, result('a chair'));
    const other = { status: 409, code: 'already-answered' };
    expect(await failureOf(sessions.events.create(id, result('a table')))).toMatchObject(other);
    const run = await resume();
    await run.say(1, 0, 'a chair.');
    await run.complete();
    await reader.until('idle');
    await sessions.events.create(id, result('a chair'));
    expect(textOf(reader.seen)).toBe('a chair.');
    expect(reader.types).not.toContain('failed');
    expect((await sessions.turns.list(id)).data).toHaveLength(1);
    await expectWholeAtAnyCut(sessions, id, reader);
    reader.leave();
  });

  it.each([
    ['approve', { approved: true }],
    ['deny', { approved: false }],
  ] as const)('requires an approval, and goes on with %s', async (decision, reply) => {
    const { h, sessions, ask } = await startWaiting();
    const { id, reader, resume } = await ask(APPROVAL);
    const last = reader.seen.at(-1);
    const [action] = last?.type === 'agent.session.requires_action' ? last.session.required_actions : [];
    expect(action).toMatchObject({ type: 'mcp_approval_request', request: { name: 'pay', message: 'Pay 5?' } });
    const request_id = action?.type === 'mcp_approval_request' ? action.request_id : '';
    const response = { decision, type: 'mcp_tool_call' } as const;
    const events = [{ type: 'agent.session.input.mcp_approval_request_result' as const, request_id, response }];
    await sessions.events.create(id, { events });
    await sessions.events.create(id, { events });
    const other = { ...events[0], response: { ...response, decision: decision === 'deny' ? 'approve' : 'deny' } };
    expect(await failureOf(sessions.events.create(id, { events: [other as (typeof events)[0]] }))).toMatchObject({
      status: 409,
      code: 'already-answered',
    });
    const answers = await h.commandLog.load({ tenant: 'default', sessionId: id });
    expect([answers?.state.runs[0]?.state, reply.approved]).toEqual(['queued', decision === 'approve']);
    const run = await resume();
    await reader.until('in_progress');
    await run.complete();
    await reader.until('idle');
    reader.leave();
  });

  it('asks a question by a call of `ask_user`, whose result is the answer', async () => {
    const { sessions, ask } = await startWaiting();
    const { id, runId, reader, resume } = await ask(QUESTION);
    const last = reader.seen.at(-1);
    const [action] = last?.type === 'agent.session.requires_action' ? last.session.required_actions : [];
    expect(action).toMatchObject({ type: 'function_call', name: 'ask_user' });
    const call_id = action?.type === 'function_call' ? action.call_id : '';
    const result = (output: string) => ({
      events: [{ type: 'agent.session.input.tool_result' as const, turn_id: runId, call_id, success: true, output }],
    });
    expect(await failureOf(sessions.events.create(id, result('z')))).toMatchObject({
      status: 400,
      code: 'invalid-answer',
    });
    await sessions.events.create(id, result('y'));
    const run = await resume();
    await run.say(0, 0, 'y.');
    await run.complete();
    await reader.until('idle');
    await expectWholeAtAnyCut(sessions, id, reader);
    reader.leave();
  });

  it('is stopped at once', async () => {
    const { sessions, ask } = await startWaiting();
    const { id, runId, reader } = await ask(TOOL);
    await sessions.events.create(id, { events: [{ type: 'agent.session.input.cancel' }] });
    await reader.until('idle');
    expect(await sessions.turns.retrieve(runId, { session_id: id })).toMatchObject({ status: 'cancelled' });
    expect(await sessions.retrieve(id)).toMatchObject({ status: 'idle', required_actions: [] });
    reader.leave();
  });
});

describe('a request with several events', () => {
  const message = {
    type: 'agent.session.input.message' as const,
    input: [{ role: 'user' as const, content: [{ type: 'input_text' as const, text: 'and then?' }] }],
  };

  async function start() {
    const waiting = await startWaiting();
    const { h, sessions, ask } = waiting;
    const { id, runId, reader, resume } = await ask(TOOL, QUESTION);
    // Once, behind both inputs.
    expect(reader.types.filter((type) => type === 'requires_action')).toHaveLength(1);
    expect(reader.seen.at(-1)).toMatchObject({
      session: { required_actions: [{ name: 'look' }, { name: 'ask_user' }] },
    });
    reader.leave();
    const ref = { tenant: 'default', sessionId: id };
    const call = async (key: 'a' | 'c', output: string) => ({
      type: 'agent.session.input.tool_result' as const,
      turn_id: runId,
      call_id: key === 'a' ? 'c1' : await questionOf(),
      success: true,
      output,
    });
    const questionOf = async () =>
      (await h.commandLog.load(ref))?.state.runs[0]?.inputs?.find(({ kind }) => kind === 'question')?.inputId ?? '';
    /** What the chat has: its prompts, and the answers to its turn. */
    const stored = async () => {
      const { state } = (await h.commandLog.load(ref)) ?? {};
      const answered = state?.runs[0]?.inputs?.filter((input) => input.answered !== undefined);
      return [state?.runs.length, answered?.length, state?.runs[0]?.state];
    };
    const send = (...events: Parameters<typeof sessions.events.create>[1]['events']) =>
      sessions.events.create(id, { events });
    return { ...waiting, id, runId, resume, call, stored, send };
  }

  it('is done whole, or not at all', async () => {
    const { call, send, stored } = await start();
    const [tool, question, bad] = [await call('a', 'a chair'), await call('c', 'x'), await call('c', 'z')];
    const invalid = { status: 400, code: 'invalid-answer' };
    expect(await failureOf(send(tool, bad))).toMatchObject(invalid);
    expect(await failureOf(send(message, tool, bad))).toMatchObject(invalid);
    expect(await failureOf(send(message, { ...tool, call_id: 'c9' }))).toMatchObject({
      status: 400,
      error: { message: 'Unknown pending tool call: c9' },
    });
    expect(await failureOf(send({ type: 'agent.session.input.cancel' }, tool))).toMatchObject({
      status: 400,
      param: 'events',
    });
    expect(await stored()).toEqual([1, 0, 'waiting']);
    await send(message, tool, question);
    expect(await stored()).toEqual([2, 2, 'queued']);
  });

  it('says which of its messages are stored when a later one has no room', async () => {
    const { call, send, stored } = await start();
    const tool = await call('a', 'a chair');
    await send(...Array.from({ length: SESSION_RUNS_MAX - 2 }, () => message));
    const refused = await failureOf(send(tool, message, message));
    expect(refused).toMatchObject({ status: 429, code: 'queue-full' });
    expect((refused as Error).message).toContain('done already: events[1]');
    expect(await stored()).toEqual([SESSION_RUNS_MAX, 0, 'waiting']);
  });

  it('says so too when the storage has no room for a later one', async () => {
    const { h, send, stored } = await start();
    const append = h.broker.append.bind(h.broker);
    let appends = 0;
    vi.spyOn(h.broker, 'append').mockImplementation(async (writes) => {
      if (writes.some(({ topic }) => topic.startsWith('chat/')) && (appends += 1) > 1)
        throw new BrokerError('disk-full', 'full');
      return append(writes);
    });
    const refused = await failureOf(send(message, message));
    expect(refused).toMatchObject({ status: 507, code: 'disk-full' });
    expect((refused as Error).message).toContain('done already: events[0]');
    expect((await stored())[0]).toBe(2);
  });

  /** The results of the calls of a turn that has ended. */
  async function resultsOfEnded({ sessions, node }: Awaited<ReturnType<typeof startWaiting>>, calls: number) {
    const { id } = await sessions.create({ environment: NONE, agent: { model: 'default' }, input: 'go' });
    const turn_id = (await sessions.turns.list(id)).data[0]?.id ?? '';
    const run = await node.take({ tenant: 'default', sessionId: id }, turn_id);
    const ids = Array.from({ length: calls }, (_, i) => `c${i}`);
    for (const [part, toolCallId] of ids.entries()) {
      const of = { runId: turn_id, part, kind: 'tool-call' } as const;
      await run.write(
        { type: 'part.started', ...of, toolCallId, toolName: 'look', executor: 'client' },
        { type: 'delta', ...of, messageId: run.run.answerId, at: 0, text: '{}' },
      );
    }
    await run.complete();
    const type = 'agent.session.input.tool_result' as const;
    return { id, events: ids.map((call_id) => ({ type, turn_id, call_id, success: true, output: call_id })) };
  }

  it('makes one prompt of the results of one turn that has ended', async () => {
    const waiting = await startWaiting();
    const { id, events } = await resultsOfEnded(waiting, 2);
    await waiting.sessions.events.create(id, { events });
    const { data } = await waiting.sessions.turns.list(id);
    expect(data).toHaveLength(2);
  });

  it('reads a turn once for all of its results', async () => {
    const waiting = await startWaiting();
    const read = vi.spyOn(waiting.h.broker, 'read');
    const reads: number[] = [];
    for (const calls of [2, 32]) {
      const { id, events } = await resultsOfEnded(waiting, calls);
      read.mockClear();
      await waiting.sessions.events.create(id, { events });
      reads.push(read.mock.calls.length);
    }
    // Others read as well, so the numbers may differ a little.
    expect(reads[1]).toBeLessThan(2 * (reads[0] ?? 0));
  });
});
