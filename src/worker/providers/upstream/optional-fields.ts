// The fields of a request that a model server need not know, and how it says that it does not. Pure. A server that
// refuses one is asked again without it, once, and the provider remembers that for as long as it lives.

/** In the order in which they are given up. Without `stream_options` there is no usage; without `stream` the answer comes
 *  whole, at its end. */
export const OPTIONAL_FIELDS = ['stream_options', 'stream'] as const;

export type OptionalField = (typeof OPTIONAL_FIELDS)[number];

/** The field that a refused request may be sent again without; undefined: the refusal has another reason.
 *  @param refusal the body of the refusal, as far as it was read
 *  @param omitted what the request went without already */
export function refusedField(
  status: number,
  refusal: string,
  omitted: ReadonlySet<OptionalField>,
): OptionalField | undefined {
  if (!MAY_MEAN_A_FIELD.has(status)) return undefined;
  const named = OPTIONAL_FIELDS.find(
    (field) => !omitted.has(field) && NAMES[field].test(refusal) && REFUSES.test(refusal),
  );
  // A server that names no field can only mean one that not every server knows.
  return (
    named ??
    (status < 500 && !omitted.has('stream_options') && UNKNOWN_FIELD.test(refusal) ? 'stream_options' : undefined)
  );
}

/** Some servers fail over a field that they do not know. */
const MAY_MEAN_A_FIELD: ReadonlySet<number> = new Set([400, 422, 500, 501]);

const NAMES: Readonly<Record<OptionalField, RegExp>> = {
  stream_options: /stream_?options|include_?usage/i,
  stream: /\bstream(?:ing|ed)?\b(?!_)/i,
};

const REFUSES =
  /unknown|unrecogni[sz]ed|unexpected|un-?supported|not (?:be )?(?:supported|allowed|permitted|known|recogni[sz]ed|implemented|available|enabled)|n't support|no such|extra|additional|invalid|forbidden|only|can ?not|must (?:not )?be|disabled|does not exist|not a valid/i;

const UNKNOWN_FIELD =
  /(?:unknown|unrecogni[sz]ed|unexpected|un-?supported|extra|additional|undeclared)[\s\w'"`-]{0,24}(?:fields?|param(?:eter)?s?|arguments?|propert(?:y|ies)|inputs?|keys?|keywords?|options?)\b/i;
