// The prompts of a burst, as its users write them and its model server reads them.

/** What the model server counts for every prompt. */
export const PROMPT_TOKENS = 4;

export interface BurstPrompt {
  readonly tenant: string;
  readonly id: string;
  readonly tokens: number;
}

export function writeBurstPrompt({ tenant, id, tokens }: BurstPrompt): string {
  return `${tenant} ${id} say ${tokens}`;
}

/** Undefined: not a prompt of a burst. */
export function readBurstPrompt(text: string): BurstPrompt | undefined {
  const [, tenant, id, tokens] = /^(\S+) (\S+) say (\d+)$/.exec(text) ?? [];
  return tenant === undefined || id === undefined ? undefined : { tenant, id, tokens: Number(tokens) };
}
