// Closing and releasing in several steps: a step that fails must not leave the later ones undone, because a data folder
// whose lock is not released cannot be opened again by this process.

/** Runs the steps one after the other, also after a step has failed. @throws the error of the first step that failed */
export async function runEvery(steps: readonly (() => Promise<unknown> | undefined)[]): Promise<void> {
  let first: { readonly error: unknown } | undefined;
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      first ??= { error };
    }
  }
  if (first !== undefined) throw first.error;
}
