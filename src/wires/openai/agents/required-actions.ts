// What a turn that waits needs of its clients, as the required actions of its session: the results of functions, and
// approvals of calls of the agent. A question is a call of the function `ask_user`.
import { isSettled, type ViewedInput } from '../../../stream/run/run-inputs.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import type { Fields } from '../refused-parameter.ts';
import { QUESTION_TOOL, questionCall } from '../run-leg.ts';

export function requiredActions(view: RunView): readonly Fields[] {
  return view.inputs.filter((input) => !isSettled(input)).map((input) => actionOf(view, input));
}

function actionOf(view: RunView, { request }: ViewedInput): Fields {
  const { inputId, kind, toolCallId = '', toolName = '', message = '' } = request;
  const turn_id = view.runId;
  const given = view.parts.find((part) => part.toolCallId === toolCallId)?.text.toString() ?? '';
  switch (kind) {
    case 'tool':
      return { type: 'function_call', call_id: toolCallId, name: toolName, arguments: given, turn_id };
    case 'question': {
      const { id: call_id, arguments: asked } = questionCall(request);
      return { type: 'function_call', call_id, name: QUESTION_TOOL, arguments: asked, turn_id };
    }
    case 'approval': {
      const call = { arguments: given, message, name: toolName, server_label: view.agent ?? '' };
      const asked = { ...call, type: 'mcp_tool_call' };
      return { type: 'mcp_approval_request', request_id: inputId, turn_id, request: asked };
    }
    default:
      return kind satisfies never;
  }
}
