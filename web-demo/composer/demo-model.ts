// Who answers: is it the built-in demo model, which understands what the page suggests? Another model would not know what to make of it.
import { ChatClientError } from '../../src/client/chat-client-error.ts';
import type { Fetch } from '../../src/client/chat-client.ts';
import { isSuccess, parseJson, readAnswer } from '../../src/client/http/http-answer.ts';

/** False where the server does not say so, or cannot be asked: nothing depends on it but suggestions. */
export async function answersWithDemo(fetchOnce: Fetch, token: string): Promise<boolean> {
  try {
    // Read whatever it says: an answer that nobody reads keeps its connection.
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
