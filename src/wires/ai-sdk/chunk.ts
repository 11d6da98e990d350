// A chunk of a UI message stream, as the AI SDK reads it.
export interface Chunk {
  readonly type: string;
  readonly [field: string]: unknown;
}
