// @ts-check
import { speak } from './speak.js';

/** Calls a tool, and says what it found. @type {import('holdline/worker').AgentHandler} */
export async function agent(chat, writer, signal) {
  await writer.toolCall({ id: 'forecast', name: 'forecast', arguments: { place: chat.prompt } });
  const forecast = { celsius: 11, wind: 'west', rain: true };
  await writer.toolResult('forecast', forecast);
  await speak(
    writer,
    `It will be ${forecast.celsius} degrees, with wind from the ${forecast.wind} and rain that comes sideways and goes again. Take a coat ` +
      'that does not mind, shoes that dry, and one thing more than you think you will need; then leave the umbrella at home.',
    signal,
  );
}
