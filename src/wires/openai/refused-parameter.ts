// The refusal of one parameter of a request, and the readers of a request's fields that refuse. The message names the
// parameter and never repeats what the caller sent.

export type Fields = Readonly<Record<string, unknown>>;

export class RefusedParameter extends Error {
  override readonly name = 'RefusedParameter';
  readonly param: string;

  constructor(param: string, message: string) {
    super(message);
    this.param = param;
  }
}

export function unsupported(param: string): RefusedParameter {
  return new RefusedParameter(param, `'${param}' is not supported`);
}

export function invalid(param: string, expected: string): RefusedParameter {
  return new RefusedParameter(param, `'${param}' must be ${expected}`);
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field that is null counts as absent, as in OpenAI's own requests. */
export function given(fields: Fields, name: string): unknown {
  return fields[name] ?? undefined;
}

export function optionalText(fields: Fields, name: string, param = name): string | undefined {
  const value = given(fields, name);
  if (value !== undefined && typeof value !== 'string') throw invalid(param, 'a string');
  return value;
}

export function requiredText(fields: Fields, name: string, param = name): string {
  const value = optionalText(fields, name, param);
  if (value === undefined || value === '') throw invalid(param, 'a string that is not empty');
  return value;
}

export function optionalFlag(fields: Fields, name: string, param = name): boolean | undefined {
  const value = given(fields, name);
  if (value !== undefined && typeof value !== 'boolean') throw invalid(param, 'true or false');
  return value;
}

export function optionalFields(fields: Fields, name: string): Fields | undefined {
  const value = given(fields, name);
  if (value !== undefined && !isFields(value)) throw invalid(name, 'an object');
  return value;
}

/** Refuses each of the fields that is given and has another value than the one that changes nothing. */
export function refuseUnlessNeutral(fields: Fields, neutral: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [name, values] of Object.entries(neutral)) {
    const value = given(fields, name);
    if (value !== undefined && !values.some((one) => JSON.stringify(one) === JSON.stringify(value)))
      throw unsupported(name);
  }
}
