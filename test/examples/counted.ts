// What the demo model answers to `count N`.

export const numbers = (count: number): string => Array.from({ length: count }, (_, i) => `${i + 1} `).join('');
