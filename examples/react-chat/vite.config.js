// Serves the page, and hands what begins with /v1 to Holdline, so that page and server have one origin.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const holdline = process.env['HOLDLINE_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  server: { host: '127.0.0.1', proxy: { '/v1': { target: holdline, changeOrigin: true, ws: true } } },
});
