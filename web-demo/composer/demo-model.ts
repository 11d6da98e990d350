// Finds out whether the built-in demo model answers, because only that model understands the page's suggestions.
import { ChatClientError } from '../../src/client/chat-client-error.ts';
import type { Fetch } from '../../src/client/chat-client.ts';
import { isSuccess, parseJson, readAnswer } from '../../src/client/http/http-answer.ts';

/** False if the server does not list its agents or cannot be reached: only the suggestions depend on it. */
export async function answersWithDemo(fetchOnce: Fetch, token: string): Promise<boolean> {
  try {
    // Reads the body in every case: an unread answer keeps its connection open.
    const answer = await readAnswer(
      await fetchOnce('/v1/agents', { headers: { accept: 'application/json', authorization: `Bearer ${token}` } }),
    );
    return isSuccess(answer) && isDemoDefault(parseJson(answer.text));
  } catch (error) {
    if (error instanceof TypeError || error instanceof ChatClientError) return false;
    throw error;
  }
}

/** Is the agent that answers prompts which name none the demo? */
export function isDemoDefault(body: unknown): boolean {
  const agents: unknown = typeof body === 'object' && body !== null && 'agents' in body ? body.agents : undefined;
  return (
    Array.isArray(agents) &&
    agents.some((agent: unknown) => {
      const { isDefault, isDemo } = (agent ?? {}) as { readonly isDefault?: unknown; readonly isDemo?: unknown };
      return isDefault === true && isDemo === true;
    })
  );
}
