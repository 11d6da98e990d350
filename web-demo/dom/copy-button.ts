// Buttons that copy.

/** How long a button says that it has copied. */
const COPIED_MS = 1_500;

/** Where the browser refuses the clipboard, the button says so and the text can still be selected. */
export async function copyText(from: HTMLButtonElement, text: string): Promise<void> {
  const label = from.dataset['label'] ?? from.textContent;
  from.dataset['label'] = label;
  try {
    await navigator.clipboard.writeText(text);
    from.textContent = 'Copied';
  } catch {
    from.textContent = 'Select and copy by hand';
  }
  setTimeout(() => (from.textContent = label), COPIED_MS);
}
