// The request fields that a model server may not support, and how to recognize that in its refusal. Pure. After a
// refusal the request is sent once more without the field, and the provider stores that for as long as it exists.

/** The fields that a repeated request can leave out. If a refusal names several, the request leaves out the first one
 *  first, because the loss is smaller: without `max_tokens` it has `max_completion_tokens`; without `stream_options`
 *  the server reports no usage; without `stream` it sends the whole answer at once, when the answer is complete. */
export const OPTIONAL_FIELDS = ['max_tokens', 'stream_options', 'stream'] as const;

export type OptionalField = (typeof OPTIONAL_FIELDS)[number];

/** The field without which a refused request may be sent again; undefined: the refusal has another reason.
 *  @param refusal the body of the refusal, as far as it was read
 *  @param omitted the fields that the request already left out */
export function refusedField(
  status: number,
  refusal: string,
  omitted: ReadonlySet<OptionalField>,
): OptionalField | undefined {
  if (!MAY_MEAN_A_FIELD.has(status)) return undefined;
  const named = OPTIONAL_FIELDS.find(
    (field) => !omitted.has(field) && NAMES[field].test(refusal) && REFUSES.test(refusal),
  );
  // A server that names no field can only mean the one that not every server supports.
  return (
    named ??
    (status < 500 && !omitted.has('stream_options') && UNKNOWN_FIELD.test(refusal) ? 'stream_options' : undefined)
  );
}

/** Some servers answer 5xx to a field that they do not support. */
const MAY_MEAN_A_FIELD: ReadonlySet<number> = new Set([400, 422, 500, 501]);

const NAMES: Readonly<Record<OptionalField, RegExp>> = {
  // Only where the refusal recommends the newer field: an older server would ignore it, and the limit with it.
  max_tokens: /\bmax_tokens\b[^]*\bmax_completion_tokens\b/i,
  stream_options: /stream_?options|include_?usage/i,
  stream: /\bstream(?:ing|ed)?\b(?!_)/i,
};

const REFUSES =
  /unknown|unrecogni[sz]ed|unexpected|un-?supported|not (?:be )?(?:supported|allowed|permitted|known|recogni[sz]ed|implemented|available|enabled)|n't support|no such|extra|additional|invalid|forbidden|only|can ?not|must (?:not )?be|disabled|does not exist|not a valid/i;

const UNKNOWN_FIELD =
  /(?:unknown|unrecogni[sz]ed|unexpected|un-?supported|extra|additional|undeclared)[\s\w'"`-]{0,24}(?:fields?|param(?:eter)?s?|arguments?|propert(?:y|ies)|inputs?|keys?|keywords?|options?)\b/i;
