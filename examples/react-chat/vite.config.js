// Serves the page, and hands what begins with /v1 to Holdline. The proxy keeps the host of the page, so Holdline sees requests of its own
// origin, and takes the WebSocket.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const holdline = process.env['HOLDLINE_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  server: { host: '127.0.0.1', proxy: { '/v1': { target: holdline, ws: true } } },
});
