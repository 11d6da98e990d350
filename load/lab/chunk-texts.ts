// The bytes around a token in a stream of Chat Completions, as OpenAI and vLLM send them: about 250 bytes a chunk. Pure.
import type { ChunkTexts } from './answers.ts';

/** `id`: of the completion; `model`: as the request named it. */
export function chunkTexts(id: string, model: string, createdSeconds: number): ChunkTexts {
  const chunk = (choice: object): string =>
    `data: ${JSON.stringify({
      id: `chatcmpl-${id}`,
      object: 'chat.completion.chunk',
      created: createdSeconds,
      model,
      service_tier: 'default',
      system_fingerprint: 'fp_44709d6fcb',
      choices: [choice],
    })}\n\n`;
  const split = '<token>';
  const [head = '', tail = ''] = chunk({
    index: 0,
    delta: { content: split },
    logprobs: null,
    finish_reason: null,
  }).split(split);
  const end = chunk({ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' });
  return { head, tail, end: `${end}data: [DONE]\n\n` };
}

/** The first chunk, which names the role and says nothing. */
export function roleChunk({ head, tail }: ChunkTexts): string {
  return (head + tail).replace('"delta":{"content":""}', '"delta":{"role":"assistant","content":""}');
}

/** `say 6000 at 20/s` in the last prompt; what the prompt leaves open is as `usual` says. */
export function readSpeech(
  prompt: string,
  usual: { readonly tokens: number; readonly perSecond: number },
): { readonly tokens: number; readonly perSecond: number } {
  const [, tokens, perSecond] = /say (\d{1,7})(?: at (\d{1,4})\/s)?/.exec(prompt) ?? [];
  return { tokens: Number(tokens ?? usual.tokens), perSecond: Number(perSecond ?? usual.perSecond) };
}
