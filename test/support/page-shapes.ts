// Shapes of JSON: as a page writes them, `{sessions: [{id, title?}], more}`, and as a JSON schema declares them.

/** A map from field name, with `?` for an optional field, to the fields inside it; empty where the page gives none. */
export interface Shape {
  readonly [field: string]: Shape;
}

export interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
}

/** @param text begins with `{` */
export function parseShape(text: string): Shape {
  return parseFields(text, 1)[0];
}

function parseFields(text: string, from: number): [shape: Shape, end: number] {
  const shape: Record<string, Shape> = {};
  let at = from;
  while (at < text.length && text[at] !== '}') {
    const field = /^[\s,]*([A-Za-z][A-Za-z0-9]*\??)(?::\s*\[?\s*(?=\{))?/.exec(text.slice(at));
    if (field === null) {
      at += 1;
      continue;
    }
    at += field[0].length;
    const isNested = field[0].includes(':');
    const [inner, end] = isNested ? parseFields(text, at + 1) : [{}, at];
    shape[field[1] ?? ''] = inner;
    at = end;
  }
  return [shape, at + 1];
}

/** The fields of a schema. @param like keeps only nested fields that this shape names too; absent: no nested fields */
export function jsonShapeOf(schema: Schema, like?: Shape): Shape {
  const shape: Record<string, Shape> = {};
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const field = schema.required?.includes(name) === true ? name : `${name}?`;
    const wanted = like?.[field] ?? {};
    shape[field] = Object.keys(wanted).length === 0 ? {} : jsonShapeOf(inner.items ?? inner, wanted);
  }
  return shape;
}
