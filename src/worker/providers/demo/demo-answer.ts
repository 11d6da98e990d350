// The text of the demo model's answers. Markdown with a heading, a list and a code block, so that a page has something
// to render. The same prompt gives the same text, because another process may have to continue the answer.

/** Code points of the prompt that the answer repeats. */
const EXCERPT_MAX = 60;

export function demoAnswer(prompt: string, messageCount: number): string {
  return [
    '# Hello from the demo model',
    'I am the **demo model** built into Holdline: a script, not a language model. Nothing was understood, nothing was looked up and no GPU was warmed. What you see is real all the same: each word of this answer is streamed, stored and resumed as a real one would be.',
    '## What reached me',
    promptFacts(prompt, messageCount)
      .map((fact) => `- ${fact}`)
      .join('\n'),
    '## What to try',
    'Reload the page in the middle of an answer, or open the chat in a second window. For a longer answer send one of these:',
    '```text\ncount 200\ncount 5000 at 500/s\nfail after 20\n```',
    'Set `HOLDLINE_MODEL_URL` to have a real model answer instead.',
  ].join('\n\n');
}

export function demoBounds(countMax: number, rateMin: number, rateMax: number): string {
  return [
    '# That is more than the demo model does',
    `I count to **${countMax}** at most, at ${rateMin} to ${rateMax} numbers a second. For example:`,
    '```text\ncount 5000 at 500/s\n```',
  ].join('\n\n');
}

function promptFacts(prompt: string, messageCount: number): string[] {
  const words = prompt.split(/\s+/).filter((word) => word !== '').length;
  const facts = [
    `${amount(words, 'word')} in your last message`,
    `${amount(messageCount, 'message')} in this conversation so far`,
  ];
  const excerpt = excerptOf(prompt);
  return excerpt === '' ? facts : [...facts, `it begins with \`${excerpt}\``];
}

/** An excerpt that fits a code span. Half a surrogate pair would not survive UTF-8, and then the stored text would
 *  no longer be a prefix of this one. */
function excerptOf(prompt: string): string {
  const points = Array.from(
    prompt
      .slice(0, 8 * EXCERPT_MAX)
      .replace(/[\p{Cc}\p{Cs}\s`]+/gu, ' ')
      .trim(),
  );
  return points.length > EXCERPT_MAX ? `${points.slice(0, EXCERPT_MAX).join('').trimEnd()}…` : points.join('');
}

function amount(count: number, noun: string): string {
  return `${count} ${count === 1 ? noun : `${noun}s`}`;
}
