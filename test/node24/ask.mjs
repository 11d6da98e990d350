// What the programs have in common: they ask the test for work, and tell it what they saw, as lines of JSON.
import { createInterface } from 'node:readline';

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let asking = Promise.resolve();

/** Asks the test, one question after another. */
export function ask(...words) {
  const mine = asking.then(async () => {
    console.log(JSON.stringify({ ask: words }));
    const { value, done } = await answers.next();
    if (done) throw new Error(`the test did not answer ${words[0]}`);
    return JSON.parse(value);
  });
  asking = mine.catch(() => undefined);
  return mine;
}

export function tell(fields) {
  console.log(JSON.stringify(fields));
}

export async function until(isTrue) {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Broken sockets may keep the process alive. */
export function end() {
  process.exit(0);
}
