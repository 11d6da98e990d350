// The controls with which a reader answers an input: buttons, a form made from a flat schema, or a text box.
import type { Input, InputAnswer } from '../../src/client/chat-client.ts';
import { button, element } from '../dom/element.ts';
import { fitRows } from '../dom/growing-text.ts';
import { fieldsOf, looseJson, valueOf, type SchemaField } from './schema-fields.ts';

export type GiveAnswer = (answer: InputAnswer) => void;

let made = 0;

/** The controls, in order. */
export function answerForm(input: Input, give: GiveAnswer): readonly HTMLElement[] {
  const { kind, choices, schema } = input;
  if (kind === 'approval') return approvalForm(give);
  const decline = button('Decline', () => give({ error: 'declined' }), {
    class: 'quiet small',
    'data-testid': 'decline',
  });
  const giveValue = (value: unknown): void => give(kind === 'tool' ? { result: value } : { value });
  if (choices !== undefined && choices.length > 0) {
    const options = choices.map((choice) =>
      button(choice, () => giveValue(choice), { class: 'small', 'data-testid': 'choice' }),
    );
    return [element('div', { class: 'input-buttons' }, ...options, decline)];
  }
  const fields = fieldsOf(schema);
  if (fields !== undefined) return [schemaForm(fields, giveValue, decline)];
  return [textForm(labelOf(input), (text) => giveValue(takesText(input) ? text : looseJson(text)), decline)];
}

/** A question without a schema takes the text as it is. */
function takesText({ kind, schema }: Input): boolean {
  return kind === 'question' && schema === undefined;
}

function labelOf(input: Input): string {
  if (takesText(input)) return 'Your answer';
  return input.kind === 'tool' ? 'Result, as JSON or text' : 'Your answer, as JSON';
}

function approvalForm(give: GiveAnswer): readonly HTMLElement[] {
  const reason = element('input', { type: 'text', autocomplete: 'off', maxlength: '1000', 'data-testid': 'reason' });
  const decide = (approved: boolean): void => {
    const text = reason.value.trim();
    give({ approved, ...(text === '' ? {} : { reason: text }) });
  };
  return [
    labelled('Reason (optional)', reason),
    element(
      'div',
      { class: 'input-buttons' },
      button('Approve', () => decide(true), { class: 'primary small', 'data-testid': 'approve' }),
      button('Refuse', () => decide(false), { class: 'small', 'data-testid': 'refuse' }),
    ),
  ];
}

function schemaForm(
  fields: readonly SchemaField[],
  giveValue: (value: unknown) => void,
  decline: HTMLElement,
): HTMLElement {
  const controls = fields.map((field) => [field, controlOf(field)] as const);
  const rows = controls.map(([field, control]) =>
    labelled(field.isRequired ? field.label : `${field.label} (optional)`, control, field.hint),
  );
  return form(rows, decline, () =>
    giveValue(valueOf(fields, new Map(controls.map(([field, control]) => [field, control.value])))),
  );
}

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

function controlOf(field: SchemaField): Control {
  const needed = field.isRequired ? { required: '' } : {};
  const common = { 'data-testid': 'field', autocomplete: 'off', ...needed };
  switch (field.kind) {
    case 'text':
      return element('input', { type: 'text', ...common });
    case 'number':
    case 'integer':
      return element('input', { type: 'number', step: field.kind === 'integer' ? '1' : 'any', ...common });
    case 'boolean':
      return select(common, [
        ['', ''],
        ['true', 'Yes'],
        ['false', 'No'],
      ]);
    case 'choice':
      return select(common, [['', ''], ...field.choices.map((choice) => [choice, choice] as const)]);
  }
}

function select(
  attributes: Readonly<Record<string, string>>,
  options: readonly (readonly [value: string, text: string])[],
): HTMLSelectElement {
  return element('select', attributes, ...options.map(([value, text]) => element('option', { value }, text)));
}

function textForm(label: string, give: (text: string) => void, decline: HTMLElement): HTMLElement {
  const box = element('textarea', { rows: '1', required: '', autocomplete: 'off', 'data-testid': 'field' });
  box.addEventListener('input', () => fitRows(box));
  return form([labelled(label, box)], decline, () => give(box.value));
}

/** The browser checks what is required, and moves the focus to what lacks. */
function form(rows: readonly HTMLElement[], decline: HTMLElement, onSubmit: () => void): HTMLFormElement {
  const send = element('button', { type: 'submit', class: 'primary small', 'data-testid': 'give' }, 'Answer');
  const all = element('form', {}, ...rows, element('div', { class: 'input-buttons' }, send, decline));
  all.addEventListener('submit', (event) => {
    event.preventDefault();
    onSubmit();
  });
  return all;
}

function labelled(label: string, control: Control, hint?: string): HTMLElement {
  made += 1;
  control.id = `input-field-${made}`;
  const note = hint === undefined ? undefined : element('p', { class: 'note', id: `${control.id}-hint` }, hint);
  if (note !== undefined) control.setAttribute('aria-describedby', note.id);
  return element('div', { class: 'input-row' }, element('label', { for: control.id }, label), control, note);
}
