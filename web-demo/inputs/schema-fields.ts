// The fields of a form for a flat JSON Schema: texts, numbers, yes or no, and choices. Any other schema has no form. Pure.

export interface SchemaField {
  /** Undefined: the schema is this field, and no object. */
  readonly name: string | undefined;
  readonly label: string;
  readonly hint: string | undefined;
  readonly kind: 'text' | 'number' | 'integer' | 'boolean' | 'choice';
  /** Of a choice. */
  readonly choices: readonly string[];
  readonly isRequired: boolean;
}

/** A form of more fields is harder to fill in than JSON. */
const FIELDS_MAX = 16;

type Schema = Readonly<Record<string, unknown>>;

/** Undefined where a form cannot say what the schema does. */
export function fieldsOf(schema: Schema | undefined): readonly SchemaField[] | undefined {
  if (schema === undefined) return undefined;
  const { type, properties, required } = schema;
  if (type !== 'object') {
    const field = fieldOf(undefined, schema, true);
    return field === undefined ? undefined : [field];
  }
  const names = isSchema(properties) ? Object.entries(properties) : [];
  if (names.length === 0 || names.length > FIELDS_MAX) return undefined;
  const needed = new Set(Array.isArray(required) ? required : []);
  const fields = names.flatMap(([name, property]) =>
    isSchema(property) ? (fieldOf(name, property, needed.has(name)) ?? []) : [],
  );
  return fields.length === names.length ? fields : undefined;
}

function fieldOf(name: string | undefined, schema: Schema, isRequired: boolean): SchemaField | undefined {
  const { type, title, description } = schema;
  const label = typeof title === 'string' ? title : (name ?? 'Answer');
  const hint = typeof description === 'string' ? description : undefined;
  const common = { name, label, hint, isRequired, choices: [] };
  const options = schema['enum'];
  if (Array.isArray(options)) {
    const choices = options.filter((option) => typeof option === 'string');
    return choices.length === options.length && choices.length > 0 ? { ...common, kind: 'choice', choices } : undefined;
  }
  if (type === 'string') return { ...common, kind: 'text' };
  return type === 'number' || type === 'integer' || type === 'boolean' ? { ...common, kind: type } : undefined;
}

/** The value for the schema. `given`: the text of each field; an empty one that is not required is left out. */
export function valueOf(fields: readonly SchemaField[], given: ReadonlyMap<SchemaField, string>): unknown {
  const values = fields.flatMap((field) => {
    const text = given.get(field) ?? '';
    if (text === '' && !(field.isRequired && field.kind === 'text')) return [];
    return [[field.name, scalarOf(field, text)] as const];
  });
  const [first] = values;
  if (fields[0]?.name === undefined) return first?.[1];
  return Object.fromEntries(values);
}

function scalarOf({ kind }: SchemaField, text: string): unknown {
  if (kind === 'boolean') return text === 'true';
  return kind === 'number' || kind === 'integer' ? Number(text) : text;
}

/** JSON where the text is JSON, else the text. */
export function looseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
