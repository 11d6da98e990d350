// @ts-check
// The client of all examples here: the stock one, with another address and a token as its key.
import OpenAI from 'openai';

export const openai = new OpenAI({
  baseURL: `${process.env['HOLDLINE_URL'] ?? 'http://127.0.0.1:8080'}/openai/v1`,
  apiKey: process.env['TOKEN'] ?? '',
});

/** The words of the command line, or else this prompt. @param {string} prompt */
export const promptOr = (prompt) => process.argv.slice(2).join(' ') || prompt;
